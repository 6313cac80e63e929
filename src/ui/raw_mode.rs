//! The caller's terminal in raw mode, for as long as a program in a container has it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr};

/// Keeps a terminal in raw mode and gives back its old mode when dropped.
#[derive(Debug)]
pub(crate) struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts standard input into raw mode.
    pub(crate) fn enter() -> io::Result<Self> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // Drain, so that the program's last output is still shown in the mode it was written for.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}

/// The size of the caller's terminal; `None` when there is none.
pub(crate) fn window_size() -> Option<Winsize> {
    tcgetwinsize(io::stdout())
        .or_else(|_| tcgetwinsize(io::stdin()))
        .ok()
}

/// Gives a terminal the size of the caller's.
pub(crate) fn copy_window_size(to: impl AsFd) {
    if let Some(size) = window_size() {
        // It may have closed by now: the program's end is reported elsewhere.
        let _ = rustix::termios::tcsetwinsize(to, size);
    }
}
