//! What a new process does between `clone` and `exec`, in order.
//!
//! Owns every step that happens inside the container's namespaces: mounts, devices, masks, kernel
//! parameters, user, capabilities, filter. Never decides what a container is like (the spec does),
//! never returns to the code of the process that it was copied from. Invariant: the image's files
//! are opened only below its root ([`root::Root`]), and what is done to a place is done to a
//! descriptor of it.

mod copy_up;
mod devices;
mod masks;
pub(crate) mod mounts;
mod options;
mod program;
pub(crate) mod root;
pub(crate) mod rootfs;
mod sysctl;
mod terminal;
pub(crate) mod user;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{Linux, Process, Spec};
use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};

use super::bundle::{NetworkSetup, Seccomp, ShimConfig};
use super::capabilities::Sets;
use super::cgroup::Cgroup;
use super::channel::{self, Order, Report};
use super::container::{Create, Init, StdioSetup};
use super::exec::ExecRequest;
use super::failure::{Attempt, Context, StartError, Step};
use super::namespaces::Namespaces;
use super::seccomp::{self, Filter};
use crate::net;
use crate::sys::title::Title;
use crate::sys::{clone, keyring, signals};
use mounts::Mounts;
use program::Program;
use root::{Missing, Root};
use user::Wanted;

/// Where a process was born.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Birth {
    /// In its v2 cgroup, if there is a v2.
    InCgroup,
    /// Where its parent is.
    Outside,
}

/// What can be found out, and be wrong, before there is a process.
pub(crate) struct Prepared<'a> {
    pub(crate) namespaces: Namespaces,
    spec: &'a Spec,
    process: &'a Process,
    config: &'a ShimConfig,
    bundle: PathBuf,
    rootfs: PathBuf,
    filter: Option<Filter>,
    init: Option<(Init, Option<Title>)>,
}

/// A container that is to be made.
pub(crate) struct Container<'a> {
    prepared: Prepared<'a>,
    cgroup: &'a Cgroup,
    birth: Birth,
    stdio: StdioSetup,
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(request: &Create<'a>) -> Attempt<Self> {
        let spec = request.spec;
        reject_unsupported(spec)?;
        let Some(process) = spec.process() else {
            return Err(StartError::because(Step::Spec, "process", "is missing"));
        };
        let namespaces = Namespaces::from_spec(spec)?;
        let private = matches!(request.config.network, NetworkSetup::Private { .. });
        if private && !namespaces.creates(libc::CLONE_NEWNET) {
            let detail = "interfaces are asked for, but no network namespace of its own";
            return Err(StartError::because(Step::Spec, "linux.namespaces", detail));
        }
        Ok(Self {
            namespaces,
            spec,
            process,
            config: request.config,
            bundle: request.bundle.dir().to_path_buf(),
            rootfs: request.bundle.rootfs(),
            filter: filter(request.config.seccomp, spec, process)?,
            init: request.init.map(|init| (init, Title::find())),
        })
    }

    pub(crate) fn into_container(
        self,
        cgroup: &'a Cgroup,
        birth: Birth,
        stdio: StdioSetup,
    ) -> Container<'a> {
        Container {
            prepared: self,
            cgroup,
            birth,
            stdio,
        }
    }
}

fn reject_unsupported(spec: &Spec) -> Attempt<()> {
    let linux = spec.linux().as_ref();
    let given = |present: bool, name: &'static str| present.then_some(name);
    let profile = spec
        .process()
        .as_ref()
        .and_then(|p| p.apparmor_profile().as_deref());
    let unsupported = [
        given(spec.hooks().is_some(), "hooks"),
        given(
            linux.is_some_and(|l| l.intel_rdt().is_some()),
            "linux.intelRdt",
        ),
        given(
            linux.is_some_and(|l| l.uid_mappings().as_ref().is_some_and(|m| !m.is_empty())),
            "linux.uidMappings",
        ),
        given(
            profile.is_some_and(|p| !p.is_empty() && p != "unconfined"),
            "process.apparmorProfile",
        ),
    ];
    match unsupported.into_iter().flatten().next() {
        Some(name) => Err(StartError::because(
            Step::Spec,
            name,
            "is not supported yet: leave it out",
        )),
        None => Ok(()),
    }
}

/// The system call filter of a program.
fn filter(which: Seccomp, spec: &Spec, process: &Process) -> Attempt<Option<Filter>> {
    match which {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => Ok(Some(seccomp::default_filter(&Sets::from_spec(
            process.capabilities().as_ref(),
        )))),
        Seccomp::Spec => match spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.seccomp().as_ref())
        {
            None => Ok(None),
            Some(profile) => seccomp::from_spec(profile)
                .map(Some)
                .map_err(|e| StartError::because(Step::Seccomp, "linux.seccomp", e.to_string())),
        },
    }
}

