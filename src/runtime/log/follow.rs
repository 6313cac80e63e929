//! Reads a container's log as it grows, through rotations.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::files::{self, LogFile};
use super::reader::{Between, beginning, read_error};
use super::scan::Scanner;
use super::{Line, LogError, Range};

/// A place in a container's log.
///
/// Holds the file that it reads by descriptor: a rotation only changes its name, so nothing is
/// missed as long as the follower comes back before `max_files` rotations have happened.
#[derive(Debug)]
pub struct Follower {
    dir: PathBuf,
    between: Between,
    /// Files to read, the oldest first; the last one is, or was, the current file.
    files: VecDeque<LogFile>,
    /// Where to go on in the first of them.
    offset: u64,
    scanner: Scanner,
}

impl Follower {
    /// Starts at `range`; the directory need not exist yet.
    pub fn new(dir: &Path, range: Range) -> Result<Self, LogError> {
        let mut files = VecDeque::from(files::open_all(dir)?);
        let place = beginning(files.make_contiguous(), range)?;
        files.drain(..place.file);
        Ok(Self {
            dir: dir.to_path_buf(),
            between: Between::new(range),
            files,
            offset: place.offset,
            scanner: Scanner::new(),
        })
    }

    /// Calls `sink` with each line that has come since the last call; how many there were. After a
    /// `Break`, the next call goes on behind the line that was given last.
    pub fn read_available(
        &mut self,
        sink: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
    ) -> Result<u64, LogError> {
        let mut count = 0;
        let mut counting = |line: Line<'_>| {
            count += 1;
            sink(line)
        };
        while self.read_first(&mut counting)?.is_continue() {
            // What is written between the last read and a rotation is read by the next turn,
            // because the file only counts as done when it had a successor before it was read.
            match self.files.len() {
                0 | 1 if !self.find_newer()? => break,
                0 | 1 => {}
                _ => {
                    self.files.pop_front();
                    self.offset = 0;
                }
            }
        }
        self.scanner.rest();
        Ok(count)
    }

    fn read_first(
        &mut self,
        sink: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LogError> {
        let Some(first) = self.files.front() else {
            return Ok(ControlFlow::Continue(()));
        };
        let before = self.offset;
        let between = &self.between;
        let flow = self
            .scanner
            .lines(
                &first.file,
                &mut self.offset,
                &mut |raw| match Line::parse(raw) {
                    Some(line) if between.has(&line) => sink(line),
                    _ => ControlFlow::Continue(()),
                },
            )
            .map_err(|source| read_error(first, source))?;
        if self.offset == before {
            // A writer without disk space takes back what it had half written.
            let len = first.file.metadata().map_or(before, |meta| meta.len());
            self.offset = before.min(len);
        }
        Ok(flow)
    }

    /// Queues the files that are newer than the only one held; whether there are any.
    fn find_newer(&mut self) -> Result<bool, LogError> {
        let held = self.files.back().map(|file| file.inode);
        let current = files::current_inode(&self.dir);
        if current.is_none() || current == held {
            return Ok(false);
        }
        let mut newer = files::open_all(&self.dir)?;
        // Not among them: it was the oldest and has gone; all the others are newer.
        if let Some(at) = newer.iter().position(|file| Some(file.inode) == held) {
            newer.drain(..=at);
        }
        let any = !newer.is_empty();
        self.files.extend(newer);
        Ok(any)
    }
}
