//! The cgroup of a container, on cgroup v2, v1, and machines that have both.
//!
//! Owns the same path below each hierarchy that the container needs. On v2, and on hybrid machines
//! whose v2 hierarchy has no controllers, the container is *born* in its v2 cgroup
//! (`CLONE_INTO_CGROUP`), which freezes, kills and guards devices; a v1 hierarchy is used only
//! when a limit asks for its controller. A process enters v1 cgroups by itself, by writing `0`
//! into `tasks`: only that form does not take the kernel's thread-group lock, whose write side
//! waits for an RCU grace period (5 to 11 ms measured, against 0.04 ms for each hierarchy).
//!
//! Never decides a limit. Invariant: a `Cgroup` names directories below the hierarchies' mount
//! points only, and `remove` leaves none of them.

pub(crate) mod apart;
mod create;
mod devices;
mod layout;
mod limits;
mod usage;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

use layout::{Controller, Layout};
pub use usage::Stats;

/// A cgroup operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file or directory of the cgroup file system.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// No hierarchy at all.
    #[error("no cgroup file system is mounted: mount cgroup2 on /sys/fs/cgroup")]
    NotMounted,
    /// The path has no name, or leads outside.
    #[error("`{}` is no path for a cgroup", .0.display())]
    InvalidPath(PathBuf),
    /// A limit whose controller the kernel does not have.
    #[error(
        "the limit `{file}` needs the cgroup controller `{controller}`, which this machine does not offer"
    )]
    MissingController {
        /// Name of the controller.
        controller: &'static str,
        /// The file that would have been written.
        file: String,
    },
    /// A limit that the kernel refused.
    #[error("the kernel refused `{value}` for {}: {source}", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The device rules cannot be enforced.
    #[error("cannot restrict the devices of the container: {source}")]
    Devices {
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Processes do not stop.
    #[error("the processes of {} did not stop within {} ms", path.display(), waited.as_millis())]
    NotFrozen {
        /// The cgroup.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// Processes do not go away.
    #[error("{} still has processes that do not die: look for a hung file system", path.display())]
    Busy {
        /// The cgroup.
        path: PathBuf,
    },
}

impl CgroupError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

/// The cgroup of one container: the same path in every hierarchy that is used.
#[derive(Debug, Clone)]
pub struct Cgroup {
    path: PathBuf,
    v2: Option<PathBuf>,
    v2_controllers: Vec<Controller>,
    v1: Vec<(Controller, PathBuf)>,
}

/// How long a freeze may take: processes in uninterruptible sleep hold it up.
const FREEZE_PATIENCE: Duration = Duration::from_secs(10);
/// How long processes that were killed may take to disappear.
const REMOVE_PATIENCE: Duration = Duration::from_secs(5);

impl Cgroup {
    /// An existing cgroup, for freezing, killing and numbers.
    pub fn open(path: &Path) -> Result<Self, CgroupError> {
        let path = relative(path)?;
        let layout = Layout::detect()?;
        let v2 = layout
            .v2
            .as_ref()
            .map(|v2| v2.mount.join(&path))
            .filter(|dir| dir.is_dir());
        let v1: Vec<_> = layout
            .v1
            .iter()
            .map(|(controller, mount)| (*controller, mount.join(&path)))
            .filter(|(_, dir)| dir.is_dir())
            .collect();
        if v2.is_none() && v1.is_empty() {
            let missing = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(CgroupError::io("open the cgroup", &path, missing));
        }
        // Its own: above it fewer may be handed down than the hierarchy has.
        let v2_controllers = v2.as_deref().map_or_else(Vec::new, layout::controllers_of);
        Ok(Self {
            path,
            v2,
            v2_controllers,
            v1,
        })
    }

    /// Whether the cgroup at this path is frozen, for who asks about many. The hierarchies of the
    /// machine are looked for once: where there is a v2 hierarchy, it is what freezes.
    pub fn is_frozen_at(path: &Path) -> Result<bool, CgroupError> {
        static V2: OnceLock<Option<PathBuf>> = OnceLock::new();
        let mount = V2.get_or_init(|| Layout::detect().ok()?.v2.map(|v2| v2.mount));
        if let Some(mount) = mount {
            let file = mount.join(relative(path)?).join("cgroup.freeze");
            if let Ok(text) = fs::read_to_string(file) {
                return Ok(text.trim() == "1");
            }
        }
        Self::open(path)?.is_frozen()
    }

    /// Whether this machine keeps memory with v1's controller, which can do things that v2's cannot.
    pub fn has_old_memory() -> bool {
        Layout::detect().is_ok_and(|layout| layout.v1_mount(Controller::Memory).is_some())
    }

    /// Its path below the hierarchies' mount points.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The v2 directory, for `CLONE_INTO_CGROUP`.
    pub(crate) fn v2_directory(&self) -> Result<Option<OwnedFd>, CgroupError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |dir: &PathBuf| {
            rustix::fs::open(dir, flags, Mode::empty())
                .map_err(|e| CgroupError::io("open", dir, e.into()))
        };
        self.v2.as_ref().map(open).transpose()
    }

    /// The v1 hierarchies that the container has a cgroup of its own in, each by the names of the
    /// controllers that are mounted together there.
    pub(crate) fn v1_hierarchies(&self) -> Vec<Vec<&'static str>> {
        let names = |dir: &Path| -> Vec<_> {
            self.v1
                .iter()
                .filter(|(_, d)| d == dir)
                .map(|(controller, _)| controller.v1_name())
                .collect()
        };
        self.v1_directories().map(names).collect()
    }

    /// Whether the container is in a v2 cgroup.
    pub(crate) fn is_in_v2(&self) -> bool {
        self.v2.is_some()
    }

    /// Moves the calling process, which has one thread, into the v1 hierarchies.
    pub(crate) fn enter_v1(&self) -> Result<(), CgroupError> {
        self.v1_directories()
            .try_for_each(|dir| write(&dir.join("tasks"), "0"))
    }

    /// Moves the calling process into the v2 hierarchy, if it was not born there.
    pub(crate) fn enter_v2(&self) -> Result<(), CgroupError> {
        self.v2
            .iter()
            .try_for_each(|dir| write(&dir.join("cgroup.procs"), "0"))
    }

    /// The same with the v2 cgroup that this process is in: it, or one below it.
    pub(crate) fn leaf_of(&self, pid: i32) -> Result<Self, CgroupError> {
        let file = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let text = read(&file)?;
        let below = self.v2.as_deref().and_then(|own| {
            let above = own.ancestors().nth(self.path.components().count())?;
            let leaf = above.join(v2_path(&text)?);
            leaf.starts_with(own).then_some(leaf)
        });
        let Some(leaf) = below else {
            let elsewhere = io::Error::from_raw_os_error(libc::ENOENT);
            return Err(CgroupError::io(
                "find its process in",
                &self.path,
                elsewhere,
            ));
        };
        Ok(Self {
            v2: Some(leaf),
            ..self.clone()
        })
    }

    /// Moves a process into it.
    pub fn add(&self, pid: i32) -> Result<(), CgroupError> {
        let directories = self
            .v2
            .iter()
            .map(PathBuf::as_path)
            .chain(self.v1_directories());
        for dir in directories {
            write(&dir.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Each v1 directory once: controllers that are mounted together share theirs.
    fn v1_directories(&self) -> impl Iterator<Item = &Path> {
        let first = |at: &usize| self.v1[..*at].iter().all(|(_, dir)| *dir != self.v1[*at].1);
        (0..self.v1.len())
            .filter(first)
            .map(|at| self.v1[at].1.as_path())
    }

    fn v1_directory(&self, controller: Controller) -> Option<&Path> {
        self.v1
            .iter()
            .find(|(c, _)| *c == controller)
            .map(|(_, dir)| dir.as_path())
    }

    /// Stops every process in it; returns when they are stopped.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        let started = Instant::now();
        if let Some(dir) = &self.v2 {
            write(&dir.join("cgroup.freeze"), "1")?;
            return wait_for_event(dir, "frozen 1", FREEZE_PATIENCE)?
                .then_some(())
                .ok_or_else(|| CgroupError::NotFrozen {
                    path: dir.clone(),
                    waited: started.elapsed(),
                });
        }
        let dir = self.freezer()?;
        let state = dir.join("freezer.state");
        while started.elapsed() < FREEZE_PATIENCE {
            // Written again each time: a process that forked in between is frozen only then.
            write(&state, "FROZEN")?;
            if read(&state)?.trim() == "FROZEN" {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        write(&state, "THAWED")?;
        Err(CgroupError::NotFrozen {
            path: dir.to_path_buf(),
            waited: started.elapsed(),
        })
    }

    /// Lets every process in it go on.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        match &self.v2 {
            Some(dir) => write(&dir.join("cgroup.freeze"), "0"),
            None => write(&self.freezer()?.join("freezer.state"), "THAWED"),
        }
    }

    /// Whether it is frozen, or about to be.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        match &self.v2 {
            Some(dir) => Ok(read(&dir.join("cgroup.freeze"))?.trim() == "1"),
            None => Ok(read(&self.freezer()?.join("freezer.state"))?.trim() != "THAWED"),
        }
    }

    fn freezer(&self) -> Result<&Path, CgroupError> {
        self.v1_directory(Controller::Freezer)
            .ok_or(CgroupError::MissingController {
                controller: "freezer",
                file: "freezer.state".into(),
            })
    }

    /// Kills every process in it, frozen ones too.
    pub fn kill_all(&self) -> Result<(), CgroupError> {
        if let Some(dir) = &self.v2 {
            // Since Linux 5.14.
            match fs::write(dir.join("cgroup.kill"), "1") {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::NotFound && dir.is_dir() => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(CgroupError::io("write", &dir.join("cgroup.kill"), e)),
            }
            return kill_one_by_one(dir);
        }
        let Some(dir) = self
            .v1_directory(Controller::Freezer)
            .or(self.v1_directories().next())
        else {
            return Ok(());
        };
        // A stopped group cannot fork away; and a v1-frozen process does not see SIGKILL.
        let frozen = self.freeze().is_ok();
        let killed = kill_one_by_one(dir);
        if frozen {
            self.thaw()?;
        }
        killed
    }

    /// Removes it from every hierarchy; waits a little while its last processes disappear.
    pub fn remove(&self) -> Result<(), CgroupError> {
        let mut first = Ok(());
        let directories: Vec<_> = self
            .v2
            .iter()
            .map(PathBuf::as_path)
            .chain(self.v1_directories())
            .collect();
        for dir in directories {
            let removed = remove_tree(dir);
            remove_empty_parents(dir, &self.path);
            first = first.and(removed);
        }
        first
    }
}

