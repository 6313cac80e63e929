//! A directory that archives are unpacked into, as the kernel sees it: no name leads out of it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::error::EntryError;
use super::remove::remove_at;

/// Names below this many directories are refused.
const DEPTH_MAX: usize = 256;
/// How often a lookup that raced with a rename is tried (openat2(2): EAGAIN).
const LOOKUPS: usize = 16;
/// overlayfs: what lies below a directory with this is hidden.
pub(super) const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// The directory of one layer.
pub(super) struct Tree {
    root: OwnedFd,
    /// The directory that the last entry was put into: the next one mostly goes there too.
    cached: Option<(Vec<u8>, OwnedFd)>,
    /// Directories that no entry has described, made because a name needed them.
    pub(super) implied: Vec<Vec<u8>>,
}

/// A name taken apart: no empty parts, no `.`, no `..`.
pub(crate) struct Name<'a> {
    pub(crate) parent: Vec<u8>,
    /// `None` = the root directory itself.
    pub(crate) last: Option<&'a [u8]>,
}

impl<'a> Name<'a> {
    /// Takes a name of an archive apart. A leading slash means nothing, as for Docker.
    pub(crate) fn new(raw: &'a [u8]) -> Result<Self, EntryError> {
        if raw.contains(&0) {
            return Err(EntryError::Nul);
        }
        let parts = || {
            raw.split(|b| *b == b'/')
                .filter(|part| !matches!(*part, b"" | b"."))
        };
        let count = parts().count();
        if parts().any(|part| part == b"..") {
            return Err(EntryError::DotDot);
        }
        if count > DEPTH_MAX {
            return Err(EntryError::TooDeep { limit: DEPTH_MAX });
        }
        let parent = parts()
            .take(count.saturating_sub(1))
            .collect::<Vec<_>>()
            .join(&b'/');
        Ok(Self {
            parent,
            last: parts().next_back(),
        })
    }

    /// The whole name.
    pub(crate) fn full(&self) -> Vec<u8> {
        match self.last {
            Some(last) if self.parent.is_empty() => last.to_vec(),
            Some(last) => [&self.parent, &b"/"[..], last].concat(),
            None => Vec::new(),
        }
    }
}

/// What stands at a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Directory,
    /// Our own mark for "deleted": nothing else can be the device 0:0, archives with one are refused.
    Whiteout,
    Other,
}

