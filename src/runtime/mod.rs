//! One container: from an OCI runtime spec to a process, and back to nothing.
//!
//! Owns the shim, namespaces, mounts, cgroups, capabilities, seccomp, terminals, logs and `exec`.
//! Never knows what a service, a project or an image is.

pub mod bundle;
mod capabilities;
pub mod cgroup;
mod channel;
pub mod container;
pub mod exec;
pub mod failure;
mod inside;
mod namespaces;
pub mod sealed;
mod seccomp;
pub mod signal;
pub mod spec;

#[cfg(test)]
mod tests;
pub mod client;
pub mod exit;
pub mod init;
pub mod log;
pub mod protocol;
pub mod shim;
