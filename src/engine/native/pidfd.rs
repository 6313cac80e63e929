//! A process held by a descriptor: what is sent to it never meets a re-used pid.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process held by a descriptor.
#[derive(Debug)]
pub(super) struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has this pid now.
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Sends a signal by its number.
    pub(super) fn send_signal(&self, signal: i32) -> io::Result<()> {
        crate::sys::pidfd::send_signal(self.0.as_fd(), signal)
    }
}
