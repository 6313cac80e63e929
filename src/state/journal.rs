//! The journal: what happened to containers, so that `events` can tell it afterwards.
//!
//! One for the machine, because it outlives the projects that it tells of: `down` removes a project
//! and is itself worth telling. Whoever does a deed writes it: supervisors, and commands that act
//! without one. A line is written with one `write` to a file opened for appending, so writers need
//! no lock; lines are JSON.
//!
//! ```text
//! <root>/events/current.log     appended to
//!               previous.log    the one before: what is older is gone
//!               lock            held while the two change places
//! ```
//!
//! Nothing is synced: after a power cut the containers are gone as well.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::records::ContainerRecord;
use super::{Lock, Paths, StateError};

/// A file that is longer than this is put away.
const LIMIT: u64 = 4 << 20;
/// What a program is called with may be long; nobody reads more of it.
const ACTION_MAX: usize = 4096;

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub time: Timestamp,
    /// The project.
    pub project: String,
    /// The service.
    pub service: String,
    /// It is a container of `run`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_off: bool,
    /// Id of the container.
    pub id: String,
    /// What, in Docker's words: `create`, `die`, `health_status: healthy`.
    pub action: String,
    /// Image, name, labels, and what belongs to the action.
    pub attributes: BTreeMap<String, String>,
}

impl Entry {
    /// Something that happens to this container now.
    pub fn of(record: &ContainerRecord, action: impl Into<String>) -> Self {
        // Those of Compose say what the other fields say.
        let own = |name: &str| !name.starts_with("com.docker.compose.");
        let mut attributes: BTreeMap<String, String> = record
            .labels
            .iter()
            .filter(|(name, _)| own(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        attributes.insert("image".to_owned(), record.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        let mut action = action.into();
        if action.len() > ACTION_MAX {
            let mut ends = (0..=ACTION_MAX).rev();
            let end = ends.find(|end| action.is_char_boundary(*end));
            action.truncate(end.unwrap_or(0));
        }
        Self {
            time: Timestamp::now(),
            project: record.project.clone(),
            service: record.service.to_string(),
            one_off: record.one_off,
            id: record.id.clone(),
            action,
            attributes,
        }
    }

    /// The same with one more attribute.
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.attributes.insert(name.to_owned(), value.to_string());
        self
    }

    /// The same at another time.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.time = time;
        self
    }
}

/// Writes an entry down. That it could not be is no reason to stop anything: it goes to the log.
pub fn note(paths: &Paths, entry: &Entry) {
    if let Err(error) = append(&paths.events(), entry, LIMIT) {
        tracing::warn!(
            action = entry.action,
            error = &error as &dyn std::error::Error,
            "cannot write the journal"
        );
    }
}

fn append(dir: &Path, entry: &Entry, limit: u64) -> Result<(), StateError> {
    let path = current(dir);
    let mut line = serde_json::to_vec(entry).map_err(|source| StateError::Damaged {
        path: path.clone(),
        source,
    })?;
    line.push(b'\n');
    let failed = |error| StateError::io("write", &path, error);
    let mut file = match open_to_append(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_dir(dir)?;
            open_to_append(&path)
        }
        result => result,
    }
    .map_err(failed)?;
    file.write_all(&line).map_err(failed)?;
    if file.metadata().is_ok_and(|metadata| metadata.len() > limit) {
        put_away(dir, limit)?;
    }
    Ok(())
}

/// Makes the journal's directory.
fn make_dir(dir: &Path) -> Result<(), StateError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| StateError::io("make", dir, error))
}

fn current(dir: &Path) -> PathBuf {
    dir.join("current.log")
}

fn previous(dir: &Path) -> PathBuf {
    dir.join("previous.log")
}

/// Labels and the arguments of programs may be nobody else's business.
fn open_to_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Begins a new file. Of several writers that see a long one, one does it; what the others still
/// write to the old one is read as well.
fn put_away(dir: &Path, limit: u64) -> Result<(), StateError> {
    let Some(_lock) = Lock::try_acquire(&dir.join("lock"))? else {
        return Ok(());
    };
    let path = current(dir);
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > limit) {
        fs::rename(&path, previous(dir)).map_err(|error| StateError::io("move", &path, error))?;
    }
    Ok(())
}

/// Where to begin to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the oldest entry that is there.
    Beginning,
    /// With what is written from now on.
    Now,
}

/// Reads the journal, and goes on reading what is written to it.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    /// The file before the current one, until it is read.
    older: Option<File>,
    file: Option<File>,
    /// The beginning of a line whose end is still to come.
    rest: Vec<u8>,
}

impl Journal {
    /// Opens it; the directory is made, so that it can be watched.
    pub fn open(paths: &Paths, from: From) -> Result<Self, StateError> {
        Self::open_at(paths.events(), from)
    }

    fn open_at(dir: PathBuf, from: From) -> Result<Self, StateError> {
        if !dir.exists() {
            make_dir(&dir)?;
        }
        let mut journal = Self {
            // In this order: between the two, the current one may become the older one.
            file: open_to_read(&current(&dir))?,
            older: None,
            dir,
            rest: Vec::new(),
        };
        match (from, &mut journal.file) {
            (From::Beginning, _) => journal.older = open_to_read(&previous(&journal.dir))?,
            (From::Now, Some(file)) => {
                let path = current(&journal.dir);
                file.seek(SeekFrom::End(0))
                    .map_err(|error| StateError::io("read", &path, error))?;
            }
            (From::Now, None) => {}
        }
        if let (Some(older), Some(file)) = (&journal.older, &journal.file)
            && identity(older) == identity(file)
        {
            journal.older = None;
        }
        Ok(journal)
    }