impl Tree {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            root,
            cached: None,
            implied: Vec::new(),
        })
    }

    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens what a clean name stands for, beneath the root; a symbolic link at its end is not followed.
    pub(super) fn lookup(&self, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let name = if name.is_empty() { b"." } else { name };
        self.follow(name, flags | OFlags::NOFOLLOW)
    }

    /// Opens what a name stands for, beneath the root, wherever links lead.
    pub(super) fn follow(&self, name: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..LOOKUPS {
            match fs::openat2(
                &self.root,
                name,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The directory of a clean name. A link at its end is followed, still beneath the root.
    pub(super) fn directory(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        // With a slash behind it the last part is resolved like the ones in front.
        let through = [name, b"/."].concat();
        let through = if name.is_empty() { &b"."[..] } else { &through };
        self.lookup(through, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// The directory that a name's last part goes into; what is missing is made.
    pub(super) fn parent(&mut self, parent: &[u8]) -> Result<BorrowedFd<'_>, EntryError> {
        let hit = self.cached.as_ref().is_some_and(|(name, _)| name == parent);
        if !hit {
            let fd = match self.directory(parent) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => self.make_parents(parent)?,
                Err(error) => return Err(io_error("look up the directory of")(error)),
            };
            self.cached = Some((parent.to_vec(), fd));
        }
        match &self.cached {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Ok(self.root.as_fd()),
        }
    }

    fn make_parents(&mut self, parent: &[u8]) -> Result<OwnedFd, EntryError> {
        let mut at = self.directory(b"").map_err(io_error("open the root for"))?;
        let mut prefix = Vec::new();
        for part in parent.split(|b| *b == b'/') {
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            prefix.extend_from_slice(part);
            at = match self.directory(&prefix) {
                Ok(fd) => fd,
                Err(Errno::NOENT | Errno::NOTDIR) => self.make_parent(&at, part, &prefix)?,
                Err(error) => return Err(io_error("look up the directory of")(error)),
            };
        }
        Ok(at)
    }

    fn make_parent(
        &mut self,
        at: &OwnedFd,
        part: &[u8],
        prefix: &[u8],
    ) -> Result<OwnedFd, EntryError> {
        let no_directory = || EntryError::Parent {
            part: String::from_utf8_lossy(prefix).into_owned(),
        };
        let found = look(at.as_fd(), part)?;
        match found {
            Found::Nothing => {}
            Found::Whiteout => {
                fs::unlinkat(at, part, AtFlags::empty())
                    .map_err(io_error("replace a deletion mark for"))?;
            }
            // A file, or a link that leads nowhere.
            Found::Directory | Found::Other => return Err(no_directory()),
        }
        fs::mkdirat(at, part, Mode::from_raw_mode(0o755))
            .map_err(io_error("make the directory of"))?;
        fs::chmodat(at, part, Mode::from_raw_mode(0o755), AtFlags::empty())
            .map_err(io_error("set the mode of the directory of"))?;
        let made = self.directory(prefix).map_err(|_| no_directory())?;
        if found == Found::Whiteout {
            self.hide_below(prefix)?;
        }
        self.implied.push(prefix.to_vec());
        Ok(made)
    }

    /// Makes room for something new: gone is what stood there. Gives what it was.
    pub(super) fn clear(&mut self, name: &Name<'_>) -> Result<Found, EntryError> {
        let Some(last) = name.last else {
            return Err(EntryError::Root);
        };
        let parent = self.parent(&name.parent)?;
        let found = look(parent, last)?;
        match found {
            Found::Nothing => {}
            Found::Directory => {
                remove_at(parent, last).map_err(|source| EntryError::Io {
                    action: "replace",
                    source,
                })?;
                // Any directory we hold may have been in there.
                self.cached = None;
            }
            Found::Whiteout | Found::Other => {
                fs::unlinkat(parent, last, AtFlags::empty()).map_err(io_error("replace"))?;
            }
        }
        Ok(found)
    }

    /// Marks a directory so that overlayfs shows nothing of the layers below in it.
    pub(super) fn hide_below(&self, directory: &[u8]) -> Result<(), EntryError> {
        let fd = self
            .lookup(directory, OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(io_error("open the directory of"))?;
        // Without privilege only the `user.` form can be written (overlayfs: `userxattr`).
        let set = |name| fs::fsetxattr(&fd, name, b"y", fs::XattrFlags::empty());
        match set(OPAQUE[0]) {
            Err(Errno::PERM) => set(OPAQUE[1]),
            other => other,
        }
        .map_err(io_error("hide what is below"))
    }
}

/// What stands at a name of a directory.
pub(super) fn look(parent: BorrowedFd<'_>, name: &[u8]) -> Result<Found, EntryError> {
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(kind_of(&stat)),
        Err(Errno::NOENT) => Ok(Found::Nothing),
        Err(error) => Err(io_error("look at")(error)),
    }
}

fn kind_of(stat: &Stat) -> Found {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Directory,
        FileType::CharacterDevice if stat.st_rdev == 0 => Found::Whiteout,
        _ => Found::Other,
    }
}

/// An error of the system about an entry.
pub(super) fn io_error(action: &'static str) -> impl Fn(Errno) -> EntryError {
    move |errno| EntryError::Io {
        action,
        source: errno.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_without_dots_and_slashes() {
        for (raw, full) in [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("./", ""),
            ("/", ""),
            ("", ""),
            ("...", "..."),
        ] {
            assert_eq!(
                Name::new(raw.as_bytes()).unwrap().full(),
                full.as_bytes(),
                "{raw}"
            );
        }
        let deep = "a/".repeat(257);
        for raw in ["..", "a/../b", "/../a", "a/..", "a\0b", deep.as_str()] {
            assert!(Name::new(raw.as_bytes()).is_err(), "{raw:?}");
        }
    }
}
