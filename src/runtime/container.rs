//! A container's first process, seen from outside: create it up to just before `exec`, then let go.

use std::os::fd::OwnedFd;

use oci_spec::runtime::Spec;

use super::bundle::{Bundle, ShimConfig};
use super::cgroup::Cgroup;
use super::failure::StartError;

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

/// Runs as PID 1 after the program was forked: reaps, forwards signals, returns the exit code.
/// Its argument is the program's process id, as PID 1 sees it.
pub type InitLoop = fn(program: i32) -> i32;

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
    pub init: Option<InitLoop>,
}

/// A container that is complete except that its program does not run yet. Dropped, it is killed
/// (the caller reaps it) and its cgroup removed.
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
/// The caller is single-threaded (the new process is a copy of it). On an error nothing is left
/// behind: the process is killed and reaped, the cgroup removed.
pub fn create(_create: Create<'_>) -> Result<Created, StartError> {
    todo!()
}

impl Created {
    /// Lets the program run: returns when `exec` has succeeded, or failed.
    pub fn start(self) -> Result<Running, StartError> {
        todo!()
    }
}
