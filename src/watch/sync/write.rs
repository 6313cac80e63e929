//! Making a path in a container like one of this machine.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::error::SyncError;
use super::inside::Inside;
use super::remove::remove;
use super::{Mapping, Unchanged};
use crate::runtime::Missing;

/// What has become of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is like the source now.
    Written,
    /// It is gone, like the source.
    Removed,
    /// It was like the source, or is nothing that can be copied.
    Same,
}

const CHUNK: usize = 128 * 1024;
/// Names that are longer are cut for the temporary one (NAME_MAX is 255).
const NAME_CUT: usize = 200;

impl Inside {
    /// Makes the target like the source as it is now.
    pub fn apply(&mut self, mapping: &Mapping, unchanged: Unchanged) -> Result<Outcome, SyncError> {
        let source = &mapping.source;
        let target = mapping.target.as_str();
        let Some(metadata) = look(source)? else {
            return self.remove(target, mapping.top);
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.directory(target, &metadata);
        }
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let into = mapping.top && (target.ends_with('/') || self.is_directory(target));
        let target = match into {
            true => format!("{}/{name}", target.trim_end_matches('/')),
            false => target.to_owned(),
        };
        if kind.is_file() {
            return self.file(source, &target, (&metadata, unchanged));
        }
        if !kind.is_symlink() {
            return Ok(Outcome::Same);
        }
        // As for Docker Compose: a link to a directory stands for what is in it.
        match source.metadata() {
            Ok(behind) if behind.is_dir() => self.tree(source, &target, &behind),
            _ => self.link(source, &target),
        }
    }

    /// Copies a directory with all that is in it.
    fn tree(
        &mut self,
        source: &Path,
        target: &str,
        metadata: &Metadata,
    ) -> Result<Outcome, SyncError> {
        self.directory(target, metadata)?;
        let mut rest = vec![(source.to_owned(), target.to_owned())];
        while let Some((source, target)) = rest.pop() {
            let entries = fs::read_dir(&source).map_err(read_error(&source))?;
            for entry in entries {
                let entry = entry.map_err(read_error(&source))?;
                let path = entry.path();
                let target = format!("{target}/{}", entry.file_name().to_string_lossy());
                let Some(metadata) = look(&path)? else {
                    continue;
                };
                let kind = metadata.file_type();
                if kind.is_dir() {
                    self.directory(&target, &metadata)?;
                    rest.push((path, target));
                } else if kind.is_file() {
                    self.file(&path, &target, (&metadata, Unchanged::LeftAlone))?;
                } else if kind.is_symlink() {
                    self.link(&path, &target)?;
                }
            }
        }
        Ok(Outcome::Written)
    }

