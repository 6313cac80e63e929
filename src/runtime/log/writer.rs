//! Writes a container's log.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use memchr::memchr;

use super::clock::Clock;
use super::record::{MAX_TEXT, TEXT_AT, TIME_LEN};
use super::{LogError, Stream, files};
use crate::runtime::bundle::LogConfig;

/// Formatted lines are written when there are this many bytes of them, so that one read of the
/// program's pipe usually is one write.
const BATCH: usize = 128 * 1024;

/// The current log file of a container.
#[derive(Debug)]
pub struct LogWriter {
    dir: PathBuf,
    max_size: u64,
    max_files: u32,
    file: File,
    size: u64,
    clock: Clock,
    batch: Vec<u8>,
    /// The beginning of a line whose end has not come yet, for each stream.
    unfinished: [Vec<u8>; 2],
    lost: Lost,
}

/// What could not be written since the last line that could.
#[derive(Debug, Default)]
struct Lost {
    lines: u64,
    reason: String,
}

impl LogWriter {
    /// Opens the current file to append to, or makes it and its directory.
    pub fn open(config: &LogConfig) -> Result<Self, LogError> {
        let path = files::path(&config.dir, 0);
        let open = || -> io::Result<(File, u64)> {
            files::make_directory(&config.dir)?;
            let mut file = files::open_current(&config.dir)?;
            let mut size = file.metadata()?.len();
            if size > 0 && !ends_with_newline(&file, size)? {
                // A writer was killed in the middle of a line: what it wrote stays readable.
                size += file.write(b"\n")? as u64;
            }
            Ok((file, size))
        };
        let (file, size) = open().map_err(|source| LogError::Open { path, source })?;
        files::remove_older(&config.dir, config.max_files);
        Ok(Self {
            dir: config.dir.clone(),
            max_size: config.max_size.max(1),
            max_files: config.max_files.max(1),
            file,
            size,
            clock: Clock::new(),
            batch: Vec::new(),
            unfinished: [Vec::new(), Vec::new()],
            lost: Lost::default(),
        })
    }

    /// Adds what the program wrote; never fails, see the module's head.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let head = Head::new(self.clock.now(), stream);
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            self.add_line(&head, &rest[..end]);
            rest = &rest[end + 1..];
        }
        self.add_beginning(&head, rest);
        self.flush();
    }

    /// Writes what is left of a line without an end: the stream has ended.
    pub fn finish(&mut self, stream: Stream) {
        if !self.unfinished[stream as usize].is_empty() {
            let head = Head::new(self.clock.now(), stream);
            self.add_line(&head, &[]);
        }
        self.flush();
    }

    /// A line's end has come: `text` and whatever was there before it.
    fn add_line(&mut self, head: &Head, text: &[u8]) {
        let mut text = text;
        let before = &mut self.unfinished[head.stream as usize];
        if !before.is_empty() {
            let (fill, rest) = text.split_at(text.len().min(MAX_TEXT - before.len()));
            let tag = if rest.is_empty() {
                Tag::Full
            } else {
                Tag::Partial
            };
            head.put(&mut self.batch, tag, &[before, fill]);
            before.clear();
            if rest.is_empty() {
                return self.flush_if_large();
            }
            text = rest;
        }
        while text.len() > MAX_TEXT {
            let (piece, rest) = text.split_at(MAX_TEXT);
            head.put(&mut self.batch, Tag::Partial, &[piece]);
            text = rest;
        }
        head.put(&mut self.batch, Tag::Full, &[text]);
        self.flush_if_large();
    }

    /// Text whose line has not ended: kept until it does, or until it is too long.
    fn add_beginning(&mut self, head: &Head, text: &[u8]) {
        let mut text = text;
        let before = &mut self.unfinished[head.stream as usize];
        // A line of exactly the largest size must not be cut before its newline is seen.
        while before.len() + text.len() > MAX_TEXT {
            let (fill, rest) = text.split_at(MAX_TEXT - before.len());
            head.put(&mut self.batch, Tag::Partial, &[before, fill]);
            before.clear();
            text = rest;
        }
        before.extend_from_slice(text);
    }

    fn flush_if_large(&mut self) {
        if self.batch.len() as u64 >= self.max_size.min(BATCH as u64) {
            self.flush();
        }
    }

    /// Writes the batch, or loses it.
    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.batch);
        if let Err(error) = self.store(&batch) {
            self.lost.lines += memchr::memchr_iter(b'\n', &batch).count() as u64;
            self.lost.reason = error.to_string();
        }
        self.batch = batch;
        self.batch.clear();
    }

    fn store(&mut self, batch: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + batch.len() as u64 > self.max_size {
            self.file = files::rotate(&self.dir, self.max_files)?;
            self.size = self.file.metadata()?.len();
        }
        if self.lost.lines > 0 {
            let text = format!(
                "stack: {} lines of output could not be logged here: {}",
                self.lost.lines, self.lost.reason
            );
            let mut notice = Vec::with_capacity(TEXT_AT + text.len() + 1);
            let head = Head::new(self.clock.now(), Stream::Stderr);
            head.put(&mut notice, Tag::Full, &[text.as_bytes()]);
            self.append(&notice)?;
            self.lost = Lost::default();
        }
        self.append(batch)
    }

    /// Appends all of it or nothing: a half-written line is taken back.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.size += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Nothing to do when this fails as well: the torn line is skipped by readers.
                let _ = self.file.set_len(self.size);
                Err(error)
            }
        }
    }
}

fn ends_with_newline(file: &File, size: u64) -> io::Result<bool> {
    let mut last = [0];
    file.read_exact_at(&mut last, size - 1)?;
    Ok(last == *b"\n")
}

#[derive(Clone, Copy)]
enum Tag {
    Full,
    Partial,
}

/// What stands before the text of a line; the same for all lines of one read.
struct Head {
    stream: Stream,
    bytes: [u8; TEXT_AT],
}

impl Head {
    fn new(time: [u8; TIME_LEN], stream: Stream) -> Self {
        let mut bytes = [b' '; TEXT_AT];
        bytes[..TIME_LEN].copy_from_slice(&time);
        bytes[TIME_LEN + 1..TIME_LEN + 7].copy_from_slice(stream.name().as_bytes());
        bytes[super::record::TAG_AT] = b'F';
        Self { stream, bytes }
    }

    fn put(&self, batch: &mut Vec<u8>, tag: Tag, text: &[&[u8]]) {
        let start = batch.len();
        batch.extend_from_slice(&self.bytes);
        if let Tag::Partial = tag {
            batch[start + super::record::TAG_AT] = b'P';
        }
        for piece in text {
            batch.extend_from_slice(piece);
        }
        batch.push(b'\n');
    }
}

#[cfg(test)]
mod tests;
