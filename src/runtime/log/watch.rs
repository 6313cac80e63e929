//! Says when logs may have grown: one descriptor for any number of containers.
//!
//! By inotify; where its instances or watches are used up (their number per user is limited, and
//! editors are greedy), by a timer.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::LogError;

/// How often a timer looks in place of inotify.
const TIMER_NANOS: i64 = 100_000_000;

/// One log directory that is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(usize);

/// Watches log directories.
#[derive(Debug)]
pub struct LogWatch {
    fd: OwnedFd,
    source: Source,
    count: usize,
}

#[derive(Debug)]
enum Source {
    /// Watch descriptor → directories (the same one may be watched twice).
    Inotify(HashMap<i32, Vec<WatchId>>),
    Timer,
}

impl AsFd for LogWatch {
    /// Readable when [`ready`](LogWatch::ready) has something to say. The descriptor may change
    /// with [`add`](LogWatch::add): register it when all directories have been added.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl LogWatch {
    /// Watches nothing yet.
    pub fn new() -> Result<Self, LogError> {
        let (fd, source) = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(fd) => (fd, Source::Inotify(HashMap::new())),
            Err(_) => (timer(Path::new("/"))?, Source::Timer),
        };
        Ok(Self {
            fd,
            source,
            count: 0,
        })
    }

    /// The same where there is no inotify.
    #[cfg(test)]
    pub(crate) fn by_timer() -> Result<Self, LogError> {
        Ok(Self {
            fd: timer(Path::new("/"))?,
            source: Source::Timer,
            count: 0,
        })
    }

    /// Watches one more directory, which exists.
    pub fn add(&mut self, dir: &Path) -> Result<WatchId, LogError> {
        let id = WatchId(self.count);
        if let Source::Inotify(watches) = &mut self.source {
            let flags = WatchFlags::MODIFY | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            match inotify::add_watch(&self.fd, dir, flags) {
                Ok(watch) => watches.entry(watch).or_default().push(id),
                Err(Errno::NOSPC | Errno::NOMEM) => {
                    self.fd = timer(dir)?;
                    self.source = Source::Timer;
                }
                Err(error) => return Err(watch_error(dir, error)),
            }
        }
        self.count += 1;
        Ok(id)
    }

    /// The logs that may have grown since the last call; never blocks.
    pub fn ready(&mut self) -> Vec<WatchId> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut ready = Vec::new();
        let mut all = false;
        match &self.source {
            Source::Timer => {
                let mut expirations = [0; 8];
                all = rustix::io::read(&self.fd, &mut expirations).is_ok();
            }
            Source::Inotify(watches) => {
                let mut reader = inotify::Reader::new(&self.fd, &mut buffer);
                while let Ok(event) = reader.next() {
                    // Too many events for the kernel's queue: any of them may be among the lost.
                    all |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    if let Some(ids) = watches.get(&event.wd()) {
                        ready.extend(ids);
                    }
                }
            }
        }
        if all {
            return (0..self.count).map(WatchId).collect();
        }
        ready.sort_unstable();
        ready.dedup();
        ready
    }

    /// Blocks until there is something, or the time is over.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Vec<WatchId> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // Interrupted by a signal: the caller sees that nothing is ready, and may look at its flags.
        let _ = poll(
            &mut [PollFd::new(&self.fd, PollFlags::IN)],
            timeout.as_ref(),
        );
        self.ready()
    }
}

fn timer(dir: &Path) -> Result<OwnedFd, LogError> {
    let period = Timespec {
        tv_sec: 0,
        tv_nsec: TIMER_NANOS,
    };
    let spec = Itimerspec {
        it_interval: period,
        it_value: period,
    };
    timerfd_create(
        TimerfdClockId::Monotonic,
        TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
    )
    .and_then(|fd| {
        timerfd_settime(&fd, TimerfdTimerFlags::empty(), &spec)?;
        Ok(fd)
    })
    .map_err(|error| watch_error(dir, error))
}

fn watch_error(dir: &Path, error: Errno) -> LogError {
    LogError::Watch {
        path: dir.to_path_buf(),
        source: io::Error::from(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_that_changes_is_named_once() {
        let [a, b, c] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let mut watch = LogWatch::new().unwrap();
        let a_id = watch.add(a.path()).unwrap();
        let _b_id = watch.add(b.path()).unwrap();
        let c_id = watch.add(c.path()).unwrap();
        let again = watch.add(c.path()).unwrap();
        assert_eq!(watch.ready(), []);
        for dir in [&a, &c, &c] {
            std::fs::write(dir.path().join("current.log"), "x").unwrap();
        }
        assert_eq!(watch.wait(None), [a_id, c_id, again]);
        assert_eq!(watch.wait(Some(Duration::ZERO)), []);
    }

    #[test]
    fn a_timer_names_all_of_them() {
        let mut watch = LogWatch::by_timer().unwrap();
        for _ in 0..2 {
            watch.add(Path::new("/")).unwrap();
        }
        assert_eq!(watch.ready(), []);
        assert_eq!(watch.wait(None), [WatchId(0), WatchId(1)]);
    }
}
