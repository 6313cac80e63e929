//! What earlier builds have made, found again by what it was made of.
//!
//! ```text
//! <root>/build-cache/records/<key>      which layer a step made, and when
//!                    contents/<key>     what a path of an immutable tree hashes to
//!                    files/<key>        hashes of the files of one context directory (stat_cache)
//!                    layers/<hex>       an empty file for each layer that the records need: the image
//!                                       store keeps those
//!                    mounts/<key>/      what `RUN --mount=type=cache` keeps
//!                    working/<key>      locked by the process that makes this step's layer
//! ```
//!
//! Invariant: a key is made of contents, never of times or places, so a record is right for ever; it
//! is only believed while the layer that it names is there. Files appear by rename. Nothing is
//! synced: what a power cut takes is built again.

mod key;
mod prune;
mod stat_cache;

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::image::Digest;
use crate::state::{Lock, StateError, read_json, write_json};

pub(super) use key::{Key, KeyMaker};
pub use prune::{CacheRules, Entry, EntryKind};
pub(super) use stat_cache::{FileHashes, Identity};

/// What the records are that are written now. Those of 1 may name layers whose archives are in disorder.
const VERSION: u32 = 2;

/// What a step made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// Its layer.
    pub(super) layer: Digest,
    /// When.
    pub(super) created: Timestamp,
    /// The instruction, for people.
    pub(super) text: String,
}

/// The work on a step's layer, this process's alone until it is dropped.
#[derive(Debug)]
pub(super) struct Working {
    path: PathBuf,
    _lock: Lock,
}

impl Drop for Working {
    fn drop(&mut self) {
        // Under the lock: whoever waits for it sees that its file is gone, and asks again.
        let _ = fs::remove_file(&self.path);
    }
}

/// The cache of one stack root.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache below `root`, the directory with everything of stack.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        let cache = Self {
            root: root.join("build-cache"),
        };
        for name in [
            "records", "contents", "files", "layers", "mounts", "working",
        ] {
            let dir = cache.root.join(name);
            fs::create_dir_all(&dir).map_err(|error| StateError::io("make", &dir, error))?;
        }
        Ok(cache)
    }

    fn at(&self, kind: &str, key: &Key) -> PathBuf {
        self.root.join(kind).join(key.hex())
    }

    /// What a step with this key made. A record that cannot be read, or of another version, is none.
    pub(super) fn find(&self, key: &Key) -> Option<Record> {
        let path = self.at("records", key);
        let record: Option<Record> = read_json(&path).ok().flatten();
        let record = record.filter(|record| record.version == VERSION)?;
        // The time says when it was last of use.
        let now = rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        };
        let times = rustix::fs::Timestamps {
            last_access: now,
            last_modification: now,
        };
        let none = rustix::fs::AtFlags::empty();
        let _ = rustix::fs::utimensat(rustix::fs::CWD, &path, &times, none);
        Some(record)
    }

    /// Remembers what a step made.
    pub(super) fn put(
        &self,
        key: &Key,
        layer: Digest,
        (created, text): (Timestamp, &str),
    ) -> Result<(), StateError> {
        // First the mark: whoever collects garbage between the two finds a layer too many.
        let mark = self.root.join("layers").join(layer.hex());
        fs::write(&mark, "").map_err(|error| StateError::io("write", &mark, error))?;
        let record = Record {
            version: VERSION,
            layer,
            created,
            text: text.to_owned(),
        };
        write_json(&self.at("records", key), &record)
    }

    /// Remembers when something was made that has no layer of its own.
    pub(super) fn put_date(&self, key: &Key, created: Timestamp) -> Result<(), StateError> {
        let record = Record {
            version: VERSION,
            layer: Digest::of(b""),
            created,
            text: String::new(),
        };
        write_json(&self.at("records", key), &record)
    }

    /// The work on the layer of a step with this key; `None` while another process is at it. It ends with
    /// that process, however that ends.
    pub(super) fn work(&self, key: &Key) -> Result<Option<Working>, StateError> {
        let path = self.at("working", key);
        let lock = Lock::try_acquire(&path)?;
        Ok(lock.map(|_lock| Working { path, _lock }))
    }

    /// A document that was remembered.
    pub(super) fn document<T: serde::de::DeserializeOwned>(&self, key: &Key) -> Option<T> {
        read_json(&self.at("contents", key)).ok().flatten()
    }

    /// Remembers a document.
    pub(super) fn put_document<T: Serialize>(
        &self,
        key: &Key,
        value: &T,
    ) -> Result<(), StateError> {
        write_json(&self.at("contents", key), value)
    }

    /// What was remembered of an immutable tree.
    pub(super) fn content(&self, key: &Key) -> Option<Digest> {
        read_json(&self.at("contents", key)).ok().flatten()
    }

    /// Remembers it.
    pub(super) fn put_content(&self, key: &Key, digest: &Digest) -> Result<(), StateError> {
        write_json(&self.at("contents", key), digest)
    }

    /// The file with the hashes of a context.
    pub(super) fn files(&self, key: &Key) -> PathBuf {
        self.at("files", key)
    }

    /// The directory of a cache mount.
    pub(super) fn mount(&self, key: &Key) -> PathBuf {
        self.at("mounts", key)
    }

    /// Layers that the records need (hexadecimal digits of their diff ids).
    pub fn layers(&self) -> Vec<String> {
        names(&self.root.join("layers"))
    }

    /// What there is, for those who look or clean up. `bytes` gives the size of a layer.
    pub fn entries(&self, bytes: impl Fn(&Digest) -> u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        let records = self.root.join("records");
        for name in names(&records) {
            let path = records.join(&name);
            // A record that cannot be read is of no use, and takes no more than its name.
            let record = read_json::<Record>(&path).ok().flatten();
            entries.push(Entry {
                kind: EntryKind::Step,
                id: name,
                used: modified(&path),
                bytes: record.as_ref().map_or(0, |record| bytes(&record.layer)),
                text: record
                    .as_ref()
                    .map_or_else(String::new, |record| record.text.clone()),
                layer: record.map(|record| record.layer),
            });
        }
        let mounts = self.root.join("mounts");
        for name in names(&mounts) {
            let path = mounts.join(&name);
            entries.push(Entry {
                kind: EntryKind::Mount,
                id: name,
                used: modified(&path),
                bytes: crate::state::disk_usage(&path),
                text: "RUN --mount=type=cache".to_owned(),
                layer: None,
            });
        }
        entries.sort_by(|a, b| a.used.cmp(&b.used).then_with(|| a.id.cmp(&b.id)));
        entries
    }

    /// Forgets these entries, and the layers that no record needs any more: the image store can delete
    /// those then. What is only remembered of files goes with the last record. No build may be at work.
    pub fn forget(&self, doomed: &[&Entry]) -> Result<(), StateError> {
        for entry in doomed {
            match entry.kind {
                EntryKind::Step => {
                    crate::state::remove_file(&self.root.join("records").join(&entry.id))?;
                }
                EntryKind::Mount => {
                    let path = self.root.join("mounts").join(&entry.id);
                    crate::image::remove_directory(&path)
                        .map_err(|error| StateError::io("remove", &path, error))?;
                }
            }
        }
        let records = self.root.join("records");
        let left = names(&records);
        let needed: std::collections::HashSet<String> = left
            .iter()
            .filter_map(|name| read_json::<Record>(&records.join(name)).ok().flatten())
            .map(|record| record.layer.hex())
            .collect();
        for name in self.layers() {
            if !needed.contains(&name) {
                crate::state::remove_file(&self.root.join("layers").join(name))?;
            }
        }
        if left.is_empty() {
            for kind in ["contents", "files", "working"] {
                for name in names(&self.root.join(kind)) {
                    crate::state::remove_file(&self.root.join(kind).join(name))?;
                }
            }
        }
        Ok(())
    }
}

