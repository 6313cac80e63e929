//! Says when logs may have grown: one descriptor for any number of containers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::LogError;

/// One log directory that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(usize);

/// Watches log directories.
#[derive(Debug)]
pub struct LogWatch {
    fd: OwnedFd,
}

impl AsFd for LogWatch {
    /// Readable when [`ready`](LogWatch::ready) has something to say.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl LogWatch {
    /// Watches nothing yet.
    pub fn new() -> Result<Self, LogError> {
        todo!()
    }

    /// Watches one more directory, which exists.
    pub fn add(&mut self, dir: &Path) -> Result<WatchId, LogError> {
        todo!()
    }

    /// The logs that may have grown since the last call; never blocks.
    pub fn ready(&mut self) -> Vec<WatchId> {
        todo!()
    }

    /// Blocks until there is something, or the time is over.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Vec<WatchId> {
        todo!()
    }
}
