//! `RUN`: a program in a container of our own runtime, on a snapshot of the stage's layers.
//!
//! The same isolation as a container of a service: Docker's default capabilities and system call
//! filter, a network of its own, masked paths. The container's shim ends it when this process is
//! gone; its files and secrets lie in places that go with this process's mount namespace or with the
//! next sweep of the image store.

mod agent;
mod mounts;
mod names;
mod output;
mod stubs;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::build::dockerfile::instruction::{Network, Security};
use crate::build::plan::step::{Program, Run};
use crate::engine::native::{GuestEndpoint, GuestNetwork};
use crate::image::{Snapshot, StoredLayer};
use crate::net::resolv::hosts_file;
use crate::runtime::bundle::{Bundle, NetworkSetup, Rootfs, Seccomp, ShimConfig};
use crate::runtime::client::{ClientError, Spawn, attach, spawn};
use crate::runtime::protocol::{AttachInput, AttachRequest, Failure};
use crate::runtime::sealed;
use crate::runtime::spec::{Namespace, Settings, default_spec};
use crate::state::{Paths, write_json};

use super::error::StepError;
use super::event::Told;
use super::files::{Mounted, lower, make};
use mounts::Prepared;
use names::{HOSTNAME, NameServer, host_resolv, needs_server, resolv_file};
use output::{Read, Tail, follow};

pub use agent::{AgentError, KeyError};
pub(super) use mounts::{MountSources, SecretValue, Secrets};

/// A container may wait on a slow disk, but not for ever.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const SHIM_CLEANUP: Duration = Duration::from_secs(5);

/// What every step of a build has in common.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// The network of steps that do not say.
    pub(super) network: NetworkChoice,
    /// Further lines of `/etc/hosts`: name and address, or `host-gateway`.
    pub(super) extra_hosts: Vec<(String, String)>,
    /// Size of `/dev/shm`.
    pub(super) shm_size: Option<u64>,
    /// Limits, as `RLIMIT_…`.
    pub(super) rlimits: Vec<oci_spec::runtime::PosixRlimit>,
    /// Limit of memory, in bytes.
    pub(super) memory: Option<u64>,
    /// Whether steps may ask for all privileges.
    pub(super) insecure: bool,
}

/// `network:` of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkChoice {
    /// One of the build's own, with a way out.
    #[default]
    Default,
    /// None but loopback.
    None,
    /// The machine's.
    Host,
}

/// Runs programs; makes what they share when the first of them needs it.
pub(super) struct Runner {
    paths: Paths,
    exe: PathBuf,
    /// This program where no container can write to it: made when the first step runs.
    sealed: OnceLock<Option<std::os::fd::OwnedFd>>,
    network: Mutex<Option<std::sync::Arc<GuestNetwork>>>,
    names: Mutex<Option<std::sync::Arc<NameServer>>>,
}

/// One program to run.
pub(super) struct Job<'a> {
    pub(super) run: &'a Run,
    pub(super) layers: &'a [StoredLayer],
    pub(super) snapshot: &'a Snapshot,
    pub(super) surroundings: &'a Surroundings,
    pub(super) sources: &'a dyn MountSources,
    pub(super) secrets: &'a Secrets,
    /// Readable when the build is canceled.
    pub(super) canceled: BorrowedFd<'a>,
}

impl Runner {
    pub(super) fn new(paths: &Paths, exe: &Path) -> Self {
        Self {
            paths: paths.clone(),
            exe: exe.to_owned(),
            sealed: OnceLock::new(),
            network: Mutex::new(None),
            names: Mutex::new(None),
        }
    }

    fn program(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        let first = || {
            sweep_cgroups();
            sealed::executable().ok()
        };
        match self.sealed.get_or_init(first) {
            Some(fd) => format!("/proc/self/fd/{}", fd.as_raw_fd()).into(),
            None => self.exe.clone(),
        }
    }

