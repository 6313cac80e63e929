//! A further program in a container that runs.

use std::os::fd::{AsRawFd, OwnedFd};

use oci_spec::runtime::{Process, Spec};

use super::bundle::ShimConfig;
use super::cgroup::Cgroup;
use super::channel;
use super::container::{Guard, StdioSetup, clone_into, wait_for_exec};
use super::failure::{Context, StartError, Step};
use super::inside::{self, Birth};
use super::namespaces::PidNamespaceVisit;
use crate::sys::clone::Cloned;

/// What [`exec`] needs.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// PID 1 of the container: a descriptor, so that it cannot be another process by now.
    pub target: &'a OwnedFd,
    /// What to run.
    pub process: &'a Process,
    /// `user[:group]` in the container's names; `None` = the numbers in `process`.
    pub user: Option<&'a str>,
    /// The container's spec.
    pub spec: &'a Spec,
    /// The container's shim configuration.
    pub config: &'a ShimConfig,
    /// The container's cgroup.
    pub cgroup: &'a Cgroup,
    /// The program's standard streams.
    pub stdio: StdioSetup,
}

/// A program that runs in a container, a child of the caller.
#[derive(Debug)]
pub struct ExecChild {
    /// Its process id, as the caller sees it. It leads a session and process group of its own.
    pub pid: i32,
    /// The same as a descriptor.
    pub pidfd: OwnedFd,
}

/// Starts a program inside a container's namespaces and cgroup.
///
/// Returns when `exec` has succeeded, or failed. The caller is single-threaded and reaps the child;
/// after a failure there is none. Afterwards the caller is not dumpable, like after
/// [`super::container::create`].
pub fn exec(request: ExecRequest<'_>) -> Result<ExecChild, StartError> {
    // A process that is born frozen never gets to its exec.
    if request
        .cgroup
        .is_frozen()
        .map_err(|e| StartError::because(Step::Cgroup, "", e.to_string()))?
    {
        return Err(StartError::because(
            Step::Cgroup,
            "",
            "the container is paused: unpause it first",
        ));
    }
    let (ours, theirs) = channel::pair().at(Step::Namespaces, "socketpair")?;
    let not_dumpable = rustix::process::DumpableBehavior::NotDumpable;
    rustix::process::set_dumpable_behavior(not_dumpable).at(Step::Namespaces, "dumpable")?;
    let visit = PidNamespaceVisit::begin(request.target).map_err(not_running)?;
    let (cloned, birth) = clone_beside(&request)?;
    let (pid, pidfd) = match cloned {
        Cloned::Child => {
            drop(ours);
            inside::run_joined(request, birth, theirs)
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((visit, theirs, request));
    let mut guard = Guard {
        pidfd: Some(pidfd.try_clone().at(Step::Namespaces, "pidfd")?),
        cgroup: None,
    };
    wait_for_exec(&ours)?;
    guard.release();
    Ok(ExecChild { pid, pidfd })
}

/// Clones into the container's cgroup; or, when a program in the container has made cgroups below
/// that one (systemd, an engine), to where its first process is: a v2 cgroup that hands controllers
/// down has no processes of its own (cgroup-v2.rst, "No Internal Process Constraint").
fn clone_beside(request: &ExecRequest<'_>) -> Result<(Cloned, Birth), StartError> {
    match clone_into(request.cgroup, 0) {
        Err(StartError::Failed {
            errno: Some(libc::EBUSY | libc::EOPNOTSUPP),
            ..
        }) => {}
        other => return other,
    }
    let pid = pid_of(request.target).at(Step::Cgroup, "")?;
    let leaf = request.cgroup.leaf_of(pid);
    let leaf = leaf.map_err(|e| StartError::because(Step::Cgroup, "", e.to_string()))?;
    clone_into(&leaf, 0)
}

/// The process of a pidfd, as this process sees it (pidfd_open(2), "fdinfo").
fn pid_of(pidfd: &OwnedFd) -> std::io::Result<i32> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    let pid = pid.and_then(|pid| pid.trim().parse().ok());
    // It says -1 of a process that has ended.
    pid.filter(|pid| *pid > 0)
        .ok_or_else(|| std::io::Error::from_raw_os_error(libc::ESRCH))
}

fn not_running(error: rustix::io::Errno) -> StartError {
    match error {
        rustix::io::Errno::SRCH => {
            StartError::because(Step::Namespaces, "", "the container is not running")
        }
        other => StartError::refused(Step::Namespaces, "", other),
    }
}
