//! Files to copy from: a root that no name leads out of, with some of its files left out.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat};
use rustix::io::Errno;

use super::CopyError;
use crate::runtime::Root;

/// Whether a file takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) enum Verdict {
    /// It does.
    Keep,
    /// It does not; if it is a directory, something in it may.
    Leave,
    /// It does not, nor does anything in it.
    Prune,
}

/// Says which files take part, by their path below some directory.
pub(in crate::build) trait Filter: Sync {
    fn verdict(&self, path: &Path, is_directory: bool) -> Verdict;
}

/// Nothing is left out.
#[derive(Debug)]
pub(in crate::build) struct Everything;

impl Filter for Everything {
    fn verdict(&self, _: &Path, _: bool) -> Verdict {
        Verdict::Keep
    }
}

/// Whose files those of a tree are when they are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::build) enum Ownership {
    /// As they are: the tree is a stage or an image.
    Kept,
    /// Root's: the tree is a directory of somebody's machine.
    Root,
}

/// Files to copy from.
pub(in crate::build) struct Tree<'a> {
    root: Root,
    /// What `/proc` calls the root.
    path: PathBuf,
    ignore: &'a dyn Filter,
    pub(in crate::build) ownership: Ownership,
    /// What to call it in messages.
    pub(in crate::build) title: String,
}

/// One file of a tree.
#[derive(Clone)]
pub(in crate::build) struct Entry {
    /// Below the place where the listing began.
    pub(in crate::build) relative: PathBuf,
    /// Below the root, without a link in it.
    pub(in crate::build) real: PathBuf,
    pub(in crate::build) stat: Stat,
}

impl Entry {
    pub(in crate::build) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// Deeper than anything that is no attack on the stack of this thread.
const DEPTH_MAX: usize = 512;

impl<'a> Tree<'a> {
    pub(in crate::build) fn new(
        root: Root,
        ignore: &'a dyn Filter,
        ownership: Ownership,
        title: String,
    ) -> io::Result<Self> {
        let path = proc_path(root.fd())?;
        Ok(Self {
            root,
            path,
            ignore,
            ownership,
            title,
        })
    }

    /// Opens a file for reading; its path has no links.
    pub(in crate::build) fn open(&self, real: &Path) -> io::Result<std::fs::File> {
        // A fifo would wait for its writer for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(self.root.open_plain(real, flags)?.into())
    }

    pub(in crate::build) fn link_target(&self, real: &Path) -> io::Result<CString> {
        let fd = self
            .root
            .open_plain(real, OFlags::PATH | OFlags::NOFOLLOW)?;
        Ok(rustix::fs::readlinkat(&fd, "", Vec::new())?)
    }

    /// What a path stands for when all links are followed: its real path, and what is there.
    /// `None`: nothing, or nothing that takes part.
    pub(in crate::build) fn resolve(&self, path: &Path) -> io::Result<Option<(PathBuf, Stat)>> {
        let fd = match self.root.open(path, OFlags::PATH) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&fd)?;
        let real = self.real(&fd)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let kept = real.as_os_str().is_empty()
            || match self.ignore.verdict(&real, is_directory) {
                Verdict::Keep => true,
                Verdict::Leave => is_directory,
                Verdict::Prune => false,
            };
        Ok(kept.then_some((real, stat)))
    }

    fn real(&self, fd: &OwnedFd) -> io::Result<PathBuf> {
        use std::os::fd::AsFd;
        let path = proc_path(fd.as_fd())?;
        let below = path.strip_prefix(&self.path);
        below.map(Path::to_owned).map_err(|_| {
            io::Error::other(format!("{} is not below {}", path.display(), self.title))
        })
    }

