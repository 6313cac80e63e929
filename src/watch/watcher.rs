//! Watching, on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::change::{Change, Changes};
use super::debounce::Debouncer;
use super::interest::{Interest, RootsAlone};
use super::links;
use super::register::{Inotify, Limit, Message, Register};
use super::tree::{Noted, Tree};

/// Time between two looks where there are no events; big trees are looked at less often.
const POLL: Duration = Duration::from_millis(500);
/// No more than this part of the time goes into looking.
const POLL_SHARE: u32 = 10;

/// What is watched.
pub enum Watch {
    /// These files, which need not exist yet, each by itself. A file is another one, too, when a
    /// symbolic link on the way to it is.
    Files(Vec<PathBuf>),
    /// Files and all that is in directories, as far as it matters; they need not exist yet.
    /// Symbolic links are files, whatever they lead to.
    Trees(Vec<PathBuf>, Box<dyn Interest>),
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// No thread for it.
    #[error("cannot start a thread that watches files")]
    Thread(#[source] std::io::Error),
    /// A path from nowhere.
    #[error("{} is not an absolute path", .0.display())]
    Relative(PathBuf),
}

/// What a watcher has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Files have changed.
    Changes(Changes),
    /// The kernel does not say when files change, for this reason: they are looked at every now and
    /// then. It comes once at the most, and only changes follow.
    Polling(Limit),
}

/// Watches files until it is dropped.
pub struct Watcher {
    shared: Arc<Shared>,
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    told: Mutex<Slot>,
    /// For those who wait in the async runtime.
    async_news: Notify,
    /// For those who do not.
    news: Condvar,
}

/// What has not been fetched yet: changes that come meanwhile are added to it.
#[derive(Default)]
struct Slot {
    changes: Changes,
    limit: Option<Limit>,
}

impl Watcher {
    /// Starts to watch. When this returns, no later change is missed.
    pub fn start(watch: Watch) -> Result<Self, WatchError> {
        Self::start_with(watch, |events| {
            Inotify::new(events).map(|inotify| Box::new(inotify) as Box<dyn Register>)
        })
    }

    fn start_with(
        watch: Watch,
        register: impl FnOnce(Sender<Message>) -> Result<Box<dyn Register>, Limit>,
    ) -> Result<Self, WatchError> {
        let (Watch::Files(paths) | Watch::Trees(paths, _)) = &watch;
        if let Some(path) = paths.iter().find(|path| !path.is_absolute()) {
            return Err(WatchError::Relative(path.clone()));
        }
        let (sender, messages) = channel();
        let shared = Arc::<Shared>::default();
        let mut looker = Looker::new(watch, register(sender.clone()), Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || looker.run(&messages))
            .map_err(WatchError::Thread)?;
        Ok(Self {
            shared,
            messages: sender,
            thread: Some(thread),
        })
    }

    /// Waits for news. What has come since the last call is one set.
    pub async fn next(&mut self) -> Told {
        loop {
            if let Some(told) = self.shared.slot().take() {
                return told;
            }
            // A permit is kept for a call that comes later: nothing is missed in between.
            self.shared.async_news.notified().await;
        }
    }

    /// Waits in the same way, outside an async runtime, for so long at the most.
    pub fn wait(&mut self, limit: Duration) -> Option<Told> {
        let empty = |slot: &mut Slot| !slot.has_news();
        let waited = self
            .shared
            .news
            .wait_timeout_while(self.shared.slot(), limit, empty);
        let (mut slot, _) = waited.unwrap_or_else(PoisonError::into_inner);
        slot.take()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It has ended when it does not listen.
        let _ = self.messages.send(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, changes: Changes, limit: Option<Limit>) {
        if changes.is_empty() && limit.is_none() {
            return;
        }
        let mut slot = self.slot();
        slot.changes.merge(changes);
        slot.limit = slot.limit.take().or(limit);
        drop(slot);
        self.async_news.notify_one();
        self.news.notify_all();
    }
}

impl Slot {
    fn has_news(&self) -> bool {
        !self.changes.is_empty() || self.limit.is_some()
    }

