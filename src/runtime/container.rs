//! A container's first process, seen from outside: create it up to just before `exec`, then let go.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use oci_spec::runtime::Spec;
use rustix::process::{Signal, WaitIdOptions};

use super::bundle::{Bundle, NetworkSetup, ShimConfig};
use super::cgroup::Cgroup;
use super::channel::{self, Order, Report};
use super::failure::{Context, StartError, Step};
use super::inside::{self, Birth};
use super::namespaces::PidNamespaceVisit;
use crate::net;
use crate::sys::clone::{self, Cloned};

/// The three standard streams of a program.
#[derive(Debug)]
pub struct Stdio {
    /// Becomes fd 0.
    pub stdin: OwnedFd,
    /// Becomes fd 1.
    pub stdout: OwnedFd,
    /// Becomes fd 2.
    pub stderr: OwnedFd,
}

/// What a program gets as its standard streams.
#[derive(Debug)]
pub enum StdioSetup {
    /// These descriptors.
    Pipes(Stdio),
    /// A pseudo terminal of the container's own devpts.
    Terminal {
        /// One end of a unix socket pair; the terminal's master is sent over it (`SCM_RIGHTS`)
        /// before [`create`] or [`super::exec::exec`] returns.
        console: OwnedFd,
        /// Rows and columns; zeros leave the kernel's default.
        size: (u16, u16),
    },
}

/// The built-in init: what the two halves do when PID 1 forks the program. Every signal is blocked
/// before the fork, and the program's mask emptied after `prepare_program`.
#[derive(Debug, Clone, Copy)]
pub struct Init {
    /// In the new process, before it executes the program.
    pub prepare_program: fn(),
    /// In PID 1: its life, with the program's process id as PID 1 sees it.
    pub supervise: fn(i32) -> !,
}

/// What [`create`] needs.
#[derive(Debug)]
pub struct Create<'a> {
    /// The container's directory.
    pub bundle: &'a Bundle,
    /// `config.json`.
    pub spec: &'a Spec,
    /// `shim.json`.
    pub config: &'a ShimConfig,
    /// The program's standard streams.
    pub stdio: StdioSetup,
    /// The built-in init, when the container runs with one.
    pub init: Option<Init>,
}

/// A container that is complete except that its program does not run yet. Dropped, it is killed,
/// reaped, and its cgroup removed.
#[derive(Debug)]
pub struct Created {
    /// PID 1 of the container, a child of the caller.
    pub pid: i32,
    /// The same as a descriptor.
    pub pidfd: OwnedFd,
    /// UDP and TCP socket of the name server on 127.0.0.11, if the container has one.
    pub dns: Option<(OwnedFd, OwnedFd)>,
    /// Its cgroup.
    pub cgroup: Cgroup,
    channel: OwnedFd,
    guard: Guard,
}

/// A container whose program runs.
#[derive(Debug)]
pub struct Running {
    /// PID 1 of the container, a child of the caller.
    pub pid: i32,
    /// The same as a descriptor.
    pub pidfd: OwnedFd,
    /// UDP and TCP socket of the name server on 127.0.0.11, if the container has one.
    pub dns: Option<(OwnedFd, OwnedFd)>,
    /// Its cgroup.
    pub cgroup: Cgroup,
}

/// Creates the container: cgroup, namespaces, network, root file system, everything up to `exec`.
///
/// The caller is single-threaded (the new process is a copy of it) and afterwards not dumpable:
/// until `exec`, that copy runs where the container's processes can see it, and may not be looked
/// into. On an error nothing is left behind: the process is killed and reaped, the cgroup removed.
pub fn create(request: Create<'_>) -> Result<Created, StartError> {
    let prepared = inside::Prepared::new(&request)?;
    let cgroup = make_cgroup(&request)?;
    let mut guard = Guard {
        pidfd: None,
        cgroup: Some(cgroup.clone()),
    };
    let (ours, theirs) = channel::pair().at(Step::Namespaces, "socketpair")?;
    let not_dumpable = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(not_dumpable).at(Step::Namespaces, "dumpable")?;
    let visit = match &prepared.namespaces.pid {
        Some(join) => Some(PidNamespaceVisit::begin(&join.fd).at(Step::Namespaces, &join.path)?),
        None => None,
    };
    let (cloned, birth) = clone_into(&cgroup, prepared.namespaces.clone_flags)?;
    let Create { stdio, config, .. } = request;
    let (pid, pidfd) = match cloned {
        Cloned::Child => {
            drop(ours);
            inside::run(prepared.into_container(&cgroup, birth, stdio), theirs)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((visit, theirs, stdio));
    guard.pidfd = Some(pidfd.try_clone().at(Step::Namespaces, "pidfd")?);
    plug(pid, config)?;
    channel::order(&ours, Order::Plugged).or_else(|e| broken_line(&ours, e))?;
    let dns = wait_until_ready(&ours)?;
    Ok(Created {
        pid,
        pidfd,
        dns,
        cgroup,
        channel: ours,
        guard,
    })
}

fn make_cgroup(request: &Create<'_>) -> Result<Cgroup, StartError> {
    let linux = request.spec.linux().as_ref();
    let default = || Path::new("/stack").join(&request.config.id);
    let path = linux
        .and_then(|linux| linux.cgroups_path().clone())
        .unwrap_or_else(default);
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    Cgroup::create(&path, resources)
        .map_err(|e| StartError::because(Step::Cgroup, path.display().to_string(), e.to_string()))
}

/// Clones into the v2 cgroup where the kernel can do that; else the new process moves itself.
pub(super) fn clone_into(cgroup: &Cgroup, flags: u64) -> Result<(Cloned, Birth), StartError> {
    let directory = cgroup.v2_directory();
    let directory = directory.map_err(|e| StartError::because(Step::Cgroup, "", e.to_string()))?;
    if let Some(directory) = &directory {
        match clone::clone(flags, Some(directory.as_fd())) {
            // No clone3, or one without cgroups (before Linux 5.7).
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::ENOSYS | libc::EINVAL | libc::E2BIG)
                ) => {}
            other => return Ok((other.map_err(clone_error)?, Birth::InCgroup)),
        }
    }
    Ok((
        clone::clone(flags, None).map_err(clone_error)?,
        Birth::Outside,
    ))
}

