//! `mount_setattr`: the attributes of a mount, or of a whole tree of them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

pub(crate) const RDONLY: u64 = 0x1;
pub(crate) const NOSUID: u64 = 0x2;
pub(crate) const NODEV: u64 = 0x4;
pub(crate) const NOEXEC: u64 = 0x8;
/// The field of access time modes.
pub(crate) const ATIME: u64 = 0x70;
pub(crate) const RELATIME: u64 = 0x00;
pub(crate) const NOATIME: u64 = 0x10;
pub(crate) const STRICTATIME: u64 = 0x20;
pub(crate) const NODIRATIME: u64 = 0x80;
pub(crate) const NOSYMFOLLOW: u64 = 0x0020_0000;

/// `struct mount_attr` (`MOUNT_ATTR_SIZE_VER0`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MountAttr {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0 for no change.
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

/// How much of a tree of mounts is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The mount itself.
    One,
    /// It and everything mounted below it.
    Tree,
}

/// Changes the mount that this descriptor is the root of.
pub(crate) fn set(mount: impl AsFd, reach: Reach, attr: &MountAttr) -> io::Result<()> {
    let recursive = match reach {
        Reach::One => 0,
        Reach::Tree => libc::AT_RECURSIVE,
    };
    // SAFETY: an empty null-terminated path with AT_EMPTY_PATH; `attr` is a `mount_attr` of the
    // size given, only read by the kernel.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | recursive,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
