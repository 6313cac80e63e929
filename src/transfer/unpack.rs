//! An archive is unpacked into a tree that exists and is used by others.
//!
//! As `docker cp` does it: directories are merged, files are replaced, and no directory becomes a file or
//! the other way round.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::image::layer::{Archive, Attributes, Entry, Kind, Name, decoder, detect, fill};
use crate::image::{ArchiveError, EntryError, LayerError};
use crate::runtime::{Missing, Root};

/// Whose the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Whoever the archive says.
    Kept,
    /// This user and group.
    Ids(u32, u32),
}

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The archive is broken.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It is compressed in a way that is not known.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// An entry that cannot or may not be unpacked.
    #[error("cannot unpack {entry}")]
    Entry {
        /// Its name.
        entry: String,
        /// What is wrong with it.
        source: EntryError,
    },
    /// A file where a directory is.
    #[error("cannot overwrite directory {} with non-directory", .0.display())]
    OverDirectory(PathBuf),
    /// A directory where a file is.
    #[error("cannot overwrite non-directory {} with directory", .0.display())]
    OverFile(PathBuf),
    /// The directory that it is to be unpacked into is none.
    #[error("cannot open the directory {}", path.display())]
    Directory {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Unpacks an archive (tar; plain, gzip or zstd) into a directory of a root.
pub(crate) fn unpack(
    archive: impl Read,
    (root, directory): (&Root, &Path),
    owner: Owner,
) -> Result<(), UnpackError> {
    root.open(directory, OFlags::PATH | OFlags::DIRECTORY)
        .map_err(|error| UnpackError::Directory {
            path: directory.to_owned(),
            source: error.into(),
        })?;
    let (compression, input) = detect(BufReader::with_capacity(256 << 10, archive))?;
    let mut archive = Archive::new(decoder(compression, input)?);
    let mut unpacker = Unpacker {
        root,
        directory,
        parent: None,
        made: Vec::new(),
    };
    while let Some(mut entry) = archive.next()? {
        if let Owner::Ids(uid, gid) = owner {
            (entry.uid, entry.gid) = (uid.into(), gid.into());
            // The bits lent the rights of the old owner, not of the new one.
            entry.mode &= 0o1777;
        }
        unpacker.entry(&entry, &mut archive)?;
    }
    // Whoever writes the archive is to be able to write all of it.
    archive.drain()?;
    unpacker.finish();
    Ok(())
}

struct Unpacker<'a> {
    root: &'a Root,
    directory: &'a Path,
    /// The directory that the last entry was put into.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// Directories, whose times are set when all is in them.
    made: Vec<(PathBuf, Attributes)>,
}

