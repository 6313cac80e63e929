//! Putting files into a stage's root, whose content is hostile: no link in it leads out of it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::CopyError;
use super::mode::ModeChange;
use super::owner::Owner;
use super::pattern::base;
use super::select::Selected;
use super::tree::{Entry, Filter, Ownership, Tree};
use crate::runtime::{Missing, Root};

/// What becomes of files that exist, when directories are copied over directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) enum Existing {
    /// A directory stays as it is, with what is in it.
    Kept,
    /// A directory takes owner, mode and time of the one that is copied over it.
    Changed,
}

/// How files are written.
pub(in crate::build) struct Manner<'a> {
    /// Whose everything is; `None` = as the tree says.
    pub(in crate::build) owner: Option<Owner>,
    /// `--chmod`.
    pub(in crate::build) mode: Option<&'a ModeChange>,
    /// What is left out, below each directory that is copied.
    pub(in crate::build) exclude: &'a dyn Filter,
    /// What becomes of directories that are there.
    pub(in crate::build) existing: Existing,
}

/// Writes files into a root.
pub(in crate::build) struct Writer<'a> {
    root: &'a Root,
    manner: Manner<'a>,
    /// Where files with several names were written first, as a directory and a name in it.
    links: HashMap<(u64, u64), (PathBuf, Vec<u8>)>,
}

impl<'a> Writer<'a> {
    pub(in crate::build) fn new(root: &'a Root, manner: Manner<'a>) -> Self {
        Self {
            root,
            manner,
            links: HashMap::new(),
        }
    }

    /// Copies a file or directory to a destination of `COPY`: absolute, and a directory if it ends
    /// with a slash, or is one.
    pub(in crate::build) fn copy(
        &mut self,
        tree: &Tree<'_>,
        selected: &Selected,
        (destination, parents): (&str, bool),
    ) -> Result<(), CopyError> {
        let mut target = PathBuf::from(destination);
        if parents {
            // The directories above keep their names, and a directory its own.
            self.directory(&target)?;
            self.parents(tree, selected, &target)?;
            target = target.join(&selected.above);
            if selected.is_directory() {
                target = target.join(&selected.name);
            }
        }
        if selected.is_directory() {
            let fresh = self.directory(&target)?;
            return self.contents(tree, selected, (&target, fresh));
        }
        let into = parents || destination.ends_with('/') || self.is_directory(&target)?;
        if into {
            target = target.join(&selected.name);
        }
        let entry = Entry {
            relative: PathBuf::from(&selected.name),
            real: selected.real.clone(),
            stat: selected.stat,
        };
        self.put(&target, |writer, parent, name, path| {
            writer.entry(tree, &entry, (parent, name), path)
        })
    }

