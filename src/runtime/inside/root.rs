//! Paths inside a root file system whose content is hostile.
//!
//! Nothing here follows a symbolic link out of the root, and nothing is looked up twice: who gets a
//! descriptor works on that descriptor.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What is made when nothing is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Directory,
    File,
}

/// A root file system.
#[derive(Debug)]
pub(crate) struct Root {
    fd: OwnedFd,
}

/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

impl Root {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// The root that this process has itself.
    pub(crate) fn own() -> rustix::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open("/", flags, Mode::empty()).map(Self::new)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Opens what is there, symbolic links followed as if this were `/`.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.open_with(path, flags, ResolveFlags::empty())
    }

    /// The same, but any symbolic link on the way is an error (`ELOOP`).
    pub(crate) fn open_plain(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.open_with(path, flags, ResolveFlags::NO_SYMLINKS)
    }

    fn open_with(
        &self,
        path: &Path,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            let opened = rustix::fs::openat2(
                &self.fd,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            );
            // EAGAIN: something was renamed meanwhile and the kernel cannot say that it stayed inside.
            match opened {
                Err(Errno::AGAIN) => {}
                other => return other,
            }
        }
    }

    /// Opens (`O_PATH`) what is there, or makes it together with the directories above it.
    ///
    /// One component at a time, each by the descriptor of the one before and without following
    /// links: links are read and walked here, so that a link to a place that is missing yet is
    /// made there, inside the root.
    pub(crate) fn open_or_make(
        &self,
        path: &Path,
        missing: Missing,
    ) -> rustix::io::Result<OwnedFd> {
        let mut rest: VecDeque<OsString> = names(path).collect();
        let mut way: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                way.pop();
                continue;
            }
            let here = way.last().map_or(self.fd.as_fd(), AsFd::as_fd);
            let kind = if rest.is_empty() {
                missing
            } else {
                Missing::Directory
            };
            let next = step(here, &name, kind)?;
            match FileType::from_raw_mode(rustix::fs::fstat(&next)?.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = OsString::from_vec(
                        rustix::fs::readlinkat(&next, "", Vec::new())?.into_bytes(),
                    );
                    if target.as_bytes().first() == Some(&b'/') {
                        way.clear();
                    }
                    for name in names(Path::new(&target))
                        .collect::<Vec<_>>()
                        .into_iter()
                        .rev()
                    {
                        rest.push_front(name);
                    }
                }
                FileType::Directory => way.push(next),
                _ if rest.is_empty() => return Ok(next),
                _ => return Err(Errno::NOTDIR),
            }
        }
        match way.pop() {
            Some(fd) => Ok(fd),
            None => self
                .fd
                .try_clone()
                .map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::MFILE)),
        }
    }
}

fn names(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Opens one name without following it; makes it first if it is missing.
fn step(here: BorrowedFd<'_>, name: &OsStr, missing: Missing) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(here, name, flags, Mode::empty());
    match open() {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let made = match missing {
        Missing::Directory => rustix::fs::mkdirat(here, name, Mode::from_raw_mode(0o755)),
        Missing::File => {
            let create =
                OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(here, name, create, Mode::from_raw_mode(0o644)).map(drop)
        }
    };
    match made {
        Ok(()) | Err(Errno::EXIST) => open(),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(dir.path().join("root")).unwrap();
        let fd = rustix::fs::open(
            dir.path().join("root"),
            OFlags::PATH | OFlags::DIRECTORY,
            Mode::empty(),
        );
        (dir, Root::new(fd.unwrap()))
    }

    #[test]
    fn what_is_missing_is_made_inside_the_root_whatever_the_links_say() {
        let (dir, root) = root();
        let inside = dir.path().join("root");
        symlink("/outside", inside.join("absolute")).unwrap();
        symlink("../../../../outside", inside.join("climbing")).unwrap();
        symlink("/a/b/../c", inside.join("dangling")).unwrap();
        let table = [
            ("/x/y/z", "x/y/z"),
            ("absolute/etc", "outside/etc"),
            ("climbing/deep", "outside/deep"),
            ("../../up", "up"),
            ("dangling/d", "a/c/d"),
        ];
        for (path, want) in table {
            root.open_or_make(Path::new(path), Missing::Directory)
                .unwrap();
            assert!(inside.join(want).is_dir(), "{path}");
        }
        assert!(!dir.path().join("outside").exists());
        root.open_or_make(Path::new("/etc/hosts"), Missing::File)
            .unwrap();
        assert!(inside.join("etc/hosts").is_file());
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let (dir, root) = root();
        symlink("loop", dir.path().join("root/loop")).unwrap();
        let error = root
            .open_or_make(Path::new("/loop/x"), Missing::Directory)
            .unwrap_err();
        assert_eq!(error, Errno::LOOP);
    }

    #[test]
    fn a_file_is_no_directory() {
        let (dir, root) = root();
        fs::write(dir.path().join("root/file"), "").unwrap();
        let error = root
            .open_or_make(Path::new("/file/x"), Missing::Directory)
            .unwrap_err();
        assert_eq!(error, Errno::NOTDIR);
    }
}