    fn remove(&mut self, target: &str, top: bool) -> Result<Outcome, SyncError> {
        let failed = |source: io::Error| SyncError::Remove {
            path: target.to_owned(),
            source,
        };
        let (parent, name) = split(target);
        if name.is_empty() || top && self.is_directory(target) {
            return Ok(Outcome::Same);
        }
        let parent = match self.root.open(Path::new(parent), DIRECTORY) {
            Ok(parent) => parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Outcome::Removed),
            Err(error) => return Err(failed(error.into())),
        };
        // It may be the directory that is held, or be in it.
        self.last = None;
        match remove(parent.as_fd(), OsStr::new(name)) {
            // Something is mounted there, and stays.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(Outcome::Same),
            other => other.map(|()| Outcome::Removed).map_err(failed),
        }
    }

    fn directory(&mut self, target: &str, metadata: &Metadata) -> Result<Outcome, SyncError> {
        let failed = write_error(target);
        let (parent, name) = split(target);
        if name.is_empty() {
            return Ok(Outcome::Same);
        }
        let owner = self.owner;
        let is_there = self.is_directory(target);
        let parent = self.parent(parent)?;
        let make = || -> io::Result<()> {
            if !is_there {
                make_room(parent, name)?;
                rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let flags = match is_there {
                // A link to a directory stands for it, inside the root: its mode is its own.
                true if !is_plain_directory(parent, name) => return Ok(()),
                _ => flags | OFlags::NOFOLLOW,
            };
            let fd = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            if !is_there {
                own(fd.as_fd(), owner)?;
            }
            Ok(rustix::fs::fchmod(&fd, mode_of(metadata))?)
        };
        make().map_err(failed)?;
        Ok(Outcome::Written)
    }

    fn link(&mut self, source: &Path, target: &str) -> Result<Outcome, SyncError> {
        let to = fs::read_link(source).map_err(read_error(source))?;
        let failed = write_error(target);
        let owner = self.owner;
        let (parent, name) = split(target);
        let parent = self.parent(parent)?;
        let make = || -> io::Result<()> {
            let temporary = temporary(name);
            rustix::fs::symlinkat(&to, parent, &temporary)?;
            let place = || -> rustix::io::Result<()> {
                let (uid, gid) = ids(owner);
                let flags = AtFlags::SYMLINK_NOFOLLOW;
                rustix::fs::chownat(parent, &temporary, uid, gid, flags)?;
                rename_over(parent, &temporary, name)
            };
            place().map_err(|error| clean(parent, &temporary, error.into()))
        };
        make().map_err(failed)?;
        Ok(Outcome::Written)
    }

    fn file(
        &mut self,
        source: &Path,
        target: &str,
        (metadata, unchanged): (&Metadata, Unchanged),
    ) -> Result<Outcome, SyncError> {
        let owner = self.owner;
        let (parent, name) = split(target);
        let parent = self.parent(parent)?;
        if unchanged == Unchanged::LeftAlone && is_same(parent, name, metadata, owner) {
            return Ok(Outcome::Same);
        }
        // A FIFO that has taken the name since must not hold us.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let opened = File::options().read(true).custom_flags(flags).open(source);
        let mut input = match opened {
            Ok(input) => input,
            // Gone by now: there will be an event.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Same),
            Err(error) => return Err(read_error(source)(error)),
        };
        let temporary = temporary(name);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(parent, &temporary, flags, Mode::RUSR | Mode::WUSR);
        let made = made.map_err(|error| write_error(target)(error.into()))?;
        let filled = fill(&mut input, source, (made, target), (metadata, owner));
        let placed = filled.and_then(|()| match rename_over(parent, &temporary, name) {
            // A file of its own is mounted there: its content can change, not its name.
            Err(Errno::BUSY) => overwrite(parent, (&temporary, name)).map_err(write_error(target)),
            other => other.map_err(|error| write_error(target)(error.into())),
        });
        if placed.is_err() {
            let _ = rustix::fs::unlinkat(parent, &temporary, AtFlags::empty());
        }
        placed.map(|()| Outcome::Written)
    }

    /// Opens a directory, which is made with those above it where it is missing.
    fn parent(&mut self, path: &str) -> Result<BorrowedFd<'_>, SyncError> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let fd = self.open_directory(Path::new(path)).map_err(|error| {
                let error = io::Error::from(error);
                write_error(path)(error)
            })?;
            self.last = Some((path.to_owned(), fd));
        }
        match &self.last {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Ok(self.root.fd()),
        }
    }

    fn open_directory(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        match self.root.open(path, DIRECTORY) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else {
            return self.root.open(Path::new("/"), DIRECTORY);
        };
        let above = self.open_directory(above)?;
        match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&above, name, flags, Mode::empty())?;
                rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755))?;
                own(fd.as_fd(), self.owner)?;
                Ok(fd)
            }
            // A link to nowhere: what it names is made, in the root.
            Err(Errno::EXIST) => self.root.open_or_make(path, Missing::Directory),
            Err(error) => Err(error),
        }
    }

    fn is_directory(&self, path: &str) -> bool {
        self.root.open(Path::new(path), DIRECTORY).is_ok()
    }
}

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// What stands at a path of this machine; a link is itself.
fn look(path: &Path) -> Result<Option<Metadata>, SyncError> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(read_error(path)(error)),
    }
}

/// The directory and the name in it.
fn split(path: &str) -> (&str, &str) {
    let path = path.trim_end_matches('/');
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((parent, name)) => (parent, name),
        None => ("/", path),
    }
}

/// A name that nobody else uses, and that programs which watch the directory know not to look at.
fn temporary(name: &str) -> String {
    let ends = name.char_indices().map(|(at, char)| at + char.len_utf8());
    let end = ends.take_while(|end| *end <= NAME_CUT).last().unwrap_or(0);
    format!(".{}.{:08x}~", &name[..end], fastrand::u32(..))
}

