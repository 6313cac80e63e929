//! `RUN`: a program in a container of our own runtime, on a snapshot of the stage's layers.
//!
//! The same isolation as a container of a service: Docker's default capabilities and system call
//! filter, a network of its own, masked paths. The container's shim ends it when this process is
//! gone; its files and secrets lie in places that go with this process's mount namespace or with the
//! next sweep of the image store.

mod agent;
mod caches;
mod configuration;
mod mounts;
mod names;
mod output;
mod stubs;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::build::dockerfile::instruction::Network;
use crate::build::plan::step::Run;
use crate::engine::native::{GuestEndpoint, GuestNetwork};
use crate::image::{Snapshot, StoredLayer};
use crate::runtime::bundle::Bundle;
use crate::runtime::client::{ClientError, Spawn, attach, spawn};
use crate::runtime::protocol::{AttachInput, AttachRequest, Failure};
use crate::runtime::sealed;
use crate::state::Paths;

use super::error::StepError;
use super::event::Told;
use super::files::{Mounted, make};
use mounts::Prepared;
use names::{NameServer, host_resolv, needs_server};
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
