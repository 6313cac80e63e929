//! The cgroup of a container, on cgroup v2, v1, and machines that have both.

use std::io;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;

/// A cgroup operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file or directory of the cgroup file system.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

/// The cgroup of one container: the same path in every hierarchy that is used.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory, page cache that can be dropped not counted.
    pub memory: u64,
    /// The memory limit, if there is one.
    pub memory_limit: Option<u64>,
    /// Processor time in microseconds.
    pub cpu_usec: u64,
    /// Processes and threads.
    pub pids: u64,
}

impl Cgroup {
    /// Creates the cgroup (a leftover of the same path is taken over if it is empty) with its limits.
    pub fn create(_path: &Path, _resources: Option<&LinuxResources>) -> Result<Self, CgroupError> {
        todo!()
    }

    /// An existing cgroup, for freezing, killing and numbers.
    pub fn open(_path: &Path) -> Result<Self, CgroupError> {
        todo!()
    }

    /// Its path below the hierarchies' mount points.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a process into it.
    pub fn add(&self, _pid: i32) -> Result<(), CgroupError> {
        todo!()
    }

    /// Stops every process in it; returns when they are stopped.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        todo!()
    }

    /// Lets every process in it go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        todo!()
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        todo!()
    }

    /// Kills every process in it.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        todo!()
    }

    /// How many processes the kernel has killed in it for memory.
    pub fn oom_kills(&self) -> Result<u64, CgroupError> {
        todo!()
    }

    /// What its processes use now.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        todo!()
    }

    /// Changes the limits of a container that runs.
    pub fn update(&self, _resources: &LinuxResources) -> Result<(), CgroupError> {
        todo!()
    }

    /// Removes it from every hierarchy; waits a little while its last processes disappear.
    pub fn remove(self) -> Result<(), CgroupError> {
        todo!()
    }
}

/// Kills what is left in a cgroup whose shim is gone, and removes it from every hierarchy together
/// with its children. Nothing there is no error.
pub fn remove_stale(_path: &Path) -> Result<(), CgroupError> {
    todo!()
}
