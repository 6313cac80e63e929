//! What is known of the watched files, and what is different by now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::change::{Change, Changes};
use super::interest::Interest;
use super::register::{Hint, Limit, Refused, Register};

/// The watched files as they were at the last look.
///
/// Roots may be files, directories, or nothing yet. Besides them and what is in them, the nearest
/// directory above each is watched: by what happens there it is learnt that a root comes and goes.
pub(super) struct Tree {
    roots: Vec<PathBuf>,
    interest: Box<dyn Interest>,
    /// `None` = there are no events: somebody calls [`Tree::compare`] every now and then.
    register: Option<Box<dyn Register>>,
    /// Why there are no events, until it has been told.
    limit: Option<Limit>,
    registered: BTreeSet<PathBuf>,
    known: BTreeMap<PathBuf, Stamp>,
    /// Where to look → something was written there.
    dirty: BTreeMap<PathBuf, bool>,
    /// Look everywhere.
    lost: bool,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    mode: u32,
    owner: (u32, u32),
    file: (u64, u64),
    /// Zero for directories: their entries are looked at themselves.
    size: u64,
    modified: (i64, i64),
}

/// What an event was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// Nothing that matters.
    Nothing,
    /// A path that is to be looked at already.
    Again,
    /// Another path.
    Fresh,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        fs::symlink_metadata(path)
            .ok()
            .map(|found| Self::from(&found))
    }

    fn is_dir(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }

    /// Another thing has taken the name, not only other attributes.
    fn is_same_thing(&self, other: &Self) -> bool {
        self.file == other.file && self.is_dir() == other.is_dir()
    }
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        let dir = found.is_dir();
        Self {
            mode: found.mode(),
            owner: (found.uid(), found.gid()),
            file: (found.dev(), found.ino()),
            size: if dir { 0 } else { found.size() },
            modified: match dir {
                true => (0, 0),
                false => (found.mtime(), found.mtime_nsec()),
            },
        }
    }
}

impl Tree {
    /// Registers all directories that matter and takes down what is there.
    pub(super) fn new(
        roots: Vec<PathBuf>,
        interest: Box<dyn Interest>,
        register: Result<Box<dyn Register>, Limit>,
    ) -> Self {
        let (register, limit) = match register {
            Ok(register) => (Some(register), None),
            Err(limit) => (None, Some(limit)),
        };
        let mut tree = Self {
            roots: Vec::new(),
            interest,
            register,
            limit,
            registered: BTreeSet::new(),
            known: BTreeMap::new(),
            dirty: BTreeMap::new(),
            lost: false,
        };
        tree.set_roots(roots);
        tree
    }

    /// Watches other roots; what they have in common with those before stays known.
    pub(super) fn set_roots(&mut self, roots: Vec<PathBuf>) {
        self.roots = roots;
        let is_below = |path: &Path, roots: &[PathBuf]| roots.iter().any(|r| path.starts_with(r));
        self.known.retain(|path, _| is_below(path, &self.roots));
        self.anchor();
        for root in self.roots.clone() {
            if !self.known.contains_key(&root) {
                self.learn(&root);
            }
        }
    }

    /// Whether the kernel says when to look.
    pub(super) fn has_events(&self) -> bool {
        self.register.is_some()
    }

    /// Why there are no events; once.
    pub(super) fn take_limit(&mut self) -> Option<Limit> {
        self.limit.take()
    }

    /// An event has come.
    pub(super) fn note(&mut self, path: &Path, hint: Hint) -> Noted {
        if self.is_below_root(path) {
            return self.note_below(path, hint);
        }
        let is_above = self.roots.iter().any(|root| root.starts_with(path));
        if !is_above || hint != Hint::Name {
            return Noted::Nothing;
        }
        // A directory on the way to a root has come or gone.
        self.unregister(path);
        self.anchor();
        for root in self.roots.clone() {
            if root.starts_with(path) {
                self.enter(&root);
                self.dirty.entry(root).or_default();
            }
        }
        Noted::Fresh
    }

    fn note_below(&mut self, path: &Path, hint: Hint) -> Noted {
        let mut is_dir = false;
        if hint == Hint::Name {
            // The name may stand for another directory than the one that is registered under it.
            let was_dir = self.registered.contains(path);
            is_dir = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
                && self.interest.enters(path);
            self.unregister(path);
            if is_dir {
                self.enter(path);
            }
            is_dir |= was_dir;
        }
        let written = hint == Hint::Written;
        if let Some(known) = self.dirty.get_mut(path) {
            *known |= written;
            return Noted::Again;
        }
        if !is_dir && !self.known.contains_key(path) && !self.interest.wants(path) {
            return Noted::Nothing;
        }
        self.dirty.insert(path.to_owned(), written);
        Noted::Fresh
    }

    /// Events have been dropped.
    pub(super) fn note_lost(&mut self) {
        self.lost = true;
    }

    /// What is different where something has happened.
    pub(super) fn take(&mut self) -> Changes {
        let dirty = std::mem::take(&mut self.dirty);
        let mut changes = match std::mem::take(&mut self.lost) {
            true => self.compare(),
            false => Changes::default(),
        };
        for (path, written) in dirty {
            self.look(&path, written, &mut changes);
        }
        changes
    }

    /// What is different anywhere.
    pub(super) fn compare(&mut self) -> Changes {
        let mut changes = Changes::default();
        self.anchor();
        for root in self.roots.clone() {
            self.look(&root, false, &mut changes);
            self.compare_below(&root, &mut changes);
        }
        changes
    }

