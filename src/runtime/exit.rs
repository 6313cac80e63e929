//! How processes end.

use rustix::process::WaitStatus;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitStatus {
    /// What `wait` said; `None` when the process has not ended (stopped, continued).
    pub fn from_wait(status: WaitStatus) -> Option<Self> {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Self::Code(code)),
            (None, Some(signal)) => Some(Self::Signal(signal)),
            (None, None) => None,
        }
    }

    /// As a shell says it: the code, or 128 + the signal.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Code(_) => None,
            Self::Signal(signal) => Some(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Pid, WaitOptions, waitpid};

    use super::*;

    #[test]
    #[expect(
        clippy::zombie_processes,
        reason = "reaped by `waitpid`, which is what is tested"
    )]
    fn an_end_is_a_code_or_a_signal() {
        for (script, expected, code) in [
            ("exit 0", ExitStatus::Code(0), 0),
            ("exit 7", ExitStatus::Code(7), 7),
            ("kill -TERM $$", ExitStatus::Signal(15), 143),
            ("kill -KILL $$", ExitStatus::Signal(9), 137),
        ] {
            let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            let waited = waitpid(Some(Pid::from_child(&child)), WaitOptions::empty());
            let status = ExitStatus::from_wait(waited.unwrap().unwrap().1).unwrap();
            assert_eq!(status, expected, "{script}");
            assert_eq!(status.exit_code(), code, "{script}");
        }
    }
}
