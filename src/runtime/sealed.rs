//! Our own program, in a form that no container can overwrite (CVE-2019-5736).
//!
//! Until `exec`, and as built-in init for its whole life, a container's process runs our program, and
//! `/proc/<pid>/exe` leads to the file. A container with `CAP_SYS_PTRACE` could open it there, wait
//! until nobody executes it any more, and write to it. So shims are started from a view of the file
//! that cannot be written: an overlay file system without an upper layer, mounted nowhere, that
//! lives as long as somebody runs from it. It costs one mount for each supervisor, and nothing
//! for a container; pages are shared with the real file's. Where overlayfs cannot be used it is a
//! sealed copy in memory.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use crate::sys::execve;

const EXE: &str = "/proc/self/exe";
/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAY_MAGIC: u64 = 0x794c_7630;
/// `ST_RDONLY` of statfs(2).
const READ_ONLY: u64 = 1;

/// Our program on a read-only file system of its own: execute `/proc/self/fd/<n>`.
pub fn executable() -> io::Result<OwnedFd> {
    if is_sealed() {
        return Ok(rustix::fs::open(
            EXE,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
    }
    overlay().or_else(|_| copy())
}

/// Whether this process already runs from such a file.
pub fn is_sealed() -> bool {
    let on_overlay = rustix::fs::statfs(EXE)
        .is_ok_and(|fs| fs.f_type as u64 == OVERLAY_MAGIC && fs.f_flags as u64 & READ_ONLY != 0);
    on_overlay || is_sealed_copy()
}

fn is_sealed_copy() -> bool {
    let Ok(exe) = rustix::fs::open(EXE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) else {
        return false;
    };
    rustix::fs::fcntl_get_seals(&exe).is_ok_and(|seals| seals.contains(SealFlags::WRITE))
}

/// Executes this program again from such a file with the same arguments, unless it already does.
pub fn ensure() -> io::Result<()> {
    if is_sealed() {
        return Ok(());
    }
    let file = executable()?;
    let arguments = |text: &OsStr| CString::new(text.as_bytes());
    let args = std::env::args_os()
        .map(|arg| arguments(&arg))
        .collect::<Result<Vec<_>, _>>()?;
    let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat())
    };
    let env = std::env::vars_os()
        .map(pair)
        .collect::<Result<Vec<_>, _>>()?;
    Err(execve::execve_fd(file.as_fd(), &args, &env))
}

fn overlay() -> io::Result<OwnedFd> {
    let path = std::fs::read_link(EXE)?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags, Mode::empty())?;
    // Without an upper layer there have to be two lower ones. Nothing is looked for in the second,
    // which is one that every machine has mounted: one that is mounted nowhere is refused before
    // Linux 6.15 (`clone_private_mount`).
    let other = rustix::fs::open("/dev", flags, Mode::empty())?;
    let layer = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let view = detached("overlay", |fs| {
        let both = format!("{}:{}", layer(&directory), layer(&other));
        rustix::mount::fsconfig_set_string(fs, "lowerdir", both)
    })?;
    let file = rustix::fs::openat(
        &view,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    check_same(&file)?;
    Ok(file)
}

/// The name may have been given to another file since we were started.
fn check_same(file: &OwnedFd) -> io::Result<()> {
    let (seen, running) = (rustix::fs::fstat(file)?, rustix::fs::stat(EXE)?);
    let same = seen.st_ino == running.st_ino && seen.st_size == running.st_size;
    if same {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn detached(
    typ: &str,
    configure: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>,
) -> rustix::io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen(typ, FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(&fs)?;
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NOSUID;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn copy() -> io::Result<OwnedFd> {
    let mut source = File::open(Path::new(EXE))?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Said since Linux 6.3, refused before.
    let memory = rustix::fs::memfd_create("stack", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("stack", flags))?;
    let mut target = File::from(memory);
    io::copy(&mut source, &mut target)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&target, seals)?;
    // Executing a file that is open for writing is "text file busy".
    let path = format!("/proc/self/fd/{}", target.as_raw_fd());
    Ok(rustix::fs::openat(
        CWD,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn runs_and_cannot_be_written(file: OwnedFd) {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let written = rustix::fs::open(&*path, OFlags::WRONLY, Mode::empty())
            .and_then(|open| rustix::io::write(&open, b"x"));
        assert!(
            matches!(
                written,
                Err(rustix::io::Errno::ROFS | rustix::io::Errno::PERM)
            ),
            "{written:?}"
        );
        let output = Command::new(&path).arg("--help").output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn the_overlay_view_runs_and_cannot_be_written() {
        let file = overlay().unwrap();
        runs_and_cannot_be_written(file);
    }

    #[test]
    fn the_copy_in_memory_runs_and_cannot_be_written() {
        runs_and_cannot_be_written(copy().unwrap());
    }
}
