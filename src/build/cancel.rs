//! Giving a build up: because a person interrupts, or because another part of it failed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Whether a build is to be given up. Readable as a descriptor once it is.
#[derive(Debug)]
pub struct Cancel {
    given_up: AtomicBool,
    event: OwnedFd,
}

impl Cancel {
    /// A build that goes on.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            given_up: AtomicBool::new(false),
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Gives the build up.
    pub fn cancel(&self) {
        self.given_up.store(true, Ordering::Release);
        // It is never read, so that it stays readable for everybody; only an overflow could fail.
        let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
    }

    /// Whether it was given up.
    pub fn is_canceled(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