    /// The directory that changes when there is something to read.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What has been written since the last call. A line that is no entry is left out: whoever
    /// wrote it was cut off.
    pub fn read(&mut self) -> Result<Vec<Entry>, StateError> {
        let mut entries = Vec::new();
        if let Some(mut older) = self.older.take() {
            self.take(&mut older, &mut entries)?;
            self.rest.clear();
        }
        loop {
            if let Some(mut file) = self.file.take() {
                self.take(&mut file, &mut entries)?;
                self.file = Some(file);
            }
            let now = open_to_read(&current(&self.dir))?;
            let same = match (&now, &self.file) {
                (Some(now), Some(file)) => identity(now) == identity(file),
                // The next one is not begun yet.
                (None, _) => true,
                (Some(_), None) => false,
            };
            if same {
                return Ok(entries);
            }
            self.file = now;
            self.rest.clear();
        }
    }

    fn take(&mut self, file: &mut File, entries: &mut Vec<Entry>) -> Result<(), StateError> {
        file.read_to_end(&mut self.rest)
            .map_err(|error| StateError::io("read", &current(&self.dir), error))?;
        let Some(end) = memchr::memrchr(b'\n', &self.rest) else {
            return Ok(());
        };
        let lines = self.rest[..end].split(|byte| *byte == b'\n');
        entries.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
        self.rest.drain(..=end);
        Ok(())
    }
}

fn open_to_read(path: &Path) -> Result<Option<File>, StateError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::io("read", path, error)),
    }
}

fn identity(file: &File) -> Option<(u64, u64)> {
    let metadata = file.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(action: &str) -> Entry {
        Entry {
            time: Timestamp::from_second(1_700_000_000).unwrap(),
            project: "shop".to_owned(),
            service: "web".to_owned(),
            one_off: false,
            id: "1".repeat(64),
            action: action.to_owned(),
            attributes: BTreeMap::new(),
        }
    }

    fn actions(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.action.as_str()).collect()
    }

    #[test]
    fn what_is_written_is_read_back_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("events");
        append(&dir, &entry("create"), LIMIT).unwrap();
        let mut all = Journal::open_at(dir.clone(), From::Beginning).unwrap();
        let mut new = Journal::open_at(dir.clone(), From::Now).unwrap();
        append(&dir, &entry("start"), LIMIT).unwrap();
        assert_eq!(all.read().unwrap(), [entry("create"), entry("start")]);
        assert_eq!(new.read().unwrap(), [entry("start")]);
        assert_eq!(new.read().unwrap(), []);
    }

    #[test]
    fn who_follows_sees_the_first_entry_of_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("events");
        let mut new = Journal::open_at(dir.clone(), From::Now).unwrap();
        assert_eq!(new.read().unwrap(), []);
        append(&dir, &entry("create"), LIMIT).unwrap();
        assert_eq!(actions(&new.read().unwrap()), ["create"]);
    }

    #[test]
    fn it_never_holds_more_than_two_files_and_a_change_of_files_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let limit = 1000;
        let mut follower = Journal::open_at(dir.to_owned(), From::Now).unwrap();
        let mut seen = Vec::new();
        for number in 0..100 {
            append(dir, &entry(&format!("{number:03}")), limit).unwrap();
            seen.extend(follower.read().unwrap());
        }
        assert_eq!(seen.len(), 100);
        let size: u64 = [current(dir), previous(dir)]
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|metadata| metadata.len())
            .sum();
        assert!(size < 2 * limit + 500, "{size}");
        let left = Journal::open_at(dir.to_owned(), From::Beginning)
            .unwrap()
            .read()
            .unwrap();
        let last: Vec<String> = (100 - left.len()..100).map(|n| format!("{n:03}")).collect();
        assert!(left.len() > 4, "{}", left.len());
        assert_eq!(actions(&left), last);
    }

    #[test]
    fn half_a_line_is_left_out_and_one_that_is_being_written_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        append(dir, &entry("create"), LIMIT).unwrap();
        let mut file = open_to_append(&current(dir)).unwrap();
        let line = serde_json::to_string(&entry("start")).unwrap();
        let (head, tail) = line.split_at(20);
        file.write_all(head.as_bytes()).unwrap();
        let mut journal = Journal::open_at(dir.to_owned(), From::Beginning).unwrap();
        assert_eq!(actions(&journal.read().unwrap()), ["create"]);
        file.write_all(format!("{tail}\n{{\"half\":\n").as_bytes())
            .unwrap();
        append(dir, &entry("die"), LIMIT).unwrap();
        assert_eq!(actions(&journal.read().unwrap()), ["start", "die"]);
    }

    #[test]
    fn writers_need_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        append(dir, &entry("create"), LIMIT).unwrap();
                    }
                });
            }
        });
        let mut journal = Journal::open_at(dir.to_owned(), From::Beginning).unwrap();
        assert_eq!(journal.read().unwrap().len(), 200);
    }
}
