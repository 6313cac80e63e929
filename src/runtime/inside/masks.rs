//! Paths of `/proc` and `/sys` that a container does not get to see, or to write.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, OFlags, fstatfs, statfs};
use rustix::io::Errno;

use super::mounts::{clone_tree, new_file_system, put};
use super::root::Root;
use crate::runtime::failure::{Attempt, Context, StartError, Step};
use crate::sys::mount_attr::{self, MountAttr, NODEV, NOEXEC, NOSUID, RDONLY, Reach};

const STEP: Step = Step::Mask;
/// `SYSFS_MAGIC` of linux/magic.h.
const SYSFS_MAGIC: u64 = 0x6265_6572;

/// Hides paths: files behind the null device, directories behind an empty one.
pub(crate) fn hide(root: &Root, paths: &[String], null: &OwnedFd) -> Attempt<()> {
    let mut empty: Option<OwnedFd> = None;
    for path in paths {
        let Some(target) = find(root, path)? else {
            continue;
        };
        let stat = rustix::fs::fstat(&target).at(STEP, path.as_str())?;
        let cover = if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            clone_tree(null, Path::new(""), Reach::One).at(STEP, path.as_str())?
        } else if let Some(empty) = &empty {
            clone_tree(empty, Path::new(""), Reach::One).at(STEP, path.as_str())?
        } else {
            new_file_system(
                "tmpfs",
                None,
                &[("mode".to_owned(), Some("755".to_owned()))],
            )
            .at(STEP, path.as_str())?
        };
        // Read-only for the node too: its mode is not the container's to change.
        let attr = MountAttr {
            set: RDONLY | NOSUID | NOEXEC,
            ..MountAttr::default()
        };
        mount_attr::set(&cover, Reach::One, &attr).at(STEP, path.as_str())?;
        put(&cover, &target).at(STEP, path.as_str())?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            empty = Some(cover);
        }
    }
    Ok(())
}

/// Makes paths read-only by a read-only copy of each on itself.
pub(crate) fn protect(root: &Root, paths: &[String]) -> Attempt<()> {
    for path in paths {
        let Some(target) = find(root, path)? else {
            continue;
        };
        let cover = clone_tree(&target, Path::new(""), Reach::Tree).at(STEP, path.as_str())?;
        let attr = MountAttr {
            set: RDONLY | NOSUID | NODEV | NOEXEC,
            ..MountAttr::default()
        };
        mount_attr::set(&cover, Reach::Tree, &attr).at(STEP, path.as_str())?;
        put(&cover, &target).at(STEP, path.as_str())?;
    }
    Ok(())
}

/// The place itself, if the kernel has it; not what a link in the image says it is.
fn find(root: &Root, path: &str) -> Attempt<Option<OwnedFd>> {
    let target = match root.open_plain(Path::new(path), OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP) if !is_below(path, "/proc") && !is_below(path, "/sys") => {
            match root.open(Path::new(path), OFlags::PATH) {
                Ok(target) => target,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(error) => return Err(StartError::refused(STEP, path, error)),
            }
        }
        Err(error) => return Err(StartError::refused(STEP, path, error)),
    };
    check_file_system(&target, path)?;
    Ok(Some(target))
}

/// What is said to be in `/proc` has to be procfs: else the real one may be left open elsewhere.
fn check_file_system(target: &OwnedFd, path: &str) -> Attempt<()> {
    let magic = fstatfs(target).at(STEP, path)?.f_type as u64;
    let wanted = if is_below(path, "/proc") {
        rustix::fs::PROC_SUPER_MAGIC as u64
    } else if is_below(path, "/sys") {
        SYSFS_MAGIC
    } else {
        return Ok(());
    };
    if magic == wanted {
        Ok(())
    } else {
        Err(StartError::because(
            STEP,
            path,
            "does not lie in the kernel's own file system",
        ))
    }
}

fn is_below(path: &str, top: &str) -> bool {
    Path::new(path).starts_with(top)
}

/// The host's `/proc`, for kernel parameters: opened before anything of the image is mounted, and
/// checked to be procfs (CVE-2025-52881).
pub(crate) fn check_host_proc() -> Attempt<()> {
    let magic = statfs("/proc").at(STEP, "/proc")?.f_type as u64;
    if magic == rustix::fs::PROC_SUPER_MAGIC as u64 {
        Ok(())
    } else {
        Err(StartError::because(
            STEP,
            "/proc",
            "is not procfs on this machine: mount -t proc proc /proc",
        ))
    }
}