    /// Runs a program to its end; what it wrote is in the snapshot then.
    pub(super) fn run(&self, job: &Job<'_>, told: &Told<'_>) -> Result<(), StepError> {
        let id: String = (0..4)
            .map(|_| format!("{:016x}", fastrand::u64(..)))
            .collect();
        let scratch = job.snapshot.scratch();
        let mut prepared = mounts::prepare(job, &scratch)?;
        let below = Mounted::layers(job.layers, &scratch.join("below"))?;
        let targets = own_targets()
            .into_iter()
            .chain(prepared.targets.iter().map(PathBuf::as_path));
        let stubs = stubs::find(&below.root, targets);
        let place = self.join(&id, job)?;
        let result = self.contained(&id, job, (&mut prepared, place.as_ref()), told);
        if let Some(place) = place {
            place.network.leave(&place.endpoint);
        }
        stubs::remove(&stubs, &job.snapshot.upper(), &below.root);
        result
    }

    fn contained(
        &self,
        id: &str,
        job: &Job<'_>,
        (prepared, place): (&mut Prepared, Option<&Place>),
        told: &Told<'_>,
    ) -> Result<(), StepError> {
        let bundle = Bundle::new(job.snapshot.scratch().join("bundle"));
        make(&bundle.rootfs())?;
        make(&self.paths.shims())?;
        self.write_files(&bundle, job, (prepared, place))?;
        self.write_configuration(id, &bundle, job, (prepared, place))?;
        let shim = spawn(Spawn {
            exe: &self.program(),
            bundle: &bundle,
            complaints: None,
        })?;
        let result = self.watch(id, job, &shim, told);
        // Without its connection the shim ends whatever still runs.
        let pidfd = shim.pidfd;
        drop(shim.connection);
        reap(&pidfd);
        result
    }

    fn watch(
        &self,
        id: &str,
        job: &Job<'_>,
        shim: &crate::runtime::client::ShimProcess,
        told: &Told<'_>,
    ) -> Result<(), StepError> {
        shim.wait_created(Some(START_TIMEOUT))?;
        let input = AttachInput::None;
        let attached = attach(&self.paths.shim_socket(id), AttachRequest { input })?;
        let mut tail = Tail::default();
        if self.wants_names(job) {
            self.serve_names(id, shim)?;
        }
        let streams = (attached.stdout, attached.stderr);
        let read = follow(streams, job.canceled, told, &mut tail)
            .map_err(StepError::io("read the output of", Path::new("the step")))?;
        if read == Read::Canceled {
            return Err(StepError::Canceled);
        }
        loop {
            use crate::runtime::protocol::Reply;
            match attached.connection.receive(None)?.reply {
                Reply::Started(_) => {}
                Reply::Exited(record) if record.exit_code == 0 => return Ok(()),
                Reply::Exited(record) => {
                    return Err(StepError::Exit {
                        code: record.exit_code,
                        tail: tail.lines(),
                        out_of_memory: record.oom_killed,
                    });
                }
                Reply::Failed(failure) => return Err(ClientError::Refused(failure).into()),
                other => return Err(ClientError::Protocol(format!("{other:?}")).into()),
            }
        }
    }

    fn wants_names(&self, job: &Job<'_>) -> bool {
        network_of(job) == NetworkChoice::Default && needs_server(&host_resolv())
    }

