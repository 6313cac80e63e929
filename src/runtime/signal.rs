//! Whether a signal would reach a container's PID 1.
//!
//! The kernel drops a signal to the first process of a pid namespace that has no handler for it
//! (pid_namespaces(7)). Who asks such a program to stop and waits, waits in vain.

use std::fs;
use std::io;

/// Whether `signal` would have an effect on the process, or be dropped.
pub fn stop_signal_reaches(pid: i32, signal: i32) -> io::Result<bool> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).map_err(|e| io::Error::new(e.kind(), format!("{path}: {e}")))
    };
    let status = read("status")?;
    // Needs the right to trace the process; without it, what it waits in is not known.
    let syscall = read("syscall").unwrap_or_default();
    Ok(reaches(&status, &syscall, signal))
}

/// `rt_sigtimedwait`, which sigwaitinfo(2) and its kin are made of.
#[cfg(target_arch = "x86_64")]
const SIGTIMEDWAIT: &str = "128";
#[cfg(not(target_arch = "x86_64"))]
const SIGTIMEDWAIT: &str = "137";

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

/// The decision, from the text of `/proc/<pid>/status` and `/proc/<pid>/syscall`.
///
/// A handler is called. A blocked signal is kept until somebody fetches it: programs with
/// `signalfd` or `sigwait` (tini, s6, systemd) block what they wait for; but while one sits in
/// `rt_sigtimedwait` the kernel takes the signals it waits for out of the mask, so that alone
/// counts too. What is neither has the default action, or is ignored: PID 1 never notices.
pub fn reaches(status: &str, syscall: &str, signal: i32) -> bool {
    if signal == SIGKILL || signal == SIGSTOP {
        return true;
    }
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
    };
    let has = |name: &str| {
        let mask = field(name)
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0);
        (1..=64).contains(&signal) && mask & (1 << (signal - 1)) != 0
    };
    if has("SigCgt") || has("SigBlk") || has("ShdPnd") {
        return true;
    }
    if syscall.split_whitespace().next() == Some(SIGTIMEDWAIT) {
        return true;
    }
    // Only the first process of its own namespace is spared the default action.
    let is_first = field("NSpid").and_then(|pids| pids.split_whitespace().last()) == Some("1");
    !is_first && !has("SigIgn")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: i32 = 15;

    fn status(nspid: &str, blocked: u64, ignored: u64, caught: u64) -> String {
        format!(
            "Name:\tsh\nNSpid:\t{nspid}\nThreads:\t1\nSigPnd:\t{z}\nShdPnd:\t{z}\nSigBlk:\t{blocked:016x}\n\
             SigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\nCapInh:\t0\n",
            z = "0000000000000000"
        )
    }

    #[test]
    fn pid_1_drops_what_it_neither_catches_nor_blocks() {
        let term = 1 << (TERM - 1);
        let waiting = format!("{SIGTIMEDWAIT} 0x7ffd 0x0 0x0 0x8 0x0 0x0 0x7ffd 0x7f00");
        let table: &[(&str, String, &str, i32, bool)] = &[
            (
                "default action",
                status("812\t1", 0, 0, 0),
                "35 0x0",
                TERM,
                false,
            ),
            (
                "ignored",
                status("812\t1", 0, term, 0),
                "running",
                TERM,
                false,
            ),
            (
                "caught",
                status("812\t1", 0, 0, term),
                "running",
                TERM,
                true,
            ),
            (
                "blocked",
                status("812\t1", term, 0, 0),
                "35 0x0",
                TERM,
                true,
            ),
            (
                "blocked and ignored",
                status("812\t1", term, term, 0),
                "35 0x0",
                TERM,
                true,
            ),
            (
                "waits for signals",
                status("812\t1", 0, 0, 0),
                &waiting,
                TERM,
                true,
            ),
            (
                "another is caught",
                status("812\t1", 0, 0, 1),
                "",
                TERM,
                false,
            ),
            ("kill", status("812\t1", 0, 0, 0), "", 9, true),
            ("real-time", status("812\t1", 0, 0, 1 << 63), "", 64, true),
            ("not the first", status("812\t7", 0, 0, 0), "", TERM, true),
            (
                "not the first, ignored",
                status("812", 0, term, 0),
                "",
                TERM,
                false,
            ),
        ];
        for (name, status, syscall, signal, want) in table {
            assert_eq!(reaches(status, syscall, *signal), *want, "{name}");
        }
    }

    #[test]
    fn nonsense_is_no_panic() {
        for text in ["", "SigCgt", "SigCgt:", "SigCgt:\txyz", "NSpid:\t"] {
            for signal in [i32::MIN, -1, 0, 65, i32::MAX] {
                let _ = reaches(text, text, signal);
            }
        }
    }

    #[test]
    fn a_process_that_is_not_first_is_reached() {
        assert!(stop_signal_reaches(std::process::id() as i32, TERM).unwrap());
        assert!(stop_signal_reaches(i32::MAX, TERM).is_err());
    }
}
