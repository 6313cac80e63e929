//! Owner, mode, time and extended attributes.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::archive::Entry;
use super::error::EntryError;
use super::tree::{Tree, io_error};

/// What a file has beside its contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: (i64, u32),
}

impl Attributes {
    /// The attributes of an entry, checked.
    pub(crate) fn of(entry: &Entry) -> Result<Self, EntryError> {
        Ok(Self {
            uid: owner(entry.uid)?,
            gid: owner(entry.gid)?,
            mode: entry.mode & 0o7777,
            mtime: entry.mtime,
        })
    }

    /// What a file is made with: mostly its mode already. The bits that lend rights wait for the owner.
    pub(crate) fn mode_at_birth(&self) -> Mode {
        Mode::from_raw_mode(self.mode & 0o777)
    }

    fn times(&self) -> Timestamps {
        let time = Timespec {
            tv_sec: self.mtime.0,
            tv_nsec: self.mtime.1.into(),
        };
        Timestamps {
            last_access: time,
            last_modification: time,
        }
    }

    /// Owner before mode, for a change of owner takes the set-uid bit away; times last.
    pub(crate) fn apply(
        &self,
        fd: BorrowedFd<'_>,
        xattrs: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<(), EntryError> {
        // Each change is an entry in the file system's journal; a look is not.
        let now = fs::fstat(fd).map_err(io_error("look at"))?;
        let chown = (now.st_uid, now.st_gid) != (self.uid, self.gid);
        if chown {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            fs::fchown(fd, Some(uid), Some(gid)).map_err(io_error("set the owner of"))?;
        }
        if chown || now.st_mode & 0o7777 != self.mode {
            fs::fchmod(fd, Mode::from_raw_mode(self.mode)).map_err(io_error("set the mode of"))?;
        }
        for (name, value) in xattrs.iter().filter(|(name, _)| is_kept(name)) {
            match fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
                // A file system without them; the file is of use all the same.
                Err(Errno::OPNOTSUPP) => {}
                other => other.map_err(io_error("set the extended attributes of"))?,
            }
        }
        self.set_times(fd)
    }

    /// Sets the times alone: those of a directory change with every entry that is put into it.
    pub(crate) fn set_times(&self, fd: BorrowedFd<'_>) -> Result<(), EntryError> {
        fs::futimens(fd, &self.times()).map_err(io_error("set the times of"))
    }

    /// For what cannot be opened without side effects: links, devices, fifos.
    pub(crate) fn apply_at(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
    ) -> Result<(), EntryError> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fs::chownat(
            parent,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(io_error("set the owner of"))?;
        if kind != FileType::Symlink {
            fs::chmodat(
                parent,
                name,
                Mode::from_raw_mode(self.mode),
                AtFlags::empty(),
            )
            .map_err(io_error("set the mode of"))?;
        }
        fs::utimensat(parent, name, &self.times(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(io_error("set the times of"))
    }
}

/// -1 means "leave as it is" to the kernel.
fn owner(id: u64) -> Result<u32, EntryError> {
    u32::try_from(id)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or(EntryError::Owner { id })
}

/// Which extended attributes of an archive are set. The rest steers overlayfs (`trusted.overlay.*`,
/// `user.overlay.*`) or the host's security modules, and is not an archive's to say.
fn is_kept(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")
}

/// Gives directories that a layer needed but did not describe the attributes that they have in the
/// layers below (the nearest one first): overlayfs shows those of the topmost directory.
///
/// # Errors
/// When a layer's directory cannot be opened; a directory that has gone is passed over.
pub(crate) fn inherit(layer: &Path, implied: &[Vec<u8>], below: &[&Path]) -> std::io::Result<()> {
    let tree = Tree::open(layer)?;
    let below = below
        .iter()
        .map(|path| Tree::open(path))
        .collect::<Result<Vec<_>, _>>()?;
    for name in implied {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY;
        let Ok(target) = tree.lookup(name, directory) else {
            continue;
        };
        let Some(source) = below
            .iter()
            .find_map(|tree| tree.lookup(name, directory).ok())
        else {
            continue;
        };
        let stat = fs::fstat(&source)?;
        let attributes = Attributes {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            mtime: (
                stat.st_mtime,
                u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
            ),
        };
        attributes
            .apply(target.as_fd(), &[])
            .map_err(|error| match error {
                EntryError::Io { source, .. } => source,
                other => std::io::Error::other(other),
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_may_not_set_the_attributes_that_steer_the_host() {
        for (name, kept) in [
            ("security.capability", true),
            ("user.mime_type", true),
            ("trusted.overlay.opaque", false),
            ("trusted.overlay.redirect", false),
            ("user.overlay.opaque", false),
            ("security.selinux", false),
            ("security.ima", false),
            ("system.posix_acl_access", false),
        ] {
            assert_eq!(is_kept(name.as_bytes()), kept, "{name}");
        }
    }
}
