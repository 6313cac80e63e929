//! Advisory locks on files.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::StateError;

/// An exclusive `flock`, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Waits for the lock. Its file and the directory above are made when missing.
    pub fn acquire(path: &Path) -> Result<Self, StateError> {
        loop {
            let held = Flock::lock(Self::open(path)?, FlockArg::LockExclusive)
                .map_err(|(_, errno)| StateError::io("lock", path, errno.into()))?;
            if is_at(&held, path) {
                return Ok(Self { _held: held });
            }
        }
    }

    /// Takes the lock if nobody has it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, StateError> {
        loop {
            match Flock::lock(Self::open(path)?, FlockArg::LockExclusiveNonblock) {
                Ok(held) if is_at(&held, path) => return Ok(Some(Self { _held: held })),
                Ok(_) => {}
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, errno)) => return Err(StateError::io("lock", path, errno.into())),
            }
        }
    }

    fn open(path: &Path) -> Result<File, StateError> {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(|error| StateError::io("make", dir, error))?;
        }
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| StateError::io("open", path, error))
    }
}

/// Whether this file is still the one at the path. A holder may remove the file with all that it
/// guards: who waited for it then has a lock that nobody else will ever look at.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    let (held, named) = (
        file.metadata().map(identity),
        fs::metadata(path).map(identity),
    );
    matches!((held, named), (Ok(held), Ok(named)) if held == named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/lock");
        let first = Lock::acquire(&path).unwrap();
        assert!(Lock::try_acquire(&path).unwrap().is_none());
        drop(first);
        assert!(Lock::try_acquire(&path).unwrap().is_some());
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/lock");
        let first = Lock::acquire(&path).unwrap();
        let waiting = std::thread::spawn({
            let path = path.clone();
            move || Lock::acquire(&path).map(drop)
        });
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        // A file at the same path is another lock.
        let second = Lock::try_acquire(&path).unwrap();
        drop((first, second));
        waiting.join().unwrap().unwrap();
        assert!(Lock::try_acquire(&path).unwrap().is_some());
    }
}
