//! Signal dispositions and mask of this process.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// The exit code of a command that was interrupted.
const INTERRUPTED: i32 = 130;

static INTERRUPTS_END: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM end this process with the exit code 130, as Docker Compose does it: a
/// shell whose command dies of SIGINT gives its script up, and one whose command exits goes on. A shell
/// starts what runs in the background with SIGINT ignored; who sends it all the same means it.
pub(crate) fn exit_when_interrupted() -> io::Result<()> {
    INTERRUPTS_END.store(true, Ordering::Relaxed);
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: all zero is a valid value: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = interrupted as extern "C" fn(i32) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the action is valid, and its handler calls only what may be called in one
        // (signal-safety(7)); nothing is written.
        if unsafe { libc::sigaction(signal, &action, ptr::null_mut()) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Somebody else looks after interrupts from now on, whatever handlers are called besides.
pub(crate) fn leave_interrupts() {
    INTERRUPTS_END.store(false, Ordering::Relaxed);
}

extern "C" fn interrupted(_: i32) {
    if INTERRUPTS_END.load(Ordering::Relaxed) {
        // SAFETY: it does not return, and runs nothing of this program.
        unsafe { libc::_exit(INTERRUPTED) }
    }
}
