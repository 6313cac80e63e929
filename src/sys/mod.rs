//! Every `unsafe` block and raw system call, each with its SAFETY note.
//!
//! Owns what neither the standard library nor `rustix` and `nix` can do safely, one file for each concern
//! of the kernel. Never decides: callers say which flags, which file, which process. What a file here
//! exports is safe to call.

#![allow(unsafe_code, reason = "the one place for it; denied everywhere else")]
#[cfg(test)]
pub(crate) mod allocations;
pub(crate) mod async_fd;
pub(crate) mod bpf;
pub(crate) mod clone;
pub(crate) mod descriptors;
pub(crate) mod execve;
pub(crate) mod keyring;
pub(crate) mod mount_attr;
pub(crate) mod pidfd;
pub(crate) mod seccomp;
pub(crate) mod signal_queue;
pub(crate) mod signals;
pub(crate) mod spawn;
pub(crate) mod title;