/// Makes the container and runs its program; a failure goes up the line.
pub(crate) fn run(container: Container<'_>, channel: OwnedFd) -> ! {
    let program = match container.make(&channel) {
        Ok(program) => program,
        Err(error) => fail(&channel, error),
    };
    let Ok(channel) = program::isolate(channel) else {
        clone::exit_now(UNTOLD)
    };
    if channel::wait_for(&channel, Order::Start).is_err() {
        clone::exit_now(UNTOLD);
    }
    match program.run() {
        Ok(never) => match never {},
        Err(error) => fail(&channel, error),
    }
}

/// Exit code of a process that has nobody to tell why.
const UNTOLD: i32 = 128;

fn fail(channel: &OwnedFd, error: StartError) -> ! {
    let code = error.exit_code();
    // The parent may be gone; there is nobody else to tell.
    let _ = channel::report(channel.as_fd(), &Report::Failed(error.into()), &[]);
    clone::exit_now(code)
}

impl<'a> Container<'a> {
    /// Everything up to `exec`, except what waits for the order to start.
    fn make(self, channel: &OwnedFd) -> Attempt<Program<'a>> {
        let Self {
            prepared,
            cgroup,
            birth,
            stdio,
        } = self;
        let linux = prepared.spec.linux().as_ref();
        be_a_process_of_its_own()?;
        enter_cgroups(cgroup, birth)?;
        enter_namespaces(&prepared.namespaces)?;
        set_oom_score_adj(prepared.process)?;
        // Modes of what is made are meant as they are written.
        rustix::process::umask(rustix::fs::Mode::empty());

        let root = prepared.mount_root(linux)?;
        for volume in &prepared.config.copy_up {
            copy_up::fill(&root, volume)?;
        }
        let devices = linux
            .and_then(|l| l.devices().as_deref())
            .unwrap_or_default();
        let mounts = Mounts {
            root: &root,
            bundle: &prepared.bundle,
            cgroup: Some(cgroup),
            devices,
            terminal: matches!(stdio, StdioSetup::Terminal { .. }),
        };
        let mounted = mounts.make(prepared.spec.mounts().as_deref().unwrap_or_default())?;
        devices::make_elsewhere(&root, devices, mounted.null.is_some())?;
        let streams = terminal::open(&root, stdio)?;
        terminal::bind_console(&root, &streams)?;
        let identity = user::find(&root, prepared.wanted_user())?;
        make_working_directory(&root, prepared.process)?;
        set_names(prepared.spec)?;

        channel::wait_for(channel, Order::Plugged).at(Step::Network, "channel")?;
        let dns = prepared.configure_network()?;
        // Interfaces have parameters too: only now are all of them there.
        prepared.set_parameters(linux)?;
        if let Some(linux) = linux {
            protect(&root, linux, mounted.null)?;
        }
        if prepared
            .spec
            .root()
            .as_ref()
            .is_some_and(|root| root.readonly() == Some(true))
        {
            rootfs::make_readonly(&root)?;
        }
        rootfs::enter(root.fd())?;
        rootfs::share(linux.and_then(|linux| linux.rootfs_propagation().as_deref()))?;

        let program = Program {
            process: prepared.process,
            identity,
            streams,
            filter: prepared.filter,
            init: prepared.init,
        };
        program.prepare()?;
        let fds: Vec<_> = dns
            .iter()
            .flat_map(|dns| [dns.udp.as_fd(), dns.tcp.as_fd()])
            .collect();
        channel::report(channel.as_fd(), &Report::Ready, &fds).at(Step::Exec, "channel")?;
        Ok(program)
    }
}

impl Prepared<'_> {
    fn mount_root(&self, linux: Option<&Linux>) -> Attempt<Root> {
        let propagation = linux.and_then(|linux| linux.rootfs_propagation().as_deref());
        let plain = self
            .spec
            .root()
            .as_ref()
            .map_or("rootfs".into(), |root| root.path().clone());
        rootfs::mount(
            &self.config.rootfs,
            &self.bundle.join(plain),
            &self.rootfs,
            propagation,
        )
    }

    fn wanted_user(&self) -> Wanted<'_> {
        let numbers = self.process.user();
        Wanted {
            user: self.config.user.as_deref(),
            numbers,
            groups: &self.config.group_add,
        }
    }

    fn configure_network(&self) -> Attempt<Option<net::dns::DnsSockets>> {
        let NetworkSetup::Private { endpoints, dns } = &self.config.network else {
            return Ok(None);
        };
        let failed = |error: net::Error| StartError::because(Step::Network, "", error.to_string());
        net::configure(endpoints).map_err(failed)?;
        dns.then(net::bind_dns).transpose().map_err(failed)
    }

    fn set_parameters(&self, linux: Option<&Linux>) -> Attempt<()> {
        let Some(parameters) = linux.and_then(|linux| linux.sysctl().as_ref()) else {
            return Ok(());
        };
        let has = |flag, kind| self.namespaces.has_own(flag, kind);
        let own = sysctl::Own {
            network: has(libc::CLONE_NEWNET, LinkNameSpaceType::Network),
            ipc: has(
                libc::CLONE_NEWIPC,
                LinkNameSpaceType::InterProcessCommunication,
            ),
            uts: has(
                libc::CLONE_NEWUTS,
                LinkNameSpaceType::HostNameAndNISDomainName,
            ),
        };
        sysctl::apply(parameters, own)
    }
}

