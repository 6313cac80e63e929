//! The built-in init: PID 1 of a container with `init: true`.
//!
//! It is no program of its own: the cloned child, ready to run the user's program, forks once more.
//! The new process runs the program, the old one stays behind as PID 1: passes signals on, reaps
//! orphans, and ends with the program's exit code.
//!
//! So `/proc/1/exe` inside the container is our own program (CVE-2019-5736). It cannot be written
//! to: the shim, and with it everything it clones, runs from a read-only file system or a sealed copy
//! in memory, see [`sealed`](super::sealed). Opening it for writing fails whatever privileges the
//! container has, and reading it gives away nothing but a public program.

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use rustix::process::{Pid, WaitOptions, getpid, setpgid, wait};
use rustix::termios::tcsetpgrp;

use super::exit::ExitStatus;
use crate::sys;

/// Where Docker's init is, and what ours says it is: programs look for it among the processes.
pub const INIT_PATH: &str = "/sbin/docker-init";

/// What the child half of the fork does before it executes the program: a process group of its own,
/// which the terminal (standard input, if it is one) is given to, so that Ctrl-C reaches the
/// program once and PID 1 not at all.
pub fn prepare_program() {
    let group = getpid();
    if setpgid(Some(group), Some(group)).is_err() {
        return;
    }
    // A process in the background that takes the terminal is stopped unless it ignores this signal.
    let mut stop = SigSet::empty();
    stop.add(Signal::SIGTTOU);
    let mut before = SigSet::empty();
    if sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stop), Some(&mut before)).is_ok() {
        // ENOTTY: there is no terminal.
        let _ = tcsetpgrp(rustix::stdio::stdin(), group);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None);
    }
}

/// PID 1's life after the fork, with every signal blocked since before: ends with the program's exit
/// code.
pub fn supervise(program: i32) -> ! {
    let _ = rustix::thread::set_name(c"docker-init");
    let hidden = rustix::process::DumpableBehavior::NotDumpable;
    let _ = rustix::process::set_dumpable_behavior(hidden);
    close_streams();
    let code = match Pid::from_raw(program) {
        Some(program) => watch(program).exit_code(),
        None => 128,
    };
    sys::clone::exit_now(code)
}

fn watch(program: Pid) -> ExitStatus {
    loop {
        if let Some(status) = reap(program) {
            return status;
        }
        match sys::signal_queue::wait_any() {
            Ok(signal) if is_forwarded(signal) => {
                // ESRCH: it has just ended, which the next turn sees.
                let _ = sys::signal_queue::send_to_child(program.as_raw_nonzero().get(), signal);
            }
            // SIGCHLD, or an interruption: look again.
            _ => {}
        }
    }
}

/// Everything but what is PID 1's own business: its children, and stopping it by the terminal.
/// Faults (SIGSEGV…) come from outside here, since PID 1's own would have ended it.
fn is_forwarded(signal: i32) -> bool {
    !matches!(signal, libc::SIGCHLD | libc::SIGTTIN | libc::SIGTTOU)
}

/// Takes all that have ended: the program's end, if it is among them.
fn reap(program: Pid) -> Option<ExitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == program {
            ended = ExitStatus::from_wait(status);
        }
    }
    ended
}

/// The streams are the program's: that it closes them must be seen at their other ends.
fn close_streams() {
    let Ok(null) = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    else {
        return;
    };
    let _ = rustix::stdio::dup2_stdin(&null);
    let _ = rustix::stdio::dup2_stdout(&null);
    let _ = rustix::stdio::dup2_stderr(&null);
    // Closed with all the others: not to be closed again.
    std::mem::forget(null);
    let _ = sys::descriptors::close_from(3);
}