    /// The sockets come with the word that the program has started.
    fn serve_names(
        &self,
        id: &str,
        shim: &crate::runtime::client::ShimProcess,
    ) -> Result<(), StepError> {
        let started = shim.wait_started(Some(START_TIMEOUT))?;
        let Some(dns) = started.dns else {
            return Ok(());
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.is_none() {
            let server = NameServer::start().map_err(StepError::io(
                "start",
                Path::new("the name server of the build"),
            ))?;
            *names = Some(std::sync::Arc::new(server));
        }
        if let Some(server) = &*names {
            let sockets = crate::net::dns::DnsSockets {
                udp: dns.udp,
                tcp: dns.tcp,
            };
            server.serve(id, sockets);
        }
        Ok(())
    }

    /// A place on the build's network, if the step is to have one.
    fn join(&self, id: &str, job: &Job<'_>) -> Result<Option<Place>, StepError> {
        if network_of(job) != NetworkChoice::Default {
            return Ok(None);
        }
        let failed = |error| StepError::Network(Box::new(error));
        let mut shared = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let network = match &*shared {
            Some(network) => std::sync::Arc::clone(network),
            None => {
                let made = GuestNetwork::create(&self.paths).map_err(failed)?;
                let made = std::sync::Arc::new(made);
                *shared = Some(std::sync::Arc::clone(&made));
                made
            }
        };
        drop(shared);
        let endpoint = network.join(id).map_err(failed)?;
        Ok(Some(Place { network, endpoint }))
    }

    fn write_files(
        &self,
        bundle: &Bundle,
        job: &Job<'_>,
        (prepared, place): (&Prepared, Option<&Place>),
    ) -> Result<(), StepError> {
        let write = |name: &str, text: &str| {
            let path = bundle.dir().join(name);
            std::fs::write(&path, text).map_err(StepError::io("write", &path))
        };
        let host = host_resolv();
        match network_of(job) {
            NetworkChoice::Host => {
                let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
                let more = extra_hosts(job, "127.0.0.1".parse().ok())?;
                let more: String = more
                    .iter()
                    .map(|(name, address)| format!("{address}\t{name}\n"))
                    .collect();
                write("resolv.conf", &host)?;
                write("hosts", &(hosts + &more))?;
            }
            _ => {
                let gateway = place.and_then(|place| place.endpoint.gateway);
                let own: Vec<_> = place
                    .iter()
                    .flat_map(|place| place.endpoint.endpoint.addresses.iter())
                    .map(ipnetwork::IpNetwork::ip)
                    .collect();
                write("resolv.conf", &resolv_file(&host))?;
                let extra = extra_hosts(job, gateway)?;
                write("hosts", &hosts_file(HOSTNAME, &own, &extra))?;
            }
        }
        if let Program::Script { name, content } = &job.run.program {
            let path = prepared.private.join(format!("script-{}", plain(name)));
            std::fs::write(&path, content).map_err(StepError::io("write", &path))?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode).map_err(StepError::io("protect", &path))?;
        }
        Ok(())
    }

    fn write_configuration(
        &self,
        id: &str,
        bundle: &Bundle,
        job: &Job<'_>,
        (prepared, place): (&mut Prepared, Option<&Place>),
    ) -> Result<(), StepError> {
        let run = job.run;
        let mut mounts = std::mem::take(&mut prepared.mounts);
        for name in ["resolv.conf", "hosts"] {
            let target = format!("/etc/{name}");
            mounts.push(mounts::bind(&bundle.dir().join(name), &target, true)?);
        }
        let args = match &run.program {
            Program::Arguments(words) => words.clone(),
            Program::Script { name, .. } => {
                let target = format!("/dev/pipes/{}", plain(name));
                let source = prepared.private.join(format!("script-{}", plain(name)));
                mounts.push(mounts::bind(&source, &target, false)?);
                vec![target]
            }
        };
        // Proxies do not change what a step makes, so they are no part of its key.
        let mut env = run.env.clone();
        env.extend(run.proxies.clone());
        env.extend(prepared.env.drain(..));
        let insecure = run.security == Security::Insecure;
        if insecure && !job.surroundings.insecure {
            return Err(StepError::Value(
                "RUN --security=insecure is not allowed: allow it with `--allow security.insecure`, or `privileged: true` of the build"
                    .to_owned(),
            ));
        }
        let mut resources = oci_spec::runtime::LinuxResources::default();
        if let Some(limit) = job.surroundings.memory {
            let mut memory = oci_spec::runtime::LinuxMemory::default();
            memory.set_limit(Some(i64::try_from(limit).unwrap_or(i64::MAX)));
            resources.set_memory(Some(memory));
        }
        let choice = network_of(job);
        let settings = Settings {
            args,
            env: env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            cwd: run.workdir.clone().into(),
            hostname: HOSTNAME.to_owned(),
            mounts,
            privileged: insecure,
            rlimits: job.surroundings.rlimits.clone(),
            resources,
            shm_size: job.surroundings.shm_size,
            cgroup_path: Path::new("/stack/build").join(id),
            network: match choice {
                NetworkChoice::Host => Namespace::Host,
                _ => Namespace::Private,
            },
            ..Settings::default()
        };
        let spec = default_spec(settings).map_err(|error| StepError::Value(error.to_string()))?;
        write_json(&bundle.spec(), &spec)?;
        let mut below = lower(job.layers);
        if below.is_empty() {
            let empty = job.snapshot.scratch().join("empty");
            make(&empty)?;
            below.push(empty);
        }
        let shim = ShimConfig {
            version: 1,
            id: id.to_owned(),
            rootfs: Rootfs {
                lower: below,
                upper: job.snapshot.upper(),
                work: job.snapshot.work(),
                snapshot: true,
            },
            network: match choice {
                NetworkChoice::Host => NetworkSetup::Inherit,
                _ => NetworkSetup::Private {
                    endpoints: place
                        .iter()
                        .map(|place| place.endpoint.endpoint.clone())
                        .collect(),
                    dns: self.wants_names(job),
                },
            },
            log: None,
            stdin_open: false,
            init: false,
            copy_up: Vec::new(),
            wait_attach: true,
            socket: self.paths.shim_socket(id),
            on_lost: Vec::new(),
            end_when_lost: true,
            user: Some(run.user.clone()).filter(|user| !user.is_empty()),
            group_add: Vec::new(),
            seccomp: if insecure {
                Seccomp::Unconfined
            } else {
                Seccomp::Default
            },
        };
        Ok(write_json(&bundle.shim_config(), &shim)?)
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("exe", &self.exe).finish()
    }
}

