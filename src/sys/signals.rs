//! Signal dispositions and mask of this process.

use std::io;
use std::ptr;

/// Highest signal number of Linux on the architectures that we run on.
const LAST: i32 = 64;
/// Bytes of the kernel's signal set.
const KERNEL_SIGSET: usize = 8;

/// Gives every signal its default action and blocks none: what a new program expects to find.
/// `exec` resets handlers by itself, but keeps "ignored" and the mask.
pub(crate) fn reset() -> io::Result<()> {
    // The kernel's sigaction with everything zero: SIG_DFL, no flags, no mask. Not through libc, which
    // refuses the two signals that it keeps for itself, and has spawned us with these ignored.
    let default = [0_u64; 4];
    for signal in 1..=LAST {
        // SAFETY: the kernel reads 32 bytes, or fewer, of the array and writes nothing. SIG_DFL
        // installs no code. The two signals that cannot be changed are refused without effect.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                ptr::null_mut::<u64>(),
                KERNEL_SIGSET,
            )
        };
    }
    let mut empty = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; sigprocmask only reads it.
    let result = unsafe {
        libc::sigemptyset(empty.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, empty.as_ptr(), ptr::null_mut())
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Blocks every signal, so that none is lost until somebody waits for them.
pub(crate) fn block_all() -> io::Result<()> {
    let mut full = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set; sigprocmask only reads it.
    let result = unsafe {
        libc::sigfillset(full.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, full.as_ptr(), ptr::null_mut())
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