/// Kills what is left in a cgroup whose shim is gone, and removes it from every hierarchy together
/// with its children. Nothing there is no error.
pub fn remove_stale(path: &Path) -> Result<(), CgroupError> {
    match Cgroup::open(path) {
        Ok(cgroup) => {
            cgroup.kill_all()?;
            cgroup.remove()
        }
        Err(CgroupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The path below a mount point: no `..`, at least one name.
fn relative(path: &Path) -> Result<PathBuf, CgroupError> {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(CgroupError::InvalidPath(path.into()));
            }
        }
    }
    if out.as_os_str().is_empty() {
        Err(CgroupError::InvalidPath(path.into()))
    } else {
        Ok(out)
    }
}

/// From the text of `/proc/<pid>/cgroup` (cgroups(7)): where the process is in the v2 hierarchy, below
/// its root.
fn v2_path(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // So it is for what is outside the reader's cgroup namespace.
    let outside = path.split('/').any(|name| name == "..");
    (!outside).then_some(path)
}

fn write(file: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(file, value).map_err(|e| CgroupError::io("write", file, e))
}

fn read(file: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(file).map_err(|e| CgroupError::io("read", file, e))
}

/// Waits until `cgroup.events` has this line; `false` when the time is over. The kernel marks
/// a change of the file by POLLPRI.
fn wait_for_event(dir: &Path, line: &str, patience: Duration) -> Result<bool, CgroupError> {
    let file = dir.join("cgroup.events");
    let deadline = Instant::now() + patience;
    let opened = fs::File::open(&file).map_err(|e| CgroupError::io("open", &file, e))?;
    loop {
        let mut text = [0; 256];
        let length = rustix::io::pread(opened.as_fd(), &mut text, 0)
            .map_err(|e| CgroupError::io("read", &file, e.into()))?;
        if String::from_utf8_lossy(&text[..length])
            .lines()
            .any(|l| l == line)
        {
            return Ok(true);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        // At most 50 ms: the wake-up is a help, not something to depend on.
        let timeout = rustix::time::Timespec::try_from(left.min(Duration::from_millis(50))).ok();
        let mut fds = [PollFd::new(&opened, PollFlags::PRI)];
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(CgroupError::io("wait for", &file, e.into())),
        }
    }
}

