//! The entries of an archive become files, and its deletion marks those of overlayfs.
//!
//! A `.wh.name` entry deletes `name` of the layers below, a `.wh..wh..opq` all that they have in its
//! directory (OCI image spec, layer.md). For overlayfs the first is a character device 0:0, the second
//! an extended attribute of the directory (kernel, filesystems/overlayfs.rst). Neither touches what
//! the same archive brings, in whatever order it comes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::archive::{Archive, Entry, Kind};
use super::attributes::Attributes;
use super::error::{ArchiveError, EntryError, LayerError};
use super::sparse::Segment;
use super::tree::{Found, Name, Tree, io_error, look};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Marks of the file system aufs, which mean nothing to anybody else.
const AUFS: &[u8] = b".wh..wh.";

/// How much of an archive is unpacked before it is taken for an attack.
#[derive(Debug, Clone, Copy)]
pub(in crate::image) struct Limits {
    /// Bytes of all files, holes counted too.
    pub(in crate::image) bytes: u64,
    /// Entries.
    pub(in crate::image) entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 128 << 30,
            entries: 4 << 20,
        }
    }
}

impl Limits {
    /// The same, and no more than so many bytes.
    pub(in crate::image) fn within(self, bytes: u64) -> Self {
        Self {
            bytes: self.bytes.min(bytes),
            ..self
        }
    }
}

/// What was unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Bytes of all files.
    pub(super) bytes: u64,
    /// Entries of the archive.
    pub(super) entries: u64,
    /// Directories that no entry has described.
    pub(super) implied: Vec<Vec<u8>>,
}

/// Unpacks every entry into an empty directory.
pub(super) fn unpack<R: BufRead>(
    archive: &mut Archive<R>,
    directory: &Path,
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let tree = Tree::open(directory).map_err(|source| LayerError::Io {
        action: "open",
        path: directory.to_owned(),
        source,
    })?;
    let mut unpacker = Unpacker {
        tree,
        directories: HashMap::new(),
        bytes: 0,
        entries: 0,
        limits,
    };
    while let Some(entry) = archive.next()? {
        unpacker.count(&entry)?;
        let named = |error| name_error(&entry, error);
        unpacker.entry(&entry, archive).map_err(named)?;
    }
    unpacker.finish()
}

/// An entry's data that cannot be read is the archive's fault, not the entry's.
fn name_error(entry: &Entry, error: EntryError) -> LayerError {
    if let EntryError::Io {
        action: READ,
        source,
    } = error
    {
        let truncated = source
            .get_ref()
            .is_some_and(|inner| inner.is::<ArchiveError>());
        return LayerError::Archive(match truncated {
            true => ArchiveError::Truncated,
            false => ArchiveError::Read(source),
        });
    }
    LayerError::Entry {
        entry: printable(&entry.path),
        source: error,
    }
}

const READ: &str = "read";

/// A name of an archive for an error message: no control characters reach the terminal.
fn printable(name: &[u8]) -> String {
    let mut out: String = String::from_utf8_lossy(name)
        .chars()
        .flat_map(char::escape_debug)
        .take(256)
        .collect();
    if name.len() > 256 {
        out.push('…');
    }
    out
}

/// Writes the data of the archive's current entry into a file; holes stay holes.
pub(crate) fn fill<R: BufRead>(
    file: &File,
    size: u64,
    map: Option<&[Segment]>,
    archive: &mut Archive<R>,
) -> Result<(), EntryError> {
    let whole = [Segment {
        offset: 0,
        length: size,
    }];
    let mut data = archive.data();
    for segment in map.unwrap_or(&whole) {
        let mut at = segment.offset;
        let end = segment.offset + segment.length;
        while at < end {
            let found = match data.fill_buf() {
                Ok(found) if !found.is_empty() => Ok(found),
                Ok(_) => Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    ArchiveError::Truncated,
                )),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let found = found.map_err(|source| EntryError::Io {
                action: READ,
                source,
            })?;
            let count = usize::try_from(end - at).map_or(found.len(), |left| left.min(found.len()));
            file.write_all_at(&found[..count], at)
                .map_err(|source| EntryError::Io {
                    action: "write",
                    source,
                })?;
            data.consume(count);
            at += count as u64;
        }
    }
    if map.is_some() {
        file.set_len(size).map_err(|source| EntryError::Io {
            action: "set the size of",
            source,
        })?;
    }
    Ok(())
}

