//! One container: from an OCI runtime spec to a process, and back to nothing.
//!
//! Owns the shim, namespaces, mounts, cgroups, capabilities, seccomp, terminals, logs and `exec`.
//! Never knows what a service, a project or an image is.

pub mod bundle;
pub mod cgroup;
pub mod container;
pub mod exec;
pub mod failure;
pub mod sealed;
pub mod signal;
pub mod spec;
pub mod client;
pub mod exit;
pub mod init;
pub mod log;
pub mod protocol;
pub mod shim;