/// Default signals, a session, and an end when the parent ends.
fn be_a_process_of_its_own() -> Attempt<()> {
    const STEP: Step = Step::Namespaces;
    signals::reset().at(STEP, "signals")?;
    rustix::process::setsid().at(STEP, "session")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .at(STEP, "death signal")?;
    match keyring::join_new_session() {
        // A kernel without keys, or a filter above us that does not allow them.
        Err(e)
            if matches!(
                e.raw_os_error(),
                Some(libc::ENOSYS | libc::EPERM | libc::EACCES)
            ) =>
        {
            Ok(())
        }
        other => other.map(drop).at(STEP, "session keyring"),
    }
}

fn enter_cgroups(cgroup: &Cgroup, birth: Birth) -> Attempt<()> {
    let entered = cgroup.enter_v1().and_then(|()| match birth {
        Birth::InCgroup => Ok(()),
        Birth::Outside => cgroup.enter_v2(),
    });
    entered.map_err(|e| StartError::because(Step::Cgroup, "", e.to_string()))
}

fn enter_namespaces(namespaces: &Namespaces) -> Attempt<()> {
    for join in &namespaces.others {
        rustix::thread::move_into_link_name_space(join.fd.as_fd(), Some(join.kind))
            .at(Step::Namespaces, &join.path)?;
    }
    if namespaces.new_cgroup {
        clone::new_cgroup_namespace().at(Step::Namespaces, "cgroup")?;
    }
    Ok(())
}

fn set_oom_score_adj(process: &Process) -> Attempt<()> {
    let Some(adjustment) = process.oom_score_adj() else {
        return Ok(());
    };
    masks::check_host_proc()?;
    let path = "/proc/self/oom_score_adj";
    std::fs::write(path, adjustment.to_string()).at(Step::Limits, path)
}

/// Made when it is missing, as Docker does, for root.
fn make_working_directory(root: &Root, process: &Process) -> Attempt<()> {
    let path = process.cwd().as_path();
    if !path.is_absolute() {
        let detail = "has to be an absolute path";
        return Err(StartError::because(
            Step::WorkingDirectory,
            path.display().to_string(),
            detail,
        ));
    }
    root.open_or_make(path, Missing::Directory)
        .at(Step::WorkingDirectory, path)
        .map(drop)
}

fn set_names(spec: &Spec) -> Attempt<()> {
    if let Some(name) = spec.hostname().as_deref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes()).at(Step::Hostname, name)?;
    }
    if let Some(name) = spec.domainname().as_deref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes()).at(Step::Hostname, name)?;
    }
    Ok(())
}

fn protect(root: &Root, linux: &Linux, null: Option<OwnedFd>) -> Attempt<()> {
    let hidden = linux.masked_paths().as_deref().unwrap_or_default();
    if !hidden.is_empty() {
        let null = null.map_or_else(devices::host_null, Ok)?;
        masks::hide(root, hidden, &null)?;
    }
    masks::protect(root, linux.readonly_paths().as_deref().unwrap_or_default())
}

/// Joins a container and runs a program there; a failure goes up the line.
pub(crate) fn run_joined(request: ExecRequest<'_>, birth: Birth, channel: OwnedFd) -> ! {
    let program = match join(request, birth) {
        Ok(program) => program,
        Err(error) => fail(&channel, error),
    };
    let Ok(channel) = program::isolate(channel) else {
        clone::exit_now(UNTOLD)
    };
    match program.run() {
        Ok(never) => match never {},
        Err(error) => fail(&channel, error),
    }
}

fn join(request: ExecRequest<'_>, birth: Birth) -> Attempt<Program<'_>> {
    let filter = filter(request.config.seccomp, request.spec, request.process)?;
    be_a_process_of_its_own()?;
    enter_cgroups(request.cgroup, birth)?;
    set_oom_score_adj(request.process)?;
    let all = ThreadNameSpaceType::MOUNT
        | ThreadNameSpaceType::NETWORK
        | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
        | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
        | ThreadNameSpaceType::CONTROL_GROUP;
    rustix::thread::move_into_thread_name_spaces(request.target.as_fd(), all)
        .at(Step::Namespaces, "")?;
    // Joining the mount namespace made its root ours.
    let root = Root::own().at(Step::Rootfs, "/")?;
    let numbers = request.process.user();
    let wanted = Wanted {
        user: request.user,
        numbers,
        groups: &request.config.group_add,
    };
    let identity = user::find(&root, wanted)?;
    let streams = terminal::open(&root, request.stdio)?;
    let program = Program {
        process: request.process,
        identity,
        streams,
        filter,
        init: None,
    };
    program.prepare()?;
    Ok(program)
}
