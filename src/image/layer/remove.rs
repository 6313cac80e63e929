//! Removing trees that hostile archives have made.

use std::collections::VecDeque;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

/// Directories held open at once. What lies deeper is first moved up: an archive can nest
/// directories deeper than a process may have files open.
const DEPTH: usize = 64;

/// Removes a directory with all that is in it; nothing there is fine. No link is followed.
pub(in crate::image) fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    match fs::open(parent, flags, Mode::empty()) {
        Ok(parent) => remove_at(parent.as_fd(), name.as_encoded_bytes()),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes `name` in `parent`, whatever it is.
pub(super) fn remove_at(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return Ok(other?),
    }
    let top = open_directory(parent, name)?;
    let mut removal = Removal {
        top: top.as_fd(),
        moved: VecDeque::new(),
        count: 0,
    };
    removal.empty(top.as_fd(), 0)?;
    while let Some(moved) = removal.moved.pop_front() {
        let fd = open_directory(top.as_fd(), moved.as_bytes())?;
        removal.empty(fd.as_fd(), 1)?;
        fs::unlinkat(&top, moved, AtFlags::REMOVEDIR)?;
    }
    Ok(fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(fs::openat(parent, name, flags, Mode::empty())?)
}

struct Removal<'a> {
    top: BorrowedFd<'a>,
    /// Directories that were too deep, by their new name in `top`.
    moved: VecDeque<String>,
    count: usize,
}

impl Removal<'_> {
    fn empty(&mut self, directory: BorrowedFd<'_>, depth: usize) -> io::Result<()> {
        let names = children(directory)?;
        for (name, kind) in names {
            // A name that we have given ourselves is in the queue already.
            if depth == 0
                && self
                    .moved
                    .iter()
                    .any(|moved| moved.as_bytes() == name.to_bytes())
            {
                continue;
            }
            if kind != FileType::Directory {
                match fs::unlinkat(directory, &name, AtFlags::empty()) {
                    Err(Errno::ISDIR) => {}
                    other => {
                        other?;
                        continue;
                    }
                }
            }
            if depth == DEPTH {
                self.move_up(directory, &name)?;
                continue;
            }
            let child = open_directory(directory, name.to_bytes())?;
            self.empty(child.as_fd(), depth + 1)?;
            fs::unlinkat(directory, &name, AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }

    fn move_up(&mut self, directory: BorrowedFd<'_>, name: &CString) -> io::Result<()> {
        loop {
            self.count += 1;
            let target = format!(".deep-{}", self.count);
            match fs::renameat_with(
                directory,
                name,
                self.top,
                &target,
                fs::RenameFlags::NOREPLACE,
            ) {
                Err(Errno::EXIST) => {}
                other => {
                    other?;
                    self.moved.push_back(target);
                    return Ok(());
                }
            }
        }
    }
}

fn children(directory: BorrowedFd<'_>) -> io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_open_files_allow_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let mut at = fs::open(&top, flags, Mode::empty()).unwrap();
        for _ in 0..5000 {
            fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            fs::openat(&at, "file", OFlags::CREATE | OFlags::RDWR, Mode::RWXU).unwrap();
            at = fs::openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        std::os::unix::fs::symlink("/etc", top.join("link")).unwrap();
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        assert!(Path::new("/etc/passwd").exists());
        remove_tree(&top).unwrap();
    }
}
