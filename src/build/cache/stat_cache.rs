//! Hashes of files, remembered with what `stat` says of them: a context that nobody touched costs
//! no reads.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

use crate::image::Digest;

const MAGIC: &[u8; 8] = b"stackfh1";
const RECORD: usize = 72;
/// A file that changed within this time could change again without another time of change: clocks of
/// file systems tick 100 to 1000 times a second.
const SETTLED: i128 = 50_000_000;

/// What tells one state of one file from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970.
    modified: i64,
    changed: i64,
}

impl Identity {
    pub(in crate::build) fn of(stat: &Stat) -> Self {
        let nanos = |seconds: i64, nanoseconds: i64| {
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds)
        };
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: nanos(
                stat.st_mtime,
                i64::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
            changed: nanos(
                stat.st_ctime,
                i64::try_from(stat.st_ctime_nsec).unwrap_or(0),
            ),
        }
    }
}

/// The hashes of one context's files.
#[derive(Debug)]
pub(in crate::build) struct FileHashes {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<(u64, u64), (Identity, Digest)>,
    fresh: bool,
}

impl FileHashes {
    /// Reads what earlier builds have found out; a file that cannot be read is an empty one.
    pub(in crate::build) fn open(path: PathBuf) -> Self {
        let known = fs::read(&path).map_or_else(|_| HashMap::new(), |bytes| parse(&bytes));
        let fresh = false;
        Self {
            path,
            state: Mutex::new(State { known, fresh }),
        }
    }

    /// The hash of a file in this state.
    pub(in crate::build) fn find(&self, identity: &Identity) -> Option<Digest> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, digest) = state.known.get(&(identity.device, identity.inode))?;
        (known == identity).then_some(*digest)
    }

    /// Remembers a hash that was just found out, unless the file may still change unseen.
    pub(in crate::build) fn put(&self, identity: Identity, digest: Digest) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| i128::try_from(now.as_nanos()).unwrap_or(0));
        let latest = i128::from(identity.modified.max(identity.changed));
        if now - latest < SETTLED {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (identity.device, identity.inode);
        state.known.insert(key, (identity, digest));
        state.fresh = true;
    }

    /// Writes down what is new. That it cannot be written costs time in the next build, no more.
    pub(in crate::build) fn save(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut state.fresh) {
            return;
        }
        let mut bytes = Vec::with_capacity(MAGIC.len() + state.known.len() * RECORD);
        bytes.extend_from_slice(MAGIC);
        for (identity, digest) in state.known.values() {
            for number in [identity.device, identity.inode, identity.size] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for number in [identity.modified, identity.changed] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(digest.as_bytes());
        }
        if let Err(error) = replace(&self.path, &bytes) {
            tracing::debug!(path = %self.path.display(), %error, "cannot remember hashes");
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("tmp{:08x}", fastrand::u32(..)));
    fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path))
}

fn parse(bytes: &[u8]) -> HashMap<(u64, u64), (Identity, Digest)> {
    let mut known = HashMap::new();
    let Some(records) = bytes.strip_prefix(MAGIC) else {
        return known;
    };
    for record in records.chunks_exact(RECORD) {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&record[at..at + 8]);
            bytes
        };
        let mut digest = [0; 32];
        digest.copy_from_slice(&record[40..72]);
        let identity = Identity {
            device: u64::from_le_bytes(number(0)),
            inode: u64::from_le_bytes(number(8)),
            size: u64::from_le_bytes(number(16)),
            modified: i64::from_le_bytes(number(24)),
            changed: i64::from_le_bytes(number(32)),
        };
        let key = (identity.device, identity.inode);
        known.insert(key, (identity, Digest::from_bytes(digest)));
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(inode: u64, changed: i64) -> Identity {
        Identity {
            device: 1,
            inode,
            size: 3,
            modified: -5,
            changed,
        }
    }

    #[test]
    fn hashes_are_found_by_later_builds_while_the_file_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hashes");
        let hashes = FileHashes::open(path.clone());
        hashes.put(identity(7, 1000), Digest::of(b"a"));
        hashes.put(identity(8, i64::MAX), Digest::of(b"too young"));
        hashes.save();
        let again = FileHashes::open(path.clone());
        assert_eq!(again.find(&identity(7, 1000)), Some(Digest::of(b"a")));
        assert_eq!(again.find(&identity(7, 1001)), None);
        assert_eq!(again.find(&identity(8, i64::MAX)), None);
        fs::write(&path, "damaged").unwrap();
        assert_eq!(FileHashes::open(path).find(&identity(7, 1000)), None);
    }
}