    /// Makes the directories above a source that keep their names, with owner and mode of the source's own; and
    /// the source itself when it is one.
    fn parents(
        &self,
        tree: &Tree<'_>,
        selected: &Selected,
        destination: &Path,
    ) -> Result<(), CopyError> {
        let mut relative = selected.above.clone();
        let mut real = selected.real.parent().unwrap_or(Path::new(""));
        if selected.is_directory() {
            relative.push(&selected.name);
            real = &selected.real;
        }
        // Reached through a link, the directories above are others than those that are named.
        if !real.ends_with(&relative) {
            return Ok(());
        }
        let depth = relative.components().count();
        let froms: Vec<&Path> = real.ancestors().take(depth).collect();
        let tos: Vec<&Path> = relative.ancestors().take(depth).collect();
        for (from, to) in froms.into_iter().zip(tos).rev() {
            let path = destination.join(to);
            let failed = |source| CopyError::Read {
                path: from.to_owned(),
                source,
            };
            let Some((real, stat)) = tree.resolve(from).map_err(failed)? else {
                continue;
            };
            if !self.directory(&path)? {
                continue;
            }
            let entry = Entry {
                relative: to.to_owned(),
                real,
                stat,
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            self.root
                .open(&path, flags)
                .map_err(io::Error::from)
                .and_then(|fd| self.dress(fd.as_fd(), tree, &entry))
                .map_err(write_error(&path))?;
        }
        Ok(())
    }

    /// Writes a file that was given in place.
    pub(in crate::build) fn inline(
        &mut self,
        (name, content): (&str, &[u8]),
        destination: &str,
    ) -> Result<(), CopyError> {
        let mut target = PathBuf::from(destination);
        if destination.ends_with('/') || self.is_directory(&target)? {
            target = target.join(name);
        }
        let mode = self
            .manner
            .mode
            .map_or(0o644, |change| change.apply(0o644, false));
        let owner = self.manner.owner.unwrap_or((0, 0));
        self.put(&target, |_, parent, name, path| {
            let write = || -> io::Result<()> {
                make_room(parent, name)?;
                let file = create(parent, name)?;
                let mut file = File::from(file);
                io::Write::write_all(&mut file, content)?;
                set_owner_and_mode(file.as_fd(), owner, mode)
            };
            write().map_err(write_error(path))
        })
    }

    /// Makes a directory with all above it, where there is none; `true` = there was none.
    pub(in crate::build) fn directory(&self, path: &Path) -> Result<bool, CopyError> {
        let failed = write_error(path);
        match self.root.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => return Ok(false),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR) => {
                return Err(CopyError::NoDirectory {
                    path: path.to_owned(),
                });
            }
            Err(error) => return Err(failed(error.into())),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(false);
        };
        self.directory(parent)?;
        let make = || -> rustix::io::Result<()> {
            let parent = self.root.open(parent, OFlags::PATH | OFlags::DIRECTORY)?;
            match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                // A link to nowhere: what it names is made, in the root.
                Err(Errno::EXIST) => {
                    self.root.open_or_make(path, Missing::Directory)?;
                    return Ok(());
                }
                other => other?,
            }
            let none = AtFlags::empty();
            rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(0o755), none)?;
            if let Some(owner) = self.manner.owner {
                let (uid, gid) = ids(owner);
                rustix::fs::chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        };
        make().map_err(|error| failed(error.into()))?;
        Ok(true)
    }

    fn is_directory(&self, path: &Path) -> Result<bool, CopyError> {
        match self.root.open(path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(write_error(path)(error.into())),
        }
    }

    /// Opens the directory that a file goes into, made if need be, and lets `write` put it there.
    fn put(
        &mut self,
        target: &Path,
        write: impl FnOnce(&mut Self, BorrowedFd<'_>, &OsStr, &Path) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let target = self.followed(target);
        let Some(parent) = target.parent() else {
            return Err(CopyError::NoDirectory { path: target });
        };
        self.directory(parent)?;
        let fd = self
            .root
            .open(parent, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|error| write_error(parent)(error.into()))?;
        let name = base(&target).to_owned();
        write(self, fd.as_fd(), &name, &target)
    }

    /// A destination that is a link to a file stands for that file.
    fn followed(&self, target: &Path) -> PathBuf {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let is_link = self.root.open(target, flags).is_ok_and(|fd| {
            rustix::fs::fstat(&fd)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
        });
        if !is_link {
            return target.to_owned();
        }
        let real = || -> Option<PathBuf> {
            let proc =
                |fd: RawNumber| std::fs::read_link(format!("/proc/thread-self/fd/{fd}")).ok();
            let top = proc(self.root.fd().as_raw_fd())?;
            let fd = self.root.open(target, OFlags::PATH).ok()?;
            let path = proc(fd.as_raw_fd())?;
            Some(Path::new("/").join(path.strip_prefix(top).ok()?))
        };
        real().unwrap_or_else(|| target.to_owned())
    }

    /// Copies what is in a directory into one that exists.
    fn contents(
        &mut self,
        tree: &Tree<'_>,
        selected: &Selected,
        (target, fresh): (&Path, bool),
    ) -> Result<(), CopyError> {
        let top = self
            .root
            .open(target, OFlags::PATH | OFlags::DIRECTORY)
            .map_err(|error| write_error(target)(error.into()))?;
        let entries = tree.list(&selected.real, self.manner.exclude)?;
        let _ = fresh;
        // Directories on the way down, and those whose times are set when they are full.
        let mut way: Vec<(PathBuf, OwnedFd)> = vec![(PathBuf::new(), top)];
        let mut made: Vec<(PathBuf, Stat)> = Vec::new();
        for entry in &entries {
            let parent = entry.relative.parent().unwrap_or(Path::new(""));
            while way.len() > 1 && way.last().is_some_and(|(path, _)| path != parent) {
                way.pop();
            }
            let Some((_, fd)) = way.last() else {
                break;
            };
            let path = target.join(&entry.relative);
            let name = base(&entry.relative);
            if entry.kind() == FileType::Directory {
                let (below, new) = self.subdirectory(tree, entry, (fd.as_fd(), name), &path)?;
                if new || self.manner.existing == Existing::Changed {
                    made.push((entry.relative.clone(), entry.stat));
                }
                way.push((entry.relative.clone(), below));
            } else {
                let fd = fd.try_clone().map_err(write_error(&path))?;
                self.entry(tree, entry, (fd.as_fd(), name), &path)?;
            }
        }
        self.set_times(target, &made)
    }

    fn set_times(&self, target: &Path, made: &[(PathBuf, Stat)]) -> Result<(), CopyError> {
        for (relative, stat) in made.iter().rev() {
            let path = target.join(relative);
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            self.root
                .open(&path, flags)
                .and_then(|fd| rustix::fs::futimens(&fd, &times(stat)))
                .map_err(|error| write_error(&path)(error.into()))?;
        }
        Ok(())
    }

    /// Opens a directory in the destination, made if need be; `true` = it was made.
    fn subdirectory(
        &self,
        tree: &Tree<'_>,
        entry: &Entry,
        (parent, name): (BorrowedFd<'_>, &OsStr),
        path: &Path,
    ) -> Result<(OwnedFd, bool), CopyError> {
        let make = || -> io::Result<(OwnedFd, bool)> {
            let made = match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(error.into()),
            };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            if made || self.manner.existing == Existing::Changed {
                self.dress(fd.as_fd(), tree, entry)?;
            }
            Ok((fd, made))
        };
        make().map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NOTDIR | Errno::LOOP) => CopyError::NoDirectory {
                path: path.to_owned(),
            },
            _ => write_error(path)(error),
        })
    }

    /// Writes anything but a directory.
    fn entry(
        &mut self,
        tree: &Tree<'_>,
        entry: &Entry,
        (parent, name): (BorrowedFd<'_>, &OsStr),
        path: &Path,
    ) -> Result<(), CopyError> {
        let failed = write_error(path);
        make_room(parent, name).map_err(|error| match error.kind() {
            io::ErrorKind::IsADirectory => CopyError::IsDirectory {
                path: path.to_owned(),
            },
            _ => write_error(path)(error),
        })?;
        let kind = entry.kind();
        if kind == FileType::Socket {
            return Ok(());
        }
        if entry.stat.st_nlink > 1
            && self
                .link(entry, (parent, name), path)
                .map_err(write_error(path))?
        {
            return Ok(());
        }
        let owner = self.owner(tree, &entry.stat);
        let (uid, gid) = ids(owner);
        let read_error = |source| CopyError::Read {
            path: entry.real.clone(),
            source,
        };
        match kind {
            FileType::RegularFile => {
                let source = tree.open(&entry.real).map_err(read_error)?;
                return self
                    .file(source, (tree, entry), (parent, name))
                    .map_err(failed);
            }
            FileType::Symlink => {
                let target = tree.link_target(&entry.real).map_err(read_error)?;
                rustix::fs::symlinkat(target, parent, name)
            }
            other => rustix::fs::mknodat(
                parent,
                name,
                other,
                Mode::from_raw_mode(0o600),
                entry.stat.st_rdev,
            ),
        }
        .and_then(|()| {
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(parent, name, uid, gid, nofollow)?;
            if kind != FileType::Symlink {
                let mode = Mode::from_raw_mode(self.mode(&entry.stat, false));
                rustix::fs::chmodat(parent, name, mode, AtFlags::empty())?;
            }
            rustix::fs::utimensat(parent, name, &times(&entry.stat), nofollow)
        })
        .map_err(|error| failed(error.into()))
    }

    fn file(
        &self,
        mut source: File,
        (tree, entry): (&Tree<'_>, &Entry),
        (parent, name): (BorrowedFd<'_>, &OsStr),
    ) -> io::Result<()> {
        let mut file = File::from(create(parent, name)?);
        // Where the file system can do that, the blocks are shared and nothing is read.
        if rustix::fs::ioctl_ficlone(&file, &source).is_err() {
            io::copy(&mut source, &mut file)?;
        }
        if tree.ownership == Ownership::Kept {
            copy_attributes(source.as_fd(), file.as_fd())?;
        }
        self.dress(file.as_fd(), tree, entry)?;
        Ok(rustix::fs::futimens(&file, &times(&entry.stat))?)
    }

    /// Owner before mode: a change of owner takes the set-uid bit away. Capabilities go with the
    /// owner too, so they are set again.
    fn dress(&self, fd: BorrowedFd<'_>, tree: &Tree<'_>, entry: &Entry) -> io::Result<()> {
        let is_directory = entry.kind() == FileType::Directory;
        let mode = self.mode(&entry.stat, is_directory);
        set_owner_and_mode(fd, self.owner(tree, &entry.stat), mode)?;
        if tree.ownership == Ownership::Kept && !is_directory {
            let source = tree.open(&entry.real)?;
            copy_attributes(source.as_fd(), fd)?;
        }
        Ok(())
    }

    fn owner(&self, tree: &Tree<'_>, stat: &Stat) -> Owner {
        match (self.manner.owner, tree.ownership) {
            (Some(owner), _) => owner,
            (None, Ownership::Kept) => (stat.st_uid, stat.st_gid),
            (None, Ownership::Root) => (0, 0),
        }
    }

    fn mode(&self, stat: &Stat, is_directory: bool) -> u32 {
        let mode = stat.st_mode & 0o7777;
        match self.manner.mode {
            Some(change) => change.apply(mode, is_directory),
            None => mode,
        }
    }

    /// Gives a file that was written already one more name.
    fn link(
        &mut self,
        entry: &Entry,
        (parent, name): (BorrowedFd<'_>, &OsStr),
        path: &Path,
    ) -> io::Result<bool> {
        let key = (entry.stat.st_dev, entry.stat.st_ino);
        if let Some((directory, first)) = self.links.get(&key) {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let from = self.root.open(directory, flags)?;
            rustix::fs::linkat(&from, first.as_slice(), parent, name, AtFlags::empty())?;
            return Ok(true);
        }
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        self.links
            .insert(key, (directory, name.as_bytes().to_vec()));
        Ok(false)
    }
}

type RawNumber = std::os::fd::RawFd;

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.to_owned();
    move |source| CopyError::Write { path, source }
}

fn ids((uid, gid): Owner) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

fn make_room(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn create(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)
}

fn set_owner_and_mode(fd: BorrowedFd<'_>, owner: Owner, mode: u32) -> io::Result<()> {
    let (uid, gid) = ids(owner);
    rustix::fs::fchown(fd, uid, gid)?;
    Ok(rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// The attributes that a layer keeps: capabilities, and those of users.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    const MAX: usize = 64 << 10;
    let length = match rustix::fs::flistxattr(from, &mut [0_u8; 0][..]) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
        other => other?,
    };
    let mut list = vec![0_u8; length.min(MAX)];
    let length = rustix::fs::flistxattr(from, &mut list[..])?;
    for name in list[..length].split(|byte| *byte == 0) {
        let kept = name == b"security.capability"
            || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
        if !kept {
            continue;
        }
        let mut value = vec![0_u8; MAX];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec {
        tv_sec: stat.st_mtime,
        tv_nsec: stat.st_mtime_nsec as _,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
