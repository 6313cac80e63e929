//! The kernel's session keyring.

use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Joins a new, empty session keyring, so that the caller's keys are out of reach.
pub(crate) fn join_new_session() -> io::Result<()> {
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: a null name asks for an anonymous keyring; no memory is read or written.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
