//! Ranges of file descriptors.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Closes every descriptor from `first` on.
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    close_range(first)
}

/// Where [`keep_only`] puts what it keeps.
const FIRST_FREE: i32 = 3;

/// Closes every descriptor but the three standard ones and this one, which becomes number 3,
/// close-on-exec.
pub(crate) fn keep_only(kept: OwnedFd) -> io::Result<OwnedFd> {
    if kept.as_raw_fd() != FIRST_FREE {
        // SAFETY: two descriptor numbers; what was open at 3 is closed, like everything above.
        let result = unsafe { libc::dup3(kept.as_raw_fd(), FIRST_FREE, libc::O_CLOEXEC) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    close_from(FIRST_FREE as u32 + 1)?;
    std::mem::forget(kept);
    // SAFETY: 3 is open, and the value that owned it, if it was `kept`, was forgotten.
    Ok(unsafe { OwnedFd::from_raw_fd(FIRST_FREE) })
}

fn close_range(first: u32) -> io::Result<()> {
    // SAFETY: three integers. Descriptors that are owned by Rust values are only closed in a
    // process that ends by exec or `_exit` and never drops those values.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
