//! Files, locks and names on the disk.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::super::error::{Error, io_error};

/// A lock on a file, held until it is dropped.
#[derive(Debug)]
pub(in crate::image) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else has the lock.
    pub(in crate::image) fn exclusive(path: &Path) -> Result<Self, Error> {
        Self::take(path, FlockOperation::LockExclusive).map(|(lock, _)| lock)
    }

    /// Waits until nobody has it exclusively.
    pub(in crate::image) fn shared(path: &Path) -> Result<Self, Error> {
        Self::take(path, FlockOperation::LockShared).map(|(lock, _)| lock)
    }

    /// `None` when somebody has it.
    pub(in crate::image) fn try_exclusive(path: &Path) -> Result<Option<Self>, Error> {
        let (lock, taken) = Self::take(path, FlockOperation::NonBlockingLockExclusive)?;
        Ok(taken.then_some(lock))
    }

    fn take(path: &Path, operation: FlockOperation) -> Result<(Self, bool), Error> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file.open(path).map_err(io_error("open", path))?;
        loop {
            match flock(&file, operation) {
                Ok(()) => return Ok((Self { _file: file }, true)),
                Err(Errno::WOULDBLOCK) => return Ok((Self { _file: file }, false)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(io_error("lock", path)(error.into())),
            }
        }
    }
}

/// A directory for unfinished things; what is still in it when dropped is removed.
#[derive(Debug)]
pub(in crate::image) struct Temporary {
    path: PathBuf,
}

/// What the names of unfinished things begin with.
pub(super) const UNFINISHED: &str = "tmp-";

impl Temporary {
    pub(super) fn new(parent: &Path) -> Result<Self, Error> {
        loop {
            let path = parent.join(format!(
                "{UNFINISHED}{}-{:x}",
                std::process::id(),
                fastrand::u64(..)
            ));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create", &path)(error)),
            }
        }
    }

    pub(in crate::image) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = super::super::layer::remove_tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an unfinished layer");
        }
    }
}

/// Reads a JSON document; `None` = there is no such file.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Ok(bytes) => parse(path, &bytes).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

pub(super) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Corrupt {
        path: path.to_owned(),
        source,
    })
}

/// Whether a file has to survive a power cut from the moment it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum Durability {
    Now,
    WithTheNextSync,
}

/// Puts a file into its place, whole.
pub(super) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), Error> {
    let temporary = path.with_extension(format!(
        "{UNFINISHED}{}-{:x}",
        std::process::id(),
        fastrand::u64(..)
    ));
    let written = File::create_new(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        match durability {
            Durability::Now => file.sync_all(),
            Durability::WithTheNextSync => Ok(()),
        }
    });
    let placed = written
        .map_err(io_error("write", &temporary))
        .and_then(|()| fs::rename(&temporary, path).map_err(io_error("replace", path)));
    if placed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    placed?;
    if durability == Durability::Now
        && let Some(parent) = path.parent()
    {
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(io_error("sync", parent))?;
    }
    Ok(())
}

/// Gives a file a second name, in place of whatever has that name.
pub(super) fn link_over(path: &Path, name: &Path) -> Result<(), Error> {
    let temporary = name.with_extension(format!(
        "{UNFINISHED}{}-{:x}",
        std::process::id(),
        fastrand::u64(..)
    ));
    fs::hard_link(path, &temporary).map_err(io_error("link", &temporary))?;
    // Two names of one file already: the rename does nothing then, and leaves both.
    let renamed = fs::rename(&temporary, name).map_err(io_error("replace", name));
    let _ = fs::remove_file(&temporary);
    renamed
}
