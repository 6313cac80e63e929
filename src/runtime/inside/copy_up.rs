//! Filling a new volume with what the image has at its place.
//!
//! A volume is filled in place, under a lock, and marked by an extended attribute until it is
//! complete: who finds the mark goes on where a killed one stopped. Files appear complete or not at
//! all, and nothing that is there is ever overwritten or removed, so that going on is safe
//! whatever happened in between.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;

use super::root::Root;
use crate::runtime::bundle::CopyUp;
use crate::runtime::failure::{Attempt, Context, StartError, Step};

const STEP: Step = Step::CopyUp;
/// On a volume that is being filled.
const MARK: &str = "trusted.stack.filling";
/// Each level holds two descriptors open; real images stay far below.
const DEPTH_MAX: usize = 200;

/// Fills the volume if it is empty, or was left half filled. A path that is not in the image, or is
/// not a directory there, leaves it as it is.
pub(crate) fn fill(root: &Root, request: &CopyUp) -> Attempt<()> {
    let image_path = Path::new(&request.image_path);
    let source = match root.open(image_path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(source) => source,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(StartError::refused(STEP, &*request.image_path, error)),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let volume =
        rustix::fs::open(&request.volume, flags, Mode::empty()).at(STEP, &request.volume)?;
    let name = &request.volume;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&volume, FlockOperation::LockExclusive))
        .at(STEP, name)?;
    let half_filled = rustix::fs::fgetxattr(&volume, MARK, &mut [0u8; 1]).is_ok();
    if !half_filled && !is_empty(&volume).at(STEP, name)? {
        return Ok(());
    }
    mark(&volume).at(STEP, name)?;
    let mut copy = Copy {
        target: &volume,
        links: HashMap::new(),
        files: 0,
    };
    let stat = copy
        .directory(&source, &volume, &mut PathBuf::new(), 0)
        .at(STEP, name)?;
    attributes(&source, &volume, &stat).at(STEP, name)?;
    if copy.files > 0 {
        // The mark may not be gone from the disk while the files are not yet there.
        rustix::fs::syncfs(&volume).at(STEP, name)?;
    }
    match rustix::fs::fremovexattr(&volume, MARK) {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(error) => Err(StartError::refused(STEP, name.display().to_string(), error)),
    }
}

fn mark(volume: &OwnedFd) -> rustix::io::Result<()> {
    match rustix::fs::fsetxattr(volume, MARK, b"1", XattrFlags::empty()) {
        // A file system without such attributes: a fill that is killed cannot be told from one
        // that is complete there.
        Err(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

fn is_empty(directory: &OwnedFd) -> rustix::io::Result<bool> {
    for entry in Dir::read_from(directory)? {
        if !is_dot(entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_dot(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

struct Copy<'a> {
    target: &'a OwnedFd,
    /// Where a file with several names was put first, below `target`.
    links: HashMap<(u64, u64), PathBuf>,
    files: u64,
}

impl Copy<'_> {
    /// Copies the entries of a directory; its own attributes are left to the caller, because a
    /// read-only directory could not be filled.
    fn directory(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        path: &mut PathBuf,
        depth: usize,
    ) -> rustix::io::Result<Stat> {
        if depth > DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        for entry in Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_dot(name) {
                continue;
            }
            path.push(OsStr::from_bytes(name.to_bytes()));
            let result = self.entry(from.as_fd(), to.as_fd(), name, path, depth);
            path.pop();
            result?;
        }
        rustix::fs::fstat(from)
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &mut PathBuf,
        depth: usize,
    ) -> rustix::io::Result<()> {
        let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::Directory {
            return self.subdirectory(from, to, name, path, depth);
        }
        if self.link_to_first(&stat, to, name)? {
            return Ok(());
        }
        let made = match kind {
            FileType::RegularFile => self.file(from, to, name, &stat),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(&*target, to, name)
                    .and_then(|()| own(to, name, &stat))
                    .and_then(|()| {
                        rustix::fs::utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
                    })
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
                rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)
                    .and_then(|()| own(to, name, &stat))
            }
            // Sockets mean nothing without who made them.
            _ => return Ok(()),
        };
        match made {
            // From the time before a fill was interrupted.
            Err(Errno::EXIST) => {}
            other => other?,
        }
        if stat.st_nlink > 1 {
            self.links.insert((stat.st_dev, stat.st_ino), path.clone());
        }
        Ok(())
    }

    fn subdirectory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &mut PathBuf,
        depth: usize,
    ) -> rustix::io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let from = rustix::fs::openat(from, name, flags, Mode::empty())?;
        match rustix::fs::mkdirat(to, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let to = rustix::fs::openat(to, name, flags, Mode::empty())?;
        let stat = self.directory(&from, &to, path, depth + 1)?;
        attributes(&from, &to, &stat)
    }

    /// A further name of a file that was copied already.
    fn link_to_first(
        &self,
        stat: &Stat,
        to: BorrowedFd<'_>,
        name: &CStr,
    ) -> rustix::io::Result<bool> {
        let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) else {
            return Ok(false);
        };
        match rustix::fs::linkat(self.target, first, to, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Written without a name, which it gets when it is complete.
    fn file(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> rustix::io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
        let nameless = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let (target, named) = match rustix::fs::openat(to, c".", nameless, Mode::RUSR | Mode::WUSR)
        {
            Ok(target) => (target, false),
            // A file system that has no such files.
            Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                let create = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                (
                    rustix::fs::openat(to, name, create, Mode::RUSR | Mode::WUSR)?,
                    true,
                )
            }
            Err(error) => return Err(error),
        };
        let (mut reader, mut writer) = (std::fs::File::from(source), std::fs::File::from(target));
        // copy_file_range, which shares blocks where the file system can.
        std::io::copy(&mut reader, &mut writer)
            .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::IO))?;
        attributes(&reader, &writer, stat)?;
        self.files += 1;
        if named {
            return Ok(());
        }
        let nameless = format!("/proc/self/fd/{}", writer.as_raw_fd());
        rustix::fs::linkat(rustix::fs::CWD, nameless, to, name, AtFlags::SYMLINK_FOLLOW)
    }
}

fn own(directory: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(
        directory,
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

/// Owner, then mode and extended attributes (a change of owner takes some of both away), then times.
fn attributes(from: impl AsFd, to: impl AsFd, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::fchown(&to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    extended(from.as_fd(), to.as_fd())?;
    rustix::fs::futimens(&to, &times(stat))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds as i64,
    };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

fn extended(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    // The kernel's own bound for both (linux/limits.h).
    let mut names = vec![0u8; 65536];
    let length = match rustix::fs::flistxattr(from, &mut names) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    if length == 0 {
        return Ok(());
    }
    let mut value = vec![0u8; 65536];
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        // Labels and overlayfs' own notes belong to where they are, not to the file.
        if name.to_bytes().starts_with(b"trusted.") || name.to_bytes() == b"security.selinux" {
            continue;
        }
        let length = rustix::fs::fgetxattr(from, name, &mut value)?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
