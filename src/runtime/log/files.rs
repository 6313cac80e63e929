//! The names of the files of one log, and how they move at a rotation.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::LogError;

/// The current file (0), or one that was rotated so many times.
pub(super) fn path(dir: &Path, age: u32) -> PathBuf {
    match age {
        0 => dir.join("current.log"),
        age => dir.join(format!("current.log.{age}")),
    }
}

/// Makes the directory of a log, not for everybody to read.
pub(super) fn make_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir)
}

/// Opens the current file to append to, or makes it.
pub(super) fn open_current(dir: &Path) -> io::Result<File> {
    options().open(path(dir, 0))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW);
    options
}

/// Moves every file one place back and makes a new current one; the oldest goes.
///
/// The new file is made first: when there is no room for it, nothing has been moved. Readers may
/// find no current file for a moment.
pub(super) fn rotate(dir: &Path, keep: u32) -> io::Result<File> {
    let fresh_path = dir.join("current.log.new");
    let fresh = options().truncate(false).open(&fresh_path)?;
    let is_there = |age: &u32| path(dir, *age).symlink_metadata().is_ok();
    let count = (0..keep.saturating_sub(1)).take_while(is_there).count() as u32;
    for age in (0..count).rev() {
        fs::rename(path(dir, age), path(dir, age + 1))?;
    }
    fs::rename(&fresh_path, path(dir, 0))?;
    Ok(fresh)
}

/// Removes files that an earlier configuration kept and this one does not.
pub(super) fn remove_older(dir: &Path, keep: u32) {
    for age in keep.max(1).. {
        if fs::remove_file(path(dir, age)).is_err() {
            break;
        }
    }
}

/// An open log file, known by its inode whatever its name is by now.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) inode: (u64, u64),
    pub(super) len: u64,
}

impl LogFile {
    fn open(path: PathBuf) -> Result<Option<Self>, LogError> {
        let open = || -> io::Result<(File, fs::Metadata)> {
            let file = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(&path)?;
            let meta = file.metadata()?;
            Ok((file, meta))
        };
        match open() {
            Ok((file, meta)) => Ok(Some(Self {
                file,
                path,
                inode: (meta.dev(), meta.ino()),
                len: meta.len(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LogError::Open { path, source }),
        }
    }
}

/// Opens all files of a log, the oldest first. A rotation meanwhile neither hides nor doubles one
/// that was there at the beginning: names are opened from the newest on, and move away from it.
pub(super) fn open_all(dir: &Path) -> Result<Vec<LogFile>, LogError> {
    let mut files: Vec<LogFile> = Vec::new();
    for age in 0.. {
        match LogFile::open(path(dir, age))? {
            Some(file) if files.last().is_some_and(|newer| newer.inode == file.inode) => {}
            Some(file) => files.push(file),
            // Between the two renames of a rotation there is no current file.
            None if age == 0 => {}
            None => break,
        }
    }
    files.reverse();
    Ok(files)
}

/// The current file's inode, if there is one.
pub(super) fn current_inode(dir: &Path) -> Option<(u64, u64)> {
    let meta = fs::symlink_metadata(path(dir, 0)).ok()?;
    Some((meta.dev(), meta.ino()))
}
