//! Removing trees in a container, with its programs at work.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Deeper trees are refused: each level is an open directory.
const DEPTH_MAX: usize = 128;
/// A program that makes files in a directory while it is emptied has so many chances to stop.
const ATTEMPTS: usize = 4;

/// Removes `name` in `parent`, whatever it is. No link is followed, and what is mounted in a
/// directory is left as it is, with the directories that lead there.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match below(parent, name, 0) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn below(parent: BorrowedFd<'_>, name: &OsStr, depth: usize) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        other => return other,
    }
    if depth == DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let directory = match open(parent, name) {
        // Something is mounted on it.
        Err(Errno::XDEV) => return Ok(()),
        other => other?,
    };
    for _ in 0..ATTEMPTS {
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            match below(directory.as_fd(), name, depth + 1) {
                // EBUSY: a file that something is mounted on.
                Ok(()) | Err(Errno::NOENT | Errno::BUSY) => {}
                Err(error) => return Err(error),
            }
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => {}
            other => return other,
        }
    }
    // What is mounted below, or somebody who does not stop.
    Ok(())
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    loop {
        match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
}