/// Copies content, owner, mode and time.
fn fill(
    input: &mut File,
    source: &Path,
    (made, target): (OwnedFd, &str),
    (metadata, owner): (&Metadata, (u32, u32)),
) -> Result<(), SyncError> {
    let mut output = File::from(made);
    copy(input, &mut output, metadata.size()).map_err(|error| match error {
        CopyError::Read(error) => read_error(source)(error),
        CopyError::Write(error) => write_error(target)(error),
    })?;
    let dress = || -> io::Result<()> {
        own(output.as_fd(), owner)?;
        // After the owner: a change of owner takes the set-user-ID bit away.
        rustix::fs::fchmod(&output, mode_of(metadata))?;
        Ok(rustix::fs::futimens(&output, &times(metadata))?)
    };
    dress().map_err(write_error(target))
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

/// Copies what is in a file, which has about this many bytes.
fn copy(input: &mut File, output: &mut File, size: u64) -> Result<(), CopyError> {
    // One more than there are: the read that fills it not has seen the end.
    let room = usize::try_from(size).map_or(CHUNK, |size| (size + 1).clamp(512, CHUNK));
    let mut buffer = vec![0; room];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                let written = output.write_all(&buffer[..count]);
                written.map_err(CopyError::Write)?;
                if count < room && count as u64 == size {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(CopyError::Read(error)),
        }
    }
}

/// Gives a new file its name. A directory that has it goes, with all that is in it.
fn rename_over(parent: BorrowedFd<'_>, temporary: &str, name: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat(parent, temporary, parent, name) {
        Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
            remove(parent, OsStr::new(name))
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            rustix::fs::renameat(parent, temporary, parent, name)
        }
        other => other,
    }
}

/// Writes what is in the temporary file into the one that keeps its name.
fn overwrite(parent: BorrowedFd<'_>, (temporary, name): (&str, &str)) -> io::Result<()> {
    let open = |name: &str, flags: OFlags| {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        rustix::fs::openat(parent, name, flags, Mode::empty()).map(File::from)
    };
    let mut input = open(temporary, OFlags::RDONLY)?;
    let mut output = open(name, OFlags::WRONLY)?;
    if !output.metadata()?.is_file() {
        return Err(Errno::BUSY.into());
    }
    output.set_len(0)?;
    let size = input.metadata()?.size();
    copy(&mut input, &mut output, size).map_err(|error| match error {
        CopyError::Read(error) | CopyError::Write(error) => error,
    })?;
    Ok(rustix::fs::unlinkat(parent, temporary, AtFlags::empty())?)
}

/// What is no directory makes room for one.
fn make_room(parent: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

fn clean(parent: BorrowedFd<'_>, temporary: &str, error: io::Error) -> io::Error {
    let _ = rustix::fs::unlinkat(parent, temporary, AtFlags::empty());
    error
}

fn is_plain_directory(parent: BorrowedFd<'_>, name: &str) -> bool {
    stat(parent, name)
        .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn stat(parent: BorrowedFd<'_>, name: &str) -> Option<Stat> {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}

fn is_same(parent: BorrowedFd<'_>, name: &str, source: &Metadata, owner: (u32, u32)) -> bool {
    stat(parent, name).is_some_and(|found| {
        FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
            && Mode::from_raw_mode(found.st_mode) == mode_of(source)
            && found.st_size as u64 == source.size()
            && (found.st_mtime, found.st_mtime_nsec as i64) == (source.mtime(), source.mtime_nsec())
            && (found.st_uid, found.st_gid) == owner
    })
}

fn mode_of(metadata: &Metadata) -> Mode {
    Mode::from_raw_mode(metadata.mode() & 0o7777)
}

fn times(metadata: &Metadata) -> Timestamps {
    let modified = Timespec {
        tv_sec: metadata.mtime(),
        tv_nsec: metadata.mtime_nsec(),
    };
    Timestamps {
        last_access: modified,
        last_modification: modified,
    }
}

fn own(fd: BorrowedFd<'_>, owner: (u32, u32)) -> rustix::io::Result<()> {
    let (uid, gid) = ids(owner);
    rustix::fs::fchown(fd, uid, gid)
}

fn ids((uid, gid): (u32, u32)) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> SyncError + '_ {
    move |source| SyncError::Read {
        path: path.to_owned(),
        source,
    }
}

fn write_error(path: &str) -> impl Fn(io::Error) -> SyncError + '_ {
    move |source| SyncError::Write {
        path: path.to_owned(),
        source,
    }
}