    /// Takes down what is at a root and below it.
    fn learn(&mut self, root: &Path) {
        let mut found = BTreeMap::new();
        self.walk(root, &mut found);
        self.known.append(&mut found);
        if let Some(stamp) = Stamp::of(root) {
            self.known.insert(root.to_owned(), stamp);
        }
    }

    fn look(&mut self, path: &Path, written: bool, changes: &mut Changes) {
        let old = self.known.get(path).copied();
        let Some(new) = self.stamp(path) else {
            return self.forget(path, changes);
        };
        let change = match old {
            None => Some(Change::Created),
            Some(old) if old != new || written && !new.is_dir() => Some(Change::Changed),
            Some(_) => None,
        };
        if let Some(change) = change {
            self.report(path, change, changes);
        }
        self.known.insert(path.to_owned(), new);
        if !old.is_some_and(|old| old.is_same_thing(&new)) {
            self.compare_below(path, changes);
        }
    }

    /// What stands at a path; nothing does behind a symbolic link that has taken a directory's name.
    fn stamp(&self, path: &Path) -> Option<Stamp> {
        let parent = path.parent().and_then(|parent| self.known.get(parent));
        let is_reached = parent.is_some_and(Stamp::is_dir) || self.roots.iter().any(|r| r == path);
        is_reached.then(|| Stamp::of(path)).flatten()
    }

    /// Compares what is below a path, which need be no directory, with what was there.
    fn compare_below(&mut self, path: &Path, changes: &mut Changes) {
        let mut found = BTreeMap::new();
        self.walk(path, &mut found);
        let gone = self.below(path).filter(|known| !found.contains_key(*known));
        for gone in gone.cloned().collect::<Vec<_>>() {
            self.unregister(&gone);
            self.report(&gone, Change::Removed, changes);
        }
        for (path, new) in &found {
            match self.known.get(path) {
                None => self.report(path, Change::Created, changes),
                Some(old) if old != new => self.report(path, Change::Changed, changes),
                Some(_) => {}
            }
        }
        let old: Vec<PathBuf> = self.below(path).cloned().collect();
        for path in &old {
            self.known.remove(path);
        }
        self.known.append(&mut found);
    }

    /// A path is gone, with all that was below it.
    fn forget(&mut self, path: &Path, changes: &mut Changes) {
        let known = self.known.contains_key(path).then(|| path.to_owned());
        let gone: Vec<PathBuf> = known.into_iter().chain(self.below(path).cloned()).collect();
        for path in gone {
            self.known.remove(&path);
            self.report(&path, Change::Removed, changes);
        }
        self.unregister(path);
    }

    fn report(&self, path: &Path, change: Change, changes: &mut Changes) {
        if self.interest.wants(path) {
            changes.add(path.to_owned(), change);
        }
    }

    /// The known paths below a path.
    fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        // Paths are ordered part by part: what is below one follows it directly.
        let from = self.known.range(path.to_owned()..).map(|(path, _)| path);
        from.skip_while(move |known| *known == path)
            .take_while(move |known| known.starts_with(path))
    }

    fn is_below_root(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }

    /// Registers a directory and those in it, and marks everything in it to be looked at.
    fn enter(&mut self, directory: &Path) {
        let mut found = BTreeMap::new();
        self.walk(directory, &mut found);
        let known: Vec<PathBuf> = self.below(directory).cloned().collect();
        for path in known.into_iter().chain(found.into_keys()) {
            self.dirty.entry(path).or_default();
        }
    }

    /// Collects what matters below a path. Each directory is registered before it is read.
    fn walk(&mut self, path: &Path, found: &mut BTreeMap<PathBuf, Stamp>) {
        let is_dir = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
        if !is_dir || !self.interest.enters(path) {
            return;
        }
        let mut rest = vec![path.to_owned()];
        while let Some(directory) = rest.pop() {
            self.register(&directory);
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path = entry.path();
                let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let enters = is_dir && self.interest.enters(&path);
                if !enters && !self.interest.wants(&path) {
                    continue;
                }
                // Gone by now: its event will come.
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                found.insert(path.clone(), Stamp::from(&metadata));
                if enters {
                    rest.push(path);
                }
            }
        }
    }

    /// Sees to it that the nearest directory above each root is registered.
    fn anchor(&mut self) {
        for root in self.roots.clone() {
            loop {
                let nearest = root.ancestors().skip(1).find(|above| above.is_dir());
                let Some(nearest) = nearest.map(Path::to_owned) else {
                    break;
                };
                // When it was there before the look, nothing can have come unseen since.
                if self.registered.contains(&nearest) || !self.register(&nearest) {
                    break;
                }
            }
        }
    }

    /// Registers a directory; whether its events come in now.
    fn register(&mut self, directory: &Path) -> bool {
        let Some(register) = &mut self.register else {
            return false;
        };
        if self.registered.contains(directory) {
            return true;
        }
        match register.add(directory) {
            Ok(()) => self.registered.insert(directory.to_owned()),
            Err(Refused::Unreadable) => false,
            Err(Refused::Limit(limit)) => {
                // Watches are given back: somebody else can have them.
                self.register = None;
                self.registered.clear();
                self.limit = Some(limit);
                false
            }
        }
    }

    fn unregister(&mut self, path: &Path) {
        let below = self.registered.range(path.to_owned()..);
        let below = below.take_while(|known| known.starts_with(path));
        let gone: Vec<PathBuf> = below.cloned().collect();
        for directory in gone {
            self.registered.remove(&directory);
            if let Some(register) = &mut self.register {
                register.remove(&directory);
            }
        }
    }
}

#[cfg(test)]
mod tests;
