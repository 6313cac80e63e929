//! The program's output: read once, written to the log and to every client that is attached.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::runtime::log::{LogWriter, Stream};

/// As much as a pipe holds.
const READ_SIZE: usize = 64 * 1024;
/// Reads at the end: 4 MiB; a pipe has at most one without privilege (pipe(7)).
const LAST_READS: u32 = 64;
/// When nobody has a terminal open, how long until it is looked at again.
const TERMINAL_PAUSE: Duration = Duration::from_millis(200);
/// How long the last output may take on its way to slow clients.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where output comes from and goes to.
#[derive(Debug)]
pub(super) struct Output {
    sources: Vec<Source>,
    sinks: Vec<Sink>,
    log: Option<LogWriter>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Source {
    fd: OwnedFd,
    stream: Stream,
    kind: SourceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SourceKind {
    Pipe,
    Terminal { paused_until: Option<Instant> },
}

/// One pipe of a client.
#[derive(Debug)]
struct Sink {
    client: u64,
    stream: Stream,
    fd: OwnedFd,
    /// What it has not taken yet. While there is any, its stream is not read: the program waits.
    pending: Vec<u8>,
}

impl Output {
    /// The program writes into pipes.
    pub(super) fn pipes(stdout: OwnedFd, stderr: OwnedFd, log: Option<LogWriter>) -> Self {
        let source = |fd, stream| Source {
            fd,
            stream,
            kind: SourceKind::Pipe,
        };
        Self::new(
            vec![
                source(stdout, Stream::Stdout),
                source(stderr, Stream::Stderr),
            ],
            log,
        )
    }

    /// The program has a terminal; this is its master side.
    pub(super) fn terminal(master: OwnedFd, log: Option<LogWriter>) -> Self {
        let source = Source {
            fd: master,
            stream: Stream::Stdout,
            kind: SourceKind::Terminal { paused_until: None },
        };
        Self::new(vec![source], log)
    }

    fn new(sources: Vec<Source>, log: Option<LogWriter>) -> Self {
        Self {
            sources,
            sinks: Vec::new(),
            log,
            buffer: vec![0; READ_SIZE],
        }
    }

    /// Copies output to a client's pipe from now on.
    pub(super) fn add_sink(&mut self, client: u64, stream: Stream, fd: OwnedFd) -> io::Result<()> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        self.sinks.push(Sink {
            client,
            stream,
            fd,
            pending: Vec::new(),
        });
        Ok(())
    }

    /// The client is gone.
    pub(super) fn remove_client(&mut self, client: u64) {
        self.sinks.retain(|sink| sink.client != client);
    }

    /// What to wait for: descriptors with the events that matter.
    pub(super) fn interests(&self) -> Vec<(BorrowedFd<'_>, PollFlags)> {
        let sources = self
            .sources
            .iter()
            .filter(|source| source.is_awake() && !self.is_blocked(source.stream))
            .map(|source| (source.fd.as_fd(), PollFlags::IN));
        // Without events asked for, a closed reader is still reported.
        let sinks = self.sinks.iter().map(|sink| {
            let wanted = match sink.pending.is_empty() {
                true => PollFlags::empty(),
                false => PollFlags::OUT,
            };
            (sink.fd.as_fd(), wanted)
        });
        sources.chain(sinks).collect()
    }

    /// When to come back although nothing happened.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sources
            .iter()
            .filter_map(|source| match source.kind {
                SourceKind::Terminal { paused_until } => paused_until,
                SourceKind::Pipe => None,
            })
            .min()
    }

    /// Moves what can be moved without waiting: at most one read for each stream.
    pub(super) fn pump(&mut self) {
        self.sinks.retain_mut(Sink::push);
        self.drop_deaf();
        for index in (0..self.sources.len()).rev() {
            self.wake(index);
            if self.is_blocked(self.sources[index].stream) || !self.sources[index].is_awake() {
                continue;
            }
            match self.read(index) {
                Read::Data | Read::Nothing => {}
                Read::Hangup => self.pause(index),
                Read::End => {
                    let source = self.sources.remove(index);
                    self.finish(source.stream);
                }
            }
        }
    }

    /// The program has ended: takes what it had written and has not been read yet.
    ///
    /// Everybody who could write is dead, so what is there now is all there will be. (Somebody
    /// outside who was given the pipe could go on writing: hence the limit, above any pipe's size.)
    pub(super) fn drain(&mut self) {
        for index in 0..self.sources.len() {
            let mut left = LAST_READS;
            while left > 0 && matches!(self.read(index), Read::Data) {
                left -= 1;
            }
        }
        for source in std::mem::take(&mut self.sources) {
            self.finish(source.stream);
        }
    }

    /// Gives attached clients a little time to take what they have not taken yet.
    pub(super) fn farewell(&mut self) {
        let deadline = Instant::now() + FAREWELL;
        loop {
            self.sinks
                .retain_mut(|sink| sink.push() && !sink.pending.is_empty());
            let left = deadline.saturating_duration_since(Instant::now());
            if self.sinks.is_empty() || left.is_zero() {
                break;
            }
            let mut fds: Vec<_> = self
                .sinks
                .iter()
                .map(|sink| PollFd::new(&sink.fd, PollFlags::OUT))
                .collect();
            // An interruption is just an early look.
            let _ = poll(&mut fds, Timespec::try_from(left).ok().as_ref());
        }
        self.sinks.clear();
    }