struct Unpacker {
    tree: Tree,
    /// What directories shall have when all is in them.
    directories: HashMap<Vec<u8>, Attributes>,
    bytes: u64,
    entries: u64,
    limits: Limits,
}

impl Unpacker {
    fn count(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let size = if let Kind::File { size, .. } = entry.kind {
            size
        } else {
            0
        };
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        if self.entries > self.limits.entries {
            return Err(LayerError::Limit {
                what: "entries",
                limit: self.limits.entries,
            });
        }
        if self.bytes > self.limits.bytes {
            return Err(LayerError::Limit {
                what: "bytes",
                limit: self.limits.bytes,
            });
        }
        Ok(())
    }

    fn entry<R: BufRead>(
        &mut self,
        entry: &Entry,
        archive: &mut Archive<R>,
    ) -> Result<(), EntryError> {
        let name = Name::new(&entry.path)?;
        let Some(last) = name.last else {
            return self.root(entry);
        };
        if last.starts_with(WHITEOUT) {
            return self.whiteout(&name, last);
        }
        let attributes = Attributes::of(entry)?;
        match &entry.kind {
            Kind::Directory => self.directory(&name, attributes, entry),
            Kind::File { size, map } => {
                let file = self.create(&name, attributes.mode_at_birth())?;
                fill(&file, *size, map.as_deref(), archive)?;
                attributes.apply(file.as_fd(), &entry.xattrs)
            }
            Kind::Symlink(target) => {
                self.replace(&name, |parent, last| {
                    fs::symlinkat(target.as_slice(), parent, last)
                })?;
                attributes.apply_at(self.tree.parent(&name.parent)?, last, FileType::Symlink)
            }
            Kind::HardLink(target) => self.hard_link(&name, target),
            Kind::Fifo => self.node(&name, FileType::Fifo, 0, attributes),
            Kind::Character { major: 0, minor: 0 } => Err(EntryError::FakeWhiteout),
            Kind::Character { major, minor } => self.node(
                &name,
                FileType::CharacterDevice,
                fs::makedev(*major, *minor),
                attributes,
            ),
            Kind::Block { major, minor } => self.node(
                &name,
                FileType::BlockDevice,
                fs::makedev(*major, *minor),
                attributes,
            ),
            Kind::Other(kind) => Err(EntryError::Kind {
                kind: char::from(*kind),
            }),
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), EntryError> {
        let Kind::Directory = entry.kind else {
            return Err(EntryError::Root);
        };
        let attributes = Attributes::of(entry)?;
        attributes.apply(self.tree.root(), &entry.xattrs)?;
        self.directories.insert(Vec::new(), attributes);
        Ok(())
    }

    fn directory(
        &mut self,
        name: &Name<'_>,
        attributes: Attributes,
        entry: &Entry,
    ) -> Result<(), EntryError> {
        let Some(last) = name.last else {
            return Err(EntryError::Root);
        };
        let found = look(self.tree.parent(&name.parent)?, last)?;
        if found != Found::Directory {
            self.replace(name, |parent, last| fs::mkdirat(parent, last, Mode::RWXU))?;
        }
        let full = name.full();
        if found == Found::Whiteout {
            self.tree.hide_below(&full)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = self.tree.parent(&name.parent)?;
        let fd = fs::openat(parent, last, flags, Mode::empty()).map_err(io_error("open"))?;
        attributes.apply(fd.as_fd(), &entry.xattrs)?;
        self.tree.implied.retain(|implied| *implied != full);
        self.directories.insert(full, attributes);
        Ok(())
    }

    /// Makes an entry in its directory; what stood there goes first.
    fn replace<T>(
        &mut self,
        name: &Name<'_>,
        make: impl Fn(std::os::fd::BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, EntryError> {
        let Some(last) = name.last else {
            return Err(EntryError::Root);
        };
        match make(self.tree.parent(&name.parent)?, last) {
            Err(Errno::EXIST) => {
                self.tree.clear(name)?;
                make(self.tree.parent(&name.parent)?, last).map_err(io_error("make"))
            }
            other => other.map_err(io_error("make")),
        }
    }

    fn create(&mut self, name: &Name<'_>, mode: Mode) -> Result<File, EntryError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.replace(name, |parent, last| fs::openat(parent, last, flags, mode))
            .map(File::from)
    }

    fn hard_link(&mut self, name: &Name<'_>, raw: &[u8]) -> Result<(), EntryError> {
        let target = Name::new(raw)?;
        let missing = || EntryError::LinkTarget {
            target: printable(raw),
        };
        let Some(last) = target.last else {
            return Err(EntryError::LinkKind {
                target: printable(raw),
            });
        };
        let directory: OwnedFd = match self.tree.directory(&target.parent) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
            Err(error) => return Err(io_error("look up the target of")(error)),
        };
        match look(directory.as_fd(), last)? {
            Found::Nothing => return Err(missing()),
            Found::Directory | Found::Whiteout => {
                return Err(EntryError::LinkKind {
                    target: printable(raw),
                });
            }
            Found::Other => {}
        }
        if self.is_same(name, directory.as_fd(), last)? {
            return Ok(());
        }
        let made = self.replace(name, |parent, new| {
            fs::linkat(&directory, last, parent, new, AtFlags::empty())
        });
        match made {
            // The target was in the directory that had to make room.
            Err(EntryError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(missing())
            }
            other => other,
        }
    }

    /// A link to itself: making room for it would delete its target.
    fn is_same(
        &mut self,
        name: &Name<'_>,
        directory: std::os::fd::BorrowedFd<'_>,
        target: &[u8],
    ) -> Result<bool, EntryError> {
        let Some(last) = name.last else {
            return Ok(false);
        };
        let parent = self.tree.parent(&name.parent)?;
        let id = |stat: fs::Stat| (stat.st_dev, stat.st_ino);
        let target = fs::statat(directory, target, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io_error("look at"))?;
        match fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(id(stat) == id(target)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(io_error("look at")(error)),
        }
    }

    fn node(
        &mut self,
        name: &Name<'_>,
        kind: FileType,
        device: fs::Dev,
        attributes: Attributes,
    ) -> Result<(), EntryError> {
        let Some(last) = name.last else {
            return Err(EntryError::Root);
        };
        self.replace(name, |parent, last| {
            fs::mknodat(parent, last, kind, Mode::empty(), device)
        })?;
        attributes.apply_at(self.tree.parent(&name.parent)?, last, kind)
    }

    fn whiteout(&mut self, name: &Name<'_>, last: &[u8]) -> Result<(), EntryError> {
        if last == OPAQUE {
            if name.parent.is_empty() {
                return Err(EntryError::OpaqueRoot);
            }
            self.tree.parent(&name.parent)?;
            return self.tree.hide_below(&name.parent);
        }
        if last.starts_with(AUFS) {
            return Ok(());
        }
        let deleted = &last[WHITEOUT.len()..];
        if matches!(deleted, b"" | b"." | b"..") {
            return Err(EntryError::Whiteout);
        }
        let parent = self.tree.parent(&name.parent)?;
        match look(parent, deleted)? {
            Found::Nothing => {
                fs::mknodat(parent, deleted, FileType::CharacterDevice, Mode::empty(), 0)
                    .map_err(io_error("mark"))
            }
            // Brought by this very archive: it stays, and hides what is below by itself.
            Found::Directory => {
                let target = Name {
                    parent: name.parent.clone(),
                    last: Some(deleted),
                };
                self.tree.hide_below(&target.full())
            }
            Found::Whiteout | Found::Other => Ok(()),
        }
    }

    fn finish(self) -> Result<Unpacked, LayerError> {
        for (name, attributes) in &self.directories {
            // It may have been replaced since.
            let Ok(fd) = self.tree.lookup(name, OFlags::RDONLY | OFlags::DIRECTORY) else {
                continue;
            };
            attributes
                .set_times(fd.as_fd())
                .map_err(|source| LayerError::Entry {
                    entry: printable(name),
                    source,
                })?;
        }
        Ok(Unpacked {
            bytes: self.bytes,
            entries: self.entries,
            implied: self.tree.implied,
        })
    }
}
