//! One container: from an OCI runtime spec to a process, and back to nothing.
//!
//! Owns the shim, namespaces, mounts, cgroups, capabilities, seccomp, terminals, logs and `exec`.
//! Never knows what a service, a project or an image is.

pub mod bundle;
mod capabilities;
pub mod cgroup;
mod channel;
pub mod client;
pub mod container;
pub mod exec;
pub mod exit;
pub mod failure;
pub mod identity;
pub mod init;
mod inside;
pub mod log;
mod namespaces;
mod packet;
pub mod protocol;
pub mod pty;
pub mod sealed;
mod seccomp;
pub mod shim;
pub mod signal;
pub mod spec;
#[cfg(test)]
mod tests;

pub(crate) use failure::StartError;
pub(crate) use inside::mounts::bind_all;
pub(crate) use inside::root::{Missing, Root};
pub(crate) use inside::rootfs::{layers_at, overlay_at};
pub(crate) use inside::user;
