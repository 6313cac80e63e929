//! A further program in a container that runs.

use std::os::fd::OwnedFd;

use oci_spec::runtime::{Process, Spec};

use super::bundle::ShimConfig;
use super::cgroup::Cgroup;
use super::container::StdioSetup;
use super::failure::StartError;

/// What [`exec`] needs.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// PID 1 of the container: a descriptor, so that it cannot be another process by now.
    pub target: &'a OwnedFd,
    /// Its number.
    pub target_pid: i32,
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
/// Returns when `exec` has succeeded, or failed. The caller is single-threaded and reaps the child.
pub fn exec(_request: ExecRequest<'_>) -> Result<ExecChild, StartError> {
    todo!()
}
