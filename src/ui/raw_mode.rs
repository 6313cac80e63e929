//! The caller's terminal in raw mode, for as long as a program in a container has it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{
    LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
};

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

/// Keeps a terminal in a mode in which keys come one by one and are not shown; Ctrl-C is a signal as
/// ever. Gives back its old mode when dropped.
#[derive(Debug)]
pub(crate) struct KeyMode(RawMode);

impl KeyMode {
    /// Takes the keyboard; `None` when we are in the background, where touching the terminal would stop
    /// us.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        let terminal = io::stdin().as_fd().try_clone_to_owned()?;
        if tcgetpgrp(&terminal)? != rustix::process::getpgrp() {
            return Ok(None);
        }
        let before = tcgetattr(&terminal)?;
        let mut keys = before.clone();
        keys.local_modes
            .remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &keys)?;
        Ok(Some(Self(RawMode { terminal, before })))
    }

    /// The terminal, to read keys from.
    pub(crate) fn keyboard(&self) -> io::Result<OwnedFd> {
        self.0.terminal.try_clone()
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
