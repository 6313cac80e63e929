//! Reading and replacing small files.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a piece of state could not be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// The file system said no.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The content is not what this program writes.
    #[error("{} is damaged or written by another version of stack", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl StateError {
    /// An io error with its path.
    pub fn io(verb: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }
}

/// Reads a JSON file; `None` when there is none.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", path, error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| StateError::Damaged {
            path: path.to_owned(),
            source,
        })
}

/// Replaces a JSON file by writing a temporary beside it and renaming: readers see the old or the
/// new content. It does not sync: after a power cut the containers are gone as well.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), StateError> {
    // Of its own for each writer: threads of one process may write the same file.
    let unique = format!("tmp{}-{:08x}", std::process::id(), fastrand::u32(..));
    let temporary = path.with_extension(unique);
    let bytes = serde_json::to_vec(value).map_err(|source| StateError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    // What is written may hold the values of secrets.
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        StateError::io("write", path, error)
    })
}

/// Removes a file; it need not exist.
pub fn remove_file(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StateError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Bytes that a file or directory takes of the disk, links not followed; a file with several names is
/// counted once. What cannot be looked at, or goes meanwhile, counts nothing.
pub fn disk_usage(path: &Path) -> u64 {
    const BLOCK: u64 = 512;
    let mut seen = std::collections::HashSet::new();
    let mut rest = vec![path.to_owned()];
    let mut bytes = 0;
    while let Some(path) = rest.pop() {
        let Ok(found) = fs::symlink_metadata(&path) else {
            continue;
        };
        if found.nlink() == 1 || found.is_dir() || seen.insert((found.dev(), found.ino())) {
            bytes += found.blocks() * BLOCK;
        }
        if found.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            rest.extend(entries.map(|entry| entry.path()));
        }
    }
    bytes
}

/// Takes an object's directory away at once by renaming it to `.gone-…` beside it: where it is now,
/// still to be emptied by [`empty_gone`]; `None` when it did not exist.
pub fn retire_dir(path: &Path) -> Result<Option<PathBuf>, StateError> {
    let Some(name) = path.file_name() else {
        return Ok(None);
    };
    let gone = path.with_file_name(format!(
        ".gone-{}-{:08x}",
        name.to_string_lossy(),
        fastrand::u32(..)
    ));
    match fs::rename(path, &gone) {
        Ok(()) => Ok(Some(gone)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::io("remove", path, error)),
    }
}

/// Removes what [`retire_dir`] has taken away.
pub fn empty_gone(gone: &Path) -> Result<(), StateError> {
    match fs::remove_dir_all(gone) {
        // Somebody who swept was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| StateError::io("remove", gone, error)),
    }
}

/// Removes an object's directory. It need not exist. What a crash leaves is swept by
/// [`sweep_gone`].
pub fn remove_dir(path: &Path) -> Result<(), StateError> {
    match retire_dir(path)? {
        Some(gone) => empty_gone(&gone),
        None => Ok(()),
    }
}

/// Removes what an interrupted [`remove_dir`] has left in a directory of objects.
pub fn sweep_gone(objects: &Path) {
    let Ok(entries) = fs::read_dir(objects) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(".gone-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_may_write_the_same_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.json");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for number in 0..100 {
                        write_json(&path, &number).unwrap();
                    }
                });
            }
        });
        assert_eq!(read_json::<i32>(&path).unwrap(), Some(99));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read_json::<Vec<u32>>(&path).unwrap(), None);
        write_json(&path, &vec![1, 2]).unwrap();
        write_json(&path, &vec![3]).unwrap();
        assert_eq!(read_json::<Vec<u32>>(&path).unwrap(), Some(vec![3]));
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "no temporary is left"
        );
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::write(&path, "{").unwrap();
        let error = read_json::<Vec<u32>>(&path).unwrap_err().to_string();
        assert!(error.contains("a.json is damaged"), "{error}");
    }

    #[test]
    fn removing_a_directory_twice_is_fine_and_leavings_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let object = dir.path().join("object");
        fs::create_dir_all(object.join("deep")).unwrap();
        remove_dir(&object).unwrap();
        remove_dir(&object).unwrap();
        fs::create_dir_all(dir.path().join(".gone-x-1/deep")).unwrap();
        sweep_gone(dir.path());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
