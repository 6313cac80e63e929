//! What a program writes: passed on as it comes, and the end of it kept.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::build::event::{Stream, Told};

const READ_SIZE: usize = 64 << 10;
/// How much of the end is kept for the error message.
const TAIL: usize = 8 << 10;
const TAIL_LINES: usize = 20;

/// The last lines of a program's output.
#[derive(Debug, Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * TAIL {
            let cut = self.bytes.len() - TAIL;
            self.bytes.drain(..cut);
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        lines[from..]
            .iter()
            .map(|line| (*line).to_owned())
            .collect()
    }
}

/// How the reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Both streams are at their end.
    End,
    /// The build was canceled.
    Canceled,
}

/// Reads both streams to their end.
pub(super) fn follow(
    (stdout, stderr): (OwnedFd, OwnedFd),
    canceled: BorrowedFd<'_>,
    told: &Told<'_>,
    tail: &mut Tail,
) -> io::Result<Read> {
    let mut open = vec![(stdout, Stream::Stdout), (stderr, Stream::Stderr)];
    let mut buffer = vec![0; READ_SIZE];
    while !open.is_empty() {
        let mut fds: Vec<PollFd<'_>> = open
            .iter()
            .map(|(fd, _)| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN))
            .collect();
        fds.push(PollFd::from_borrowed_fd(canceled, PollFlags::IN));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        if ready.last() == Some(&true) {
            return Ok(Read::Canceled);
        }
        for index in (0..open.len()).rev() {
            if !ready[index] {
                continue;
            }
            let (fd, stream) = &open[index];
            match rustix::io::read(fd, &mut *buffer) {
                Ok(0) => drop(open.remove(index)),
                Ok(count) => {
                    tail.push(&buffer[..count]);
                    told.output(*stream, buffer[..count].to_vec());
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(Read::End)
}
