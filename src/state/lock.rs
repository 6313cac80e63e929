//! Advisory locks on files.

use std::fs::{self, File, OpenOptions};
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
        let file = Self::open(path)?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map(|held| Self { _held: held })
            .map_err(|(_, errno)| StateError::io("lock", path, errno.into()))
    }

    /// Takes the lock if nobody has it.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, StateError> {
        let file = Self::open(path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(Some(Self { _held: held })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(StateError::io("lock", path, errno.into())),
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
}
