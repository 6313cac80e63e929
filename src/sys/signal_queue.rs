//! Signals taken as data, and sent by number: real-time ones included, which nix and rustix leave out.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// Waits for any signal; all of them have to be blocked.
pub(crate) fn wait_any() -> io::Result<i32> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set, sigwaitinfo reads it; a null siginfo is allowed.
    let signal = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigwaitinfo(all.as_ptr(), ptr::null_mut())
    };
    if signal < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(signal)
    }
}

/// Sends a signal to one process, not yet reaped by its parent (the caller), so that the pid cannot
/// mean another.
pub(crate) fn send_to_child(pid: i32, signal: i32) -> io::Result<()> {
    if pid <= 0 {
        // Those mean groups.
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: two integers.
    if unsafe { libc::kill(pid, signal) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
