//! `clone3`, and `clone` where the kernel or a filter says `ENOSYS`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Which half of a `clone` this is.
#[derive(Debug)]
pub(crate) enum Cloned {
    /// The new process.
    Child,
    /// The caller.
    Parent {
        /// The new process, as the caller sees it.
        pid: i32,
        /// The same as a descriptor (close-on-exec).
        pidfd: OwnedFd,
    },
}

/// linux/sched.h; `clone3` only.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` up to `cgroup` (`CLONE_ARGS_SIZE_VER2`).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Makes a new process like `fork`, in new namespaces (`CLONE_NEW*` flags), born in a v2 cgroup.
///
/// The caller must not have other threads that hold locks: the child has only this one thread, so
/// a lock held elsewhere (the allocator's, for one) would stay locked there for ever.
/// `CLONE_INTO_CGROUP` exists in `clone3` only; without `clone3` (before Linux 5.3) a cgroup is an
/// `ENOSYS` error.
pub(crate) fn clone(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: namespaces | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `args` is a valid `clone_args` of the size given and outlives the call; `pidfd` is
    // where the kernel stores an int; without CLONE_VM and with a null stack the child goes on
    // on a copy of this stack, as after fork.
    let mut pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) };
    if pid < 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ENOSYS) || cgroup.is_some() {
            return Err(error);
        }
        pid = legacy_clone(args.flags, &mut pidfd)?;
    }
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: with CLONE_PIDFD the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent {
        pid: pid as i32,
        pidfd,
    })
}

fn legacy_clone(flags: u64, pidfd: &mut RawFd) -> io::Result<libc::c_long> {
    let flags = flags | libc::SIGCHLD as u64;
    let none: *mut libc::c_void = std::ptr::null_mut();
    // SAFETY: as above; in the old call the pidfd is stored through the parent_tid argument, the
    // third on both x86_64 and aarch64, whose other orders differ only in the two nulls after it.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags,
            none,
            std::ptr::from_mut(pidfd),
            none,
            none,
        )
    };
    if pid < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(pid)
    }
}

/// `fork`, for a process that is about to `exec` or to loop: the same rule about threads.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    let none: *mut libc::c_void = std::ptr::null_mut();
    // SAFETY: only SIGCHLD as flags: the child is a copy on a copy of this stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, none, none, none, none) };
    match pid {
        0 => Ok(None),
        1.. => Ok(Some(pid as i32)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Gives this process a new cgroup namespace, whose root is where it is now.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: CLONE_NEWCGROUP changes nothing that this process's memory or descriptors depend on.
    let result = unsafe { libc::unshare(libc::CLONE_NEWCGROUP) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Ends the process without running anything that belongs to the process it was copied from.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(code) }
}
