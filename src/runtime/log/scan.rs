//! Lines out of one log file, forwards in blocks; and where the last lines of several begin.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use memchr::{memchr, memrchr_iter};

use super::files::LogFile;
use super::record::{MAX_TEXT, TAG_AT, TEXT_AT};

const BLOCK: usize = 256 * 1024;
// A block always holds the longest line, so that one without an end is foreign and can be skipped.
const _: () = assert!(BLOCK > 2 * (MAX_TEXT + TEXT_AT));

/// A buffer that lines are read through; one serves any number of files.
#[derive(Debug)]
pub(super) struct Scanner {
    buffer: Vec<u8>,
}

/// What a sink is given: a line without its newline.
pub(super) type RawSink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

impl Scanner {
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// Gives back the buffer's memory until the next use.
    pub(super) fn rest(&mut self) {
        self.buffer = Vec::new();
    }

    /// Calls `sink` with each whole line from `offset` on, and moves `offset` behind the last one
    /// that it took. A line without an end is left for the next time.
    pub(super) fn lines(
        &mut self,
        file: &File,
        offset: &mut u64,
        sink: &mut RawSink<'_>,
    ) -> io::Result<ControlFlow<()>> {
        self.buffer.resize(BLOCK, 0);
        loop {
            let filled = read_at(file, &mut self.buffer, *offset)?;
            let block = &self.buffer[..filled];
            let mut taken = 0;
            while let Some(len) = memchr(b'\n', &block[taken..]) {
                let flow = sink(&block[taken..taken + len]);
                taken += len + 1;
                if flow.is_break() {
                    *offset += taken as u64;
                    return Ok(ControlFlow::Break(()));
                }
            }
            if taken == 0 && filled == BLOCK {
                taken = filled;
            }
            *offset += taken as u64;
            if filled < BLOCK {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }
}

/// Fills the buffer as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A place in a list of files: the index of one, and an offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) offset: u64,
}

/// Where the last `count` lines of the files (the oldest first) begin. The pieces of a long line
/// count as one. On an error, the file it came from.
pub(super) fn last_lines(files: &[LogFile], count: u64) -> Result<Place, (usize, io::Error)> {
    let mut missing = count;
    // The end of the newest file is where no line at all would begin.
    let mut place = Place {
        file: files.len().saturating_sub(1),
        offset: files.last().map_or(0, |file| file.len),
    };
    if count == 0 {
        return Ok(place);
    }
    for (index, file) in files.iter().enumerate().rev() {
        let found = last_lines_of(file, &mut missing).map_err(|error| (index, error))?;
        place = Place {
            file: index,
            offset: found.unwrap_or(0),
        };
        if found.is_some() {
            break;
        }
    }
    Ok(place)
}

/// Goes backwards through one file; `None` when all of it, and more, is wanted.
fn last_lines_of(file: &LogFile, missing: &mut u64) -> io::Result<Option<u64>> {
    // Room for the next block's first bytes: a line that begins at this block's end has its tag there.
    let mut buffer = vec![0; BLOCK + TEXT_AT];
    let mut end = file.len;
    // Behind the last newline there is no line, or one that is being written.
    let mut line_end = None;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let len = (end - start) as usize;
        buffer.copy_within(..TEXT_AT, len);
        let filled = read_at(&file.file, &mut buffer[..len], start)?;
        // A writer without disk space has taken something back meanwhile.
        buffer[filled..len].fill(0);
        for newline in memrchr_iter(b'\n', &buffer[..len]) {
            if line_end.is_some() && buffer[newline + 1 + TAG_AT] == b'F' {
                if *missing == 0 {
                    return Ok(line_end);
                }
                *missing -= 1;
            }
            line_end = Some(start + newline as u64 + 1);
        }
        end = start;
    }
    if line_end.is_some() && buffer[TAG_AT] == b'F' {
        if *missing == 0 {
            return Ok(line_end);
        }
        *missing -= 1;
    }
    Ok(None)
}