/// Removes empty cgroups of steps whose shim was killed together with the build. One that is young may
/// be another build's, which has not put its process into it yet.
fn sweep_cgroups() {
    const YOUNG: Duration = Duration::from_secs(60);
    let top = Path::new("/sys/fs/cgroup");
    let below = std::fs::read_dir(top).into_iter().flatten().flatten();
    let hierarchies = below.map(|entry| entry.path());
    for hierarchy in std::iter::once(top.to_owned()).chain(hierarchies) {
        let steps = std::fs::read_dir(hierarchy.join("stack/build"));
        for entry in steps.into_iter().flatten().flatten() {
            let made = entry.metadata().and_then(|metadata| metadata.modified());
            let age = made.ok().and_then(|made| made.elapsed().ok());
            if age.is_some_and(|age| age > YOUNG) {
                // One with processes in it cannot be removed.
                let _ = std::fs::remove_dir(entry.path());
            }
        }
    }
}

/// A place on the build's network.
struct Place {
    network: std::sync::Arc<GuestNetwork>,
    endpoint: GuestEndpoint,
}

/// Where a container of ours mounts something in any case.
fn own_targets() -> [&'static Path; 5] {
    ["/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf"].map(Path::new)
}

fn network_of(job: &Job<'_>) -> NetworkChoice {
    match job.run.network {
        Network::Default => job.surroundings.network,
        Network::None => NetworkChoice::None,
        Network::Host => NetworkChoice::Host,
    }
}

fn extra_hosts(
    job: &Job<'_>,
    gateway: Option<std::net::IpAddr>,
) -> Result<Vec<(String, std::net::IpAddr)>, StepError> {
    let resolve = |(name, text): &(String, String)| {
        let address = match (text.as_str(), gateway) {
            ("host-gateway", Some(gateway)) => Some(gateway),
            (text, _) => text.trim_matches(['[', ']']).parse().ok(),
        };
        let address = address.ok_or_else(|| {
            StepError::Value(format!("extra host {name}: `{text}` is not an address"))
        })?;
        Ok((name.clone(), address))
    };
    job.surroundings.extra_hosts.iter().map(resolve).collect()
}

/// A name of a here-document as a file name.
fn plain(name: &str) -> String {
    let keep = |c: char| {
        if c.is_alphanumeric() || c == '_' || c == '-' {
            c
        } else {
            '_'
        }
    };
    name.chars().map(keep).collect()
}

/// Waits for a shim that has been let go, and takes it off the kernel's list.
fn reap(pidfd: &std::os::fd::OwnedFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
    let timeout = Timespec::try_from(SHIM_CLEANUP).unwrap_or_default();
    let ended = poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout));
    if matches!(ended, Ok(0)) {
        // Its container goes with it; the next build removes what is left of the cgroup.
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
    let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
}

/// The failure of a program that could not be started, for its exit code.
pub(super) fn exit_code(error: &StepError) -> Option<i32> {
    match error {
        StepError::Exit { code, .. } => Some(*code),
        StepError::Program(ClientError::Refused(Failure { exit_code, .. })) => Some(*exit_code),
        _ => None,
    }
}
