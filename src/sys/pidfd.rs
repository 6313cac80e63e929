//! Signals by process descriptor, real-time ones included (which rustix has no safe value for).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Sends a signal to the process of a pidfd.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for the call; a null siginfo is allowed and means the same as
    // for kill(2); the kernel checks the signal's number; no memory of ours is written.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