fn clone_error(error: std::io::Error) -> StartError {
    let detail = match error.raw_os_error() {
        Some(libc::EPERM) => "not permitted: this needs root",
        Some(libc::ENOSPC | libc::EUSERS) => "the limit of namespaces in /proc/sys/user is reached",
        Some(libc::ENOMEM) => "no memory, or the pid namespace to join has no living processes",
        _ => return StartError::refused(Step::Namespaces, "", error),
    };
    StartError::because(Step::Namespaces, "", detail)
}

fn plug(pid: i32, config: &ShimConfig) -> Result<(), StartError> {
    match &config.network {
        NetworkSetup::Private { endpoints, .. } if !endpoints.is_empty() => {
            net::plug(pid, endpoints)
                .map_err(|e| StartError::because(Step::Network, "", e.to_string()))
        }
        NetworkSetup::Private { .. } | NetworkSetup::Inherit => Ok(()),
    }
}

type Dns = Option<(OwnedFd, OwnedFd)>;

fn wait_until_ready(channel: &OwnedFd) -> Result<Dns, StartError> {
    match channel::next_report(channel.as_fd()).at(Step::Namespaces, "channel")? {
        Some((Report::Ready, fds)) => {
            let mut fds = fds.into_iter();
            Ok(fds.next().zip(fds.next()))
        }
        Some((Report::Failed(error), _)) => Err(error.into()),
        None => Err(vanished()),
    }
}

/// The new process has gone: what it said before says why.
fn broken_line(channel: &OwnedFd, error: std::io::Error) -> Result<(), StartError> {
    match channel::next_report(channel.as_fd()) {
        Ok(Some((Report::Failed(error), _))) => Err(error.into()),
        _ => Err(StartError::refused(Step::Namespaces, "channel", error)),
    }
}

fn vanished() -> StartError {
    let detail = "the new process ended without a word: it was killed, perhaps for memory";
    StartError::because(Step::Namespaces, "", detail)
}

/// Waits for the end of the line: `exec` has succeeded.
pub(super) fn wait_for_exec(channel: &OwnedFd) -> Result<(), StartError> {
    match channel::next_report(channel.as_fd()).at(Step::Exec, "channel")? {
        None => Ok(()),
        Some((Report::Failed(error), _)) => Err(error.into()),
        Some((Report::Ready, _)) => wait_for_exec(channel),
    }
}

impl Created {
    /// Lets the program run: returns when `exec` has succeeded, or failed.
    pub fn start(mut self) -> Result<Running, StartError> {
        channel::order(&self.channel, Order::Start).or_else(|e| broken_line(&self.channel, e))?;
        wait_for_exec(&self.channel)?;
        self.guard.release();
        Ok(Running {
            pid: self.pid,
            pidfd: self.pidfd,
            dns: self.dns,
            cgroup: self.cgroup,
        })
    }
}

/// Undoes what was done when the way to a running program ends early.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) cgroup: Option<Cgroup>,
}

impl Guard {
    /// Leaves everything as it is.
    pub(super) fn release(&mut self) {
        self.pidfd = None;
        self.cgroup = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Each of these fails only when there is nothing to undo any more.
        if let Some(pidfd) = &self.pidfd {
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
            let id = rustix::process::WaitId::PidFd(pidfd.as_fd());
            let _ = rustix::io::retry_on_intr(|| {
                rustix::process::waitid(id.clone(), WaitIdOptions::EXITED)
            });
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill_all();
            let _ = cgroup.remove();
        }
    }
}