/// SIGKILL to each process of a cgroup and its children until none is left to be told.
fn kill_one_by_one(dir: &Path) -> Result<(), CgroupError> {
    for child in children(dir) {
        kill_one_by_one(&child)?;
    }
    // Each round finds what was forked during the one before; SIGKILL comes first in the end.
    for _ in 0..100 {
        let procs = read(&dir.join("cgroup.procs"))?;
        let pids: Vec<Pid> = procs
            .lines()
            .filter_map(|l| l.parse().ok().and_then(Pid::from_raw))
            .collect();
        if pids.is_empty() {
            break;
        }
        for pid in pids {
            match kill_process(pid, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(e) => return Err(CgroupError::io("kill the processes of", dir, e.into())),
            }
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
        .map(|e| e.path())
        .collect()
}

fn remove_tree(dir: &Path) -> Result<(), CgroupError> {
    for child in children(dir) {
        remove_tree(&child)?;
    }
    let deadline = Instant::now() + REMOVE_PATIENCE;
    let mut pause = Duration::from_micros(100);
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.raw_os_error() != Some(libc::EBUSY) => {
                return Err(CgroupError::io("remove", dir, e));
            }
            Err(_) if Instant::now() >= deadline => {
                return Err(CgroupError::Busy { path: dir.into() });
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Removes the directories above that have become empty, up to the hierarchy's root. Whoever
/// creates a cgroup at the same time makes them again.
fn remove_empty_parents(dir: &Path, path: &Path) {
    let above = path.components().count().saturating_sub(1);
    for parent in dir.ancestors().skip(1).take(above) {
        if fs::remove_dir(parent).is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests;