    /// The names in a directory, sorted. Links on the way are followed.
    pub(in crate::build) fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match self.root.open(path, flags) {
            Ok(fd) => Ok(names(&fd)?),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// Everything in a directory (a real path) that takes part, parents before what is in them,
    /// in the order of the names.
    pub(in crate::build) fn list(
        &self,
        real: &Path,
        exclude: &dyn Filter,
    ) -> Result<Vec<Entry>, CopyError> {
        let mut listing = Listing {
            tree: self,
            exclude,
            out: Vec::new(),
            pending: Vec::new(),
        };
        listing.directory(real, Path::new(""), 0)?;
        Ok(listing.out)
    }
}

/// What the kernel calls an open file, in this thread's mount namespace.
fn proc_path(fd: BorrowedFd<'_>) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/thread-self/fd/{}", fd.as_raw_fd()))
}

fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

struct Listing<'a, 'b> {
    tree: &'a Tree<'b>,
    exclude: &'a dyn Filter,
    out: Vec<Entry>,
    /// Directories that are left out unless something in them is not.
    pending: Vec<Entry>,
}

impl Listing<'_, '_> {
    fn directory(&mut self, real: &Path, relative: &Path, depth: usize) -> Result<(), CopyError> {
        let failed = |source: io::Error| CopyError::Read {
            path: real.to_owned(),
            source,
        };
        if depth > DEPTH_MAX {
            return Err(failed(Errno::NAMETOOLONG.into()));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let path = if real.as_os_str().is_empty() {
            Path::new(".")
        } else {
            real
        };
        let fd = self.tree.root.open_plain(path, flags);
        let fd = fd.map_err(|error| failed(error.into()))?;
        for name in names(&fd).map_err(|error| failed(error.into()))? {
            let stat = match rustix::fs::statat(&fd, &name, AtFlags::SYMLINK_NOFOLLOW) {
                // Gone since the names were read.
                Err(Errno::NOENT) => continue,
                other => other.map_err(|error| failed(error.into()))?,
            };
            let entry = Entry {
                relative: relative.join(&name),
                real: real.join(&name),
                stat,
            };
            self.entry(entry, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: Entry, depth: usize) -> Result<(), CopyError> {
        let is_directory = entry.kind() == FileType::Directory;
        let ignored = self.tree.ignore.verdict(&entry.real, is_directory);
        let excluded = self.exclude.verdict(&entry.relative, is_directory);
        let verdict = match (ignored, excluded) {
            (Verdict::Prune, _) | (_, Verdict::Prune) => return Ok(()),
            (Verdict::Keep, Verdict::Keep) => Verdict::Keep,
            _ => Verdict::Leave,
        };
        if !is_directory {
            if verdict == Verdict::Keep {
                self.out.append(&mut self.pending);
                self.out.push(entry);
            }
            return Ok(());
        }
        let (real, relative) = (entry.real.clone(), entry.relative.clone());
        if verdict == Verdict::Keep {
            self.out.append(&mut self.pending);
            self.out.push(entry);
            return self.directory(&real, &relative, depth + 1);
        }
        self.pending.push(entry);
        self.directory(&real, &relative, depth + 1)?;
        // Still here: nothing in it took part.
        if self.pending.last().is_some_and(|last| last.real == real) {
            self.pending.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use rustix::fs::Mode;

    use super::*;

    pub(in crate::build::copy) fn tree<'a>(dir: &Path, ignore: &'a dyn Filter) -> Tree<'a> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = Root::new(rustix::fs::open(dir, flags, Mode::empty()).unwrap());
        Tree::new(root, ignore, Ownership::Root, "the context".to_owned()).unwrap()
    }

    struct Only;

    /// Everything but `keep` and what is in directories called `maybe`.
    impl Filter for Only {
        fn verdict(&self, path: &Path, is_directory: bool) -> Verdict {
            match path.file_name().and_then(OsStr::to_str) {
                Some("keep") => Verdict::Keep,
                Some(name) if name.starts_with("maybe") && is_directory => Verdict::Leave,
                _ => Verdict::Prune,
            }
        }
    }

    #[test]
    fn a_directory_that_is_left_out_comes_along_with_what_is_kept_in_it() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["maybe1/x", "maybe2/maybe3/keep", "maybe2/y", "no/keep"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let tree = tree(dir.path(), &Only);
        let list = tree.list(Path::new(""), &Everything).unwrap();
        let names: Vec<_> = list
            .iter()
            .map(|entry| entry.relative.to_str().unwrap())
            .collect();
        assert_eq!(names, ["maybe2", "maybe2/maybe3", "maybe2/maybe3/keep"]);
        assert!(tree.resolve(Path::new("no/keep")).unwrap().is_some());
        assert!(tree.resolve(Path::new("maybe1/x")).unwrap().is_none());
    }

    #[test]
    fn no_link_leads_out_of_a_tree() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        fs::create_dir(&inside).unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", inside.join("up")).unwrap();
        std::os::unix::fs::symlink("/etc", inside.join("conf")).unwrap();
        let tree = tree(&inside, &Everything);
        for path in ["up", "../secret", "conf/passwd", "/etc/passwd"] {
            assert!(tree.resolve(Path::new(path)).unwrap().is_none(), "{path}");
        }
    }
}
