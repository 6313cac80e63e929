//! `RUN --mount=type=cache`: directories that stay from build to build, and who may use one meanwhile.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Job;
use super::mounts::writer;
use crate::build::cache::KeyMaker;
use crate::build::copy::select_all;
use crate::build::error::StepError;
use crate::build::files::{make, open_root};
use crate::build::plan::step::{Access, CacheMount, Sharing};

/// The directory of a cache, made when it is new, and the lock under which it is used.
pub(super) fn take(
    job: &Job<'_>,
    wanted: &CacheMount,
    place: &Path,
) -> Result<(PathBuf, File), StepError> {
    let key = KeyMaker::new("mount").text("id", &wanted.id);
    let key = match &wanted.from {
        Some(from) => key
            .text("from", &format!("{from:?}"))
            .text("source", &wanted.source),
        None => key,
    };
    let base = job.sources.cache().mount(&key.finish());
    make(&base)?;
    let (lock, directory) = lock(&base, wanted.sharing, job)?;
    if !directory.exists() {
        create(job, wanted, place, &directory)?;
    }
    Ok((directory, lock))
}

/// Makes the directory with what it starts as; it appears whole.
fn create(
    job: &Job<'_>,
    wanted: &CacheMount,
    place: &Path,
    directory: &Path,
) -> Result<(), StepError> {
    let fresh = directory.with_extension("new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(StepError::io("remove", &fresh))?;
    }
    make(&fresh)?;
    let Access { mode, uid, gid } = wanted.access;
    let dress = || -> std::io::Result<()> {
        chown(&fresh, Some(uid), Some(gid))?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))
    };
    dress().map_err(StepError::io("make", &fresh))?;
    if let Some(from) = &wanted.from {
        let files = job.sources.files(from)?;
        let (_mounted, tree) = files.open(&place.join("from"))?;
        let root = open_root(&fresh).map_err(StepError::io("open", &fresh))?;
        for found in select_all(&tree, &[&wanted.source], false)? {
            writer(&root).copy(&tree, &found, ("/", false))?;
        }
    }
    match fs::rename(&fresh, directory) {
        Ok(()) => {}
        // Another step made it meanwhile (`sharing=shared`).
        Err(_) if directory.exists() => {
            let _ = fs::remove_dir_all(&fresh);
        }
        Err(error) => return Err(StepError::io("make", directory)(error)),
    }
    Ok(())
}

/// The lock that is held for as long as a cache is used in this way, and its directory.
fn lock(base: &Path, sharing: Sharing, job: &Job<'_>) -> Result<(File, PathBuf), StepError> {
    let open = |name: &str| {
        let path = base.join(name);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        file.open(&path).map_err(StepError::io("open", &path))
    };
    match sharing {
        Sharing::Shared => {
            let lock = open("lock")?;
            wait_for(&lock, FlockOperation::NonBlockingLockShared, base, job)?;
            Ok((lock, base.join("0")))
        }
        Sharing::Locked => {
            let lock = open("lock")?;
            wait_for(&lock, FlockOperation::NonBlockingLockExclusive, base, job)?;
            Ok((lock, base.join("0")))
        }
        Sharing::Private => {
            for number in 0_u32.. {
                let lock = open(&format!("lock-{number}"))?;
                match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => return Ok((lock, base.join(number.to_string()))),
                    Err(rustix::io::Errno::WOULDBLOCK) => {}
                    Err(error) => return Err(StepError::io("lock", base)(error.into())),
                }
            }
            Err(StepError::Value(
                "all copies of the cache are in use".to_owned(),
            ))
        }
    }
}

/// Waits for a lock, and looks whether the build is canceled meanwhile.
fn wait_for(
    lock: &File,
    operation: FlockOperation,
    base: &Path,
    job: &Job<'_>,
) -> Result<(), StepError> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: 20_000_000,
    };
    loop {
        match flock(lock, operation) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(StepError::io("lock", base)(error.into())),
        }
        let mut fds = [PollFd::new(&job.canceled, PollFlags::IN)];
        if matches!(poll(&mut fds, Some(&pause)), Ok(1)) {
            return Err(StepError::Canceled);
        }
    }
}
