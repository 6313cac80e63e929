//! One line of a log file.

use jiff::Timestamp;

/// Which of the program's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; everything, for a program with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// RFC 3339 in UTC with nine digits (`2026-01-02T03:04:05.678901234Z`).
    pub time: &'a str,
    /// Where it came from.
    pub stream: Stream,
    /// The text goes on in the stream's next line.
    pub partial: bool,
    /// What was written, without the newline.
    pub text: &'a [u8],
}

impl Line<'_> {
    /// The time as a number; `None` when the file was not written by a [`LogWriter`](super::LogWriter).
    pub fn timestamp(&self) -> Option<Timestamp> {
        todo!()
    }
}