impl Unpacker<'_> {
    fn entry<R: BufRead>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), UnpackError> {
        let named = |source| UnpackError::Entry {
            entry: crate::ui::text::printable(&String::from_utf8_lossy(&entry.path)).into_owned(),
            source,
        };
        let name = Name::new(&entry.path).map_err(named)?;
        // The top directory itself stays as it is.
        let Some(last) = name.last else {
            return Ok(());
        };
        let attributes = Attributes::of(entry).map_err(named)?;
        let path = self.path(&name.full());
        let parent = self.parent(&name.parent).map_err(io_error).map_err(named)?;
        let parent = parent.as_fd();
        let found = match fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(FileType::from_raw_mode(stat.st_mode)),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(named(io_error(error))),
        };
        let is_directory = matches!(entry.kind, Kind::Directory);
        match found {
            Some(FileType::Directory) if !is_directory => {
                return Err(UnpackError::OverDirectory(path));
            }
            Some(kind) if is_directory && kind != FileType::Directory => {
                return Err(UnpackError::OverFile(path));
            }
            _ => {}
        }
        let mut write = || -> Result<(), EntryError> {
            let (place, there) = ((parent, last), found.is_some());
            match &entry.kind {
                Kind::Directory => directory(place, (entry, attributes)),
                Kind::File { size, map } => {
                    let file = create(place, there, attributes.mode_at_birth())?;
                    fill(&file, *size, map.as_deref(), archive)?;
                    attributes.apply(file.as_fd(), &entry.xattrs)
                }
                Kind::HardLink(target) => self.hard_link(place, there, target),
                _ => special(place, there, (entry, attributes)),
            }
        };
        write().map_err(named)?;
        if is_directory {
            self.made.push((path, attributes));
        }
        Ok(())
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        use std::os::unix::ffi::OsStrExt as _;
        self.directory.join(std::ffi::OsStr::from_bytes(name))
    }

    /// The directory that entries of this parent go into; made, if need be.
    fn parent(&mut self, name: &[u8]) -> rustix::io::Result<Rc<OwnedFd>> {
        if let Some((known, fd)) = &self.parent
            && known == name
        {
            return Ok(Rc::clone(fd));
        }
        let fd = Rc::new(self.open_parent(name)?);
        self.parent = Some((name.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    fn open_parent(&self, name: &[u8]) -> rustix::io::Result<OwnedFd> {
        let path = self.path(name);
        match self.root.open(&path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => self.root.open_or_make(&path, Missing::Directory),
            other => other,
        }
    }

    fn hard_link(
        &self,
        (parent, last): (BorrowedFd<'_>, &[u8]),
        there: bool,
        raw: &[u8],
    ) -> Result<(), EntryError> {
        let missing = || EntryError::LinkTarget {
            target: String::from_utf8_lossy(raw).into_owned(),
        };
        let target = Name::new(raw)?;
        let name = target.last.ok_or_else(missing)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let directory = self
            .root
            .open(&self.path(&target.parent), flags)
            .map_err(|_| missing())?;
        let id = |at: BorrowedFd<'_>, name: &[u8]| {
            let stat = fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        let wanted = id(directory.as_fd(), name).ok_or_else(missing)?;
        if id(parent, last) == Some(wanted) {
            return Ok(());
        }
        make_room((parent, last), there)?;
        fs::linkat(&directory, name, parent, last, AtFlags::empty()).map_err(io_error)
    }

    /// Directories get their times last; one that has gone meanwhile needs none.
    fn finish(self) {
        for (path, attributes) in self.made.iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            if let Ok(fd) = self.root.open(path, flags) {
                let _ = attributes.set_times(fd.as_fd());
            }
        }
    }
}

fn directory(
    (parent, last): (BorrowedFd<'_>, &[u8]),
    (entry, attributes): (&Entry, Attributes),
) -> Result<(), EntryError> {
    match fs::mkdirat(parent, last, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(io_error(error)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = fs::openat(parent, last, flags, Mode::empty()).map_err(io_error)?;
    attributes.apply(fd.as_fd(), &entry.xattrs)
}

/// A new file in the place of what was there.
fn create(
    (parent, last): (BorrowedFd<'_>, &[u8]),
    there: bool,
    mode: Mode,
) -> Result<File, EntryError> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match make_room((parent, last), there) {
        // Something is mounted on it, as on /etc/hosts: it can be written to, not replaced.
        Err(EntryError::Io { source, .. }) if source.kind() == io::ErrorKind::ResourceBusy => {
            let open = || -> rustix::io::Result<OwnedFd> {
                let fd = fs::openat(parent, last, flags | OFlags::NONBLOCK, mode)?;
                let kind = FileType::from_raw_mode(fs::fstat(&fd)?.st_mode);
                if kind != FileType::RegularFile {
                    return Err(Errno::BUSY);
                }
                fs::ftruncate(&fd, 0)?;
                Ok(fd)
            };
            open().map_err(io_error)
        }
        Err(error) => Err(error),
        Ok(()) => {
            let flags = flags | OFlags::CREATE | OFlags::EXCL;
            fs::openat(parent, last, flags, mode).map_err(io_error)
        }
    }
    .map(File::from)
}

/// Links, devices, fifos.
fn special(
    (parent, last): (BorrowedFd<'_>, &[u8]),
    there: bool,
    (entry, attributes): (&Entry, Attributes),
) -> Result<(), EntryError> {
    make_room((parent, last), there)?;
    let node = |kind, device| fs::mknodat(parent, last, kind, Mode::empty(), device);
    let (kind, made) = match &entry.kind {
        Kind::Symlink(target) => (
            FileType::Symlink,
            fs::symlinkat(target.as_slice(), parent, last),
        ),
        Kind::Fifo => (FileType::Fifo, node(FileType::Fifo, 0)),
        Kind::Character { major, minor } => {
            let kind = FileType::CharacterDevice;
            (kind, node(kind, fs::makedev(*major, *minor)))
        }
        Kind::Block { major, minor } => {
            let kind = FileType::BlockDevice;
            (kind, node(kind, fs::makedev(*major, *minor)))
        }
        Kind::Other(kind) => {
            let kind = char::from(*kind);
            return Err(EntryError::Kind { kind });
        }
        Kind::Directory | Kind::File { .. } | Kind::HardLink(_) => return Ok(()),
    };
    made.map_err(io_error)?;
    attributes.apply_at(parent, last, kind)
}

fn make_room((parent, last): (BorrowedFd<'_>, &[u8]), there: bool) -> Result<(), EntryError> {
    if !there {
        return Ok(());
    }
    match fs::unlinkat(parent, last, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(io_error(error)),
    }
}

fn io_error(error: Errno) -> EntryError {
    EntryError::Io {
        action: "write",
        source: error.into(),
    }
}