fn modified(path: &Path) -> Timestamp {
    let found = fs::metadata(path).and_then(|metadata| metadata.modified());
    let found = found.ok().and_then(|time| Timestamp::try_from(time).ok());
    found.unwrap_or(Timestamp::UNIX_EPOCH)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.len() == 64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let key = KeyMaker::new("run").text("line", "make").finish();
        let other = KeyMaker::new("run").text("line", "make all").finish();
        let layer = Digest::of(b"layer");
        let now = Timestamp::now();
        cache.put(&key, layer, (now, "RUN make")).unwrap();
        assert_eq!(cache.find(&key).unwrap().layer, layer);
        assert_eq!(cache.find(&other), None);
        assert_eq!(cache.layers(), [layer.hex()]);
        let mount = cache.mount(&key);
        fs::create_dir_all(mount.join("deep")).unwrap();
        fs::write(mount.join("deep/file"), [0; 5000]).unwrap();
        let entries = cache.entries(|_| 7);
        let bytes: Vec<u64> = entries.iter().map(|entry| entry.bytes).collect();
        assert_eq!(entries.len(), 2);
        assert!(
            bytes.contains(&7) && bytes.iter().sum::<u64>() >= 5007,
            "{bytes:?}"
        );
        cache.forget(&entries.iter().collect::<Vec<_>>()).unwrap();
        assert!(!mount.exists());
        assert_eq!(cache.find(&key), None);
        assert!(cache.layers().is_empty());
    }

    #[test]
    fn one_at_a_time_works_at_a_step() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();
        let key = KeyMaker::new("run").text("line", "make").finish();
        let other = KeyMaker::new("run").text("line", "make all").finish();
        let first = cache.work(&key).unwrap();
        assert!(first.is_some() && cache.work(&key).unwrap().is_none());
        assert!(cache.work(&other).unwrap().is_some());
        drop(first);
        assert!(cache.work(&key).unwrap().is_some());
        let left = fs::read_dir(dir.path().join("build-cache/working")).unwrap();
        assert_eq!(left.count(), 0);
    }
}
