//! The root directory of a container that runs.

use std::os::fd::OwnedFd;

use oci_spec::runtime::User;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::error::SyncError;
use crate::runtime::user::{Wanted, find};
use crate::runtime::{Root, identity};

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// PID 1 as the host sees it.
    pub pid: i32,
    /// Its start time in clock ticks, against re-used pids.
    pub start: u64,
}

/// The files of a container that runs.
#[derive(Debug)]
pub struct Inside {
    pub(super) root: Root,
    /// User and group that what is made belongs to.
    pub(super) owner: (u32, u32),
    /// The directory that the last file went into: the next mostly goes there, too.
    pub(super) last: Option<(String, OwnedFd)>,
}

impl Inside {
    /// Opens the container's root. What is made in it will belong to the user: `user[:group]` in the
    /// words of the container's own files, else the numbers.
    pub fn open(
        container: &Running,
        user: Option<&str>,
        numbers: &User,
    ) -> Result<Self, SyncError> {
        let ended = |_: Errno| SyncError::Ended;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc = format!("/proc/{}", container.pid);
        let proc = rustix::fs::open(proc, flags, Mode::empty()).map_err(ended)?;
        // The descriptor is of the process that has the pid now: is it the container's?
        if !identity::is_running(container.pid, container.start) {
            return Err(SyncError::Ended);
        }
        let root = rustix::fs::openat(&proc, "root", flags, Mode::empty()).map_err(ended)?;
        Self::at(Root::new(root), user, numbers)
    }

    /// The files of a container whose root is open, whether it runs or not.
    pub(crate) fn of(root: &Root, user: Option<&str>, numbers: &User) -> Result<Self, SyncError> {
        let fd = root.fd().try_clone_to_owned();
        let root = Root::new(fd.map_err(|_| SyncError::Ended)?);
        Self::at(root, user, numbers)
    }

    pub(super) fn at(root: Root, user: Option<&str>, numbers: &User) -> Result<Self, SyncError> {
        let wanted = Wanted {
            user,
            numbers,
            groups: &[],
        };
        let found = find(&root, wanted).map_err(|error| SyncError::Owner(Box::new(error)))?;
        Ok(Self {
            root,
            owner: (found.uid, found.gid),
            last: None,
        })
    }
}