    fn finish(&mut self, stream: Stream) {
        if let Some(log) = &mut self.log {
            log.finish(stream);
        }
        // A client whose stream has ended reads end of file, when it has taken the rest.
        self.sinks
            .retain(|sink| sink.stream != stream || !sink.pending.is_empty());
    }

    fn read(&mut self, index: usize) -> Read {
        let source = &self.sources[index];
        if !is_readable(source.fd.as_fd()) {
            return Read::Nothing;
        }
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&source.fd, &mut *self.buffer));
        let (count, stream) = match (read, source.kind) {
            (Ok(0), SourceKind::Pipe) => return Read::End,
            // EIO: every process has closed the terminal; another may open it again.
            (Ok(0) | Err(_), SourceKind::Terminal { .. }) => return Read::Hangup,
            (Err(_), SourceKind::Pipe) => return Read::End,
            (Ok(count), _) => (count, source.stream),
        };
        let bytes = &self.buffer[..count];
        if let Some(log) = &mut self.log {
            log.write(stream, bytes);
        }
        for sink in self.sinks.iter_mut().filter(|sink| sink.stream == stream) {
            sink.pending.extend_from_slice(bytes);
        }
        self.sinks.retain_mut(Sink::push);
        Read::Data
    }

    fn is_blocked(&self, stream: Stream) -> bool {
        self.sinks
            .iter()
            .any(|sink| sink.stream == stream && !sink.pending.is_empty())
    }

    /// Drops clients that have closed their end although there was nothing to write to it.
    fn drop_deaf(&mut self) {
        self.sinks.retain(|sink| {
            let mut fds = [PollFd::new(&sink.fd, PollFlags::empty())];
            let asked = poll(&mut fds, Some(&Timespec::default()));
            asked.is_err() || !fds[0].revents().contains(PollFlags::ERR)
        });
    }

    fn pause(&mut self, index: usize) {
        self.sources[index].kind = SourceKind::Terminal {
            paused_until: Some(Instant::now() + TERMINAL_PAUSE),
        };
    }

    fn wake(&mut self, index: usize) {
        if let SourceKind::Terminal { paused_until } = &mut self.sources[index].kind
            && paused_until.is_some_and(|until| until <= Instant::now())
        {
            *paused_until = None;
        }
    }
}

impl Source {
    fn is_awake(&self) -> bool {
        !matches!(
            self.kind,
            SourceKind::Terminal {
                paused_until: Some(_)
            }
        )
    }
}

impl Sink {
    /// Writes what it can; `false` when the client has gone.
    fn push(&mut self) -> bool {
        let mut written = 0;
        let alive = loop {
            if written == self.pending.len() {
                break true;
            }
            match rustix::io::write(&self.fd, &self.pending[written..]) {
                Ok(count) => written += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break true,
                Err(_) => break false,
            }
        };
        self.pending.drain(..written);
        alive
    }
}

/// What a read brought.
enum Read {
    Data,
    Nothing,
    Hangup,
    End,
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(1))
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _, Write, pipe};
    use std::thread;

    use super::*;

    fn output() -> (Output, std::io::PipeWriter, std::io::PipeWriter) {
        let (stdout, program_out) = pipe().unwrap();
        let (stderr, program_err) = pipe().unwrap();
        let output = Output::pipes(stdout.into(), stderr.into(), None);
        (output, program_out, program_err)
    }

    fn attach(output: &mut Output, client: u64) -> PipeReader {
        let (reader, writer) = pipe().unwrap();
        output
            .add_sink(client, Stream::Stdout, writer.into())
            .unwrap();
        reader
    }

    #[test]
    fn a_slow_client_makes_the_program_wait_and_loses_nothing() {
        let (mut output, mut program, _errors) = output();
        let mut client = attach(&mut output, 1);
        let text = vec![b'x'; 1 << 20];
        let expected = text.len();
        let writer = thread::spawn(move || program.write_all(&text));
        // Its pipe, one read's rest, and the program's pipe are full now.
        while !output.is_blocked(Stream::Stdout) {
            output.pump();
        }
        assert!(!writer.is_finished());
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).map(|_| all.len())
        });
        while output.sources.len() > 1 {
            output.pump();
        }
        writer.join().unwrap().unwrap();
        output.farewell();
        assert_eq!(reader.join().unwrap().unwrap(), expected);
    }

    #[test]
    fn a_client_that_closes_is_dropped_and_the_others_go_on() {
        let (mut output, mut program, _errors) = output();
        let gone = attach(&mut output, 1);
        let mut stays = attach(&mut output, 2);
        drop(gone);
        program.write_all(b"hello").unwrap();
        output.pump();
        assert_eq!(output.sinks.len(), 1);
        let mut seen = [0; 5];
        stays.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"hello");
    }

    #[test]
    fn a_pipe_that_a_stranger_holds_open_is_not_waited_for() {
        let (mut output, mut program, errors) = output();
        program.write_all(b"last words").unwrap();
        let mut client = attach(&mut output, 1);
        output.drain();
        output.farewell();
        let mut seen = String::new();
        client.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "last words");
        drop((program, errors));
    }
}