    fn take(&mut self) -> Option<Told> {
        if let Some(limit) = self.limit.take() {
            return Some(Told::Polling(limit));
        }
        match self.changes.is_empty() {
            true => None,
            false => Some(Told::Changes(std::mem::take(&mut self.changes))),
        }
    }
}

/// Looks where there is something to see.
struct Looker {
    tree: Tree,
    /// Files that are watched by themselves; the tree's roots are what is on the way to them.
    files: Option<Vec<PathBuf>>,
    debouncer: Debouncer,
    poll: Poll,
    shared: Arc<Shared>,
}

/// Looking without events.
#[derive(Debug)]
struct Poll {
    at: Instant,
    every: Duration,
    /// What was found while more keeps coming.
    found: Changes,
}

impl Looker {
    fn new(watch: Watch, register: Result<Box<dyn Register>, Limit>, shared: Arc<Shared>) -> Self {
        let began = Instant::now();
        let (files, roots, interest): (_, _, Box<dyn Interest>) = match watch {
            Watch::Files(files) => {
                let roots = all_ways(&files);
                (Some(files), roots, Box::new(RootsAlone))
            }
            Watch::Trees(roots, interest) => (None, outermost(roots), interest),
        };
        let mut looker = Self {
            tree: Tree::new(roots, interest, register),
            files,
            debouncer: Debouncer::default(),
            poll: Poll {
                at: Instant::now() + POLL,
                every: POLL.max(began.elapsed() * POLL_SHARE),
                found: Changes::default(),
            },
            shared,
        };
        looker.tell(Changes::default());
        looker
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let due = match self.tree.has_events() {
                true => self.debouncer.due(),
                false => Some(self.poll.at),
            };
            let message = match due {
                None => messages.recv().map_err(RecvTimeoutError::from),
                Some(due) => messages.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match message {
                Ok(Message::Look(path, hint)) => match self.tree.note(&path, hint) {
                    Noted::Nothing => {}
                    noted => self.debouncer.note(Instant::now(), noted == Noted::Fresh),
                },
                Ok(Message::Lost) => {
                    self.tree.note_lost();
                    self.debouncer.note(Instant::now(), true);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                self.look();
            }
        }
    }

    fn look(&mut self) {
        if !self.tree.has_events() {
            return self.look_everywhere();
        }
        self.debouncer.taken();
        let changes = self.tree.take();
        self.tell(changes);
    }

    /// Looks without events. Changes are told when a look finds no more of them.
    fn look_everywhere(&mut self) {
        let began = Instant::now();
        // What events have said before there were none any more.
        self.debouncer.taken();
        self.poll.found.merge(self.tree.take());
        let more = self.tree.compare();
        let is_quiet = more.is_empty();
        self.poll.found.merge(more);
        self.poll.every = POLL.max(began.elapsed() * POLL_SHARE);
        let pause = match is_quiet || self.poll.found.is_empty() {
            true => self.poll.every,
            false => self.poll.every / 5,
        };
        self.poll.at = Instant::now() + pause;
        if is_quiet {
            let found = std::mem::take(&mut self.poll.found);
            self.tell(found);
        }
    }

    fn tell(&mut self, changes: Changes) {
        let changes = match &self.files {
            None => changes,
            Some(files) => {
                let told = of_files(files, &changes);
                if !changes.is_empty() {
                    // A link may lead elsewhere now.
                    self.tree.set_roots(all_ways(files));
                }
                told
            }
        };
        let limit = self.tree.take_limit();
        self.shared.tell(changes, limit);
    }
}

/// What is on the way to files, and the files themselves.
fn all_ways(files: &[PathBuf]) -> Vec<PathBuf> {
    let ways: BTreeSet<PathBuf> = files.iter().flat_map(|file| links::way_to(file)).collect();
    ways.into_iter().collect()
}

/// The files that have changed, when something on the way to them has.
fn of_files(files: &[PathBuf], changes: &Changes) -> Changes {
    let by_path: BTreeMap<&Path, Change> = changes.iter().collect();
    let mut told = Changes::default();
    for file in files {
        let way = links::way_to(file);
        let mut on_way = way.iter().flat_map(|path| path.ancestors());
        if !on_way.any(|path| by_path.contains_key(path)) {
            continue;
        }
        let change = match by_path.get(file.as_path()) {
            _ if !file.exists() => Change::Removed,
            Some(change) => *change,
            None => Change::Changed,
        };
        told.add(file.clone(), change);
    }
    told
}

/// The roots that are in no other, without links on the way to them.
fn outermost(roots: Vec<PathBuf>) -> Vec<PathBuf> {
    let all: BTreeSet<PathBuf> = roots
        .iter()
        .map(|root| links::without_links(root))
        .collect();
    let mut outermost: Vec<PathBuf> = Vec::new();
    // A directory comes before what is in it.
    for root in all {
        if !outermost.iter().any(|other| root.starts_with(other)) {
            outermost.push(root);
        }
    }
    outermost
}

#[cfg(test)]
mod tests;
