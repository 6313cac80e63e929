//! Reads a container's log from beginning to end.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;

use super::files::{self, LogFile};
use super::record::format_time;
use super::scan::{self, Place, Scanner};
use super::{Line, LogError};

/// Which lines of a log to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// Only the last so many lines (counted before `since` and `until` are looked at).
    pub tail: Option<u64>,
    /// Only lines of this time or later.
    pub since: Option<Timestamp>,
    /// Only lines before this time.
    pub until: Option<Timestamp>,
}

/// The times of a [`Range`], ready to be compared with those of lines.
#[derive(Debug, Default)]
pub(super) struct Between {
    since: Option<String>,
    until: Option<String>,
}

impl Between {
    pub(super) fn new(range: Range) -> Self {
        Self {
            since: range.since.map(format_time),
            until: range.until.map(format_time),
        }
    }

    pub(super) fn has(&self, line: &Line<'_>) -> bool {
        // All time stamps have one width and one zone, so they sort as text.
        self.since.as_deref().is_none_or(|since| since <= line.time)
            && self.until.as_deref().is_none_or(|until| line.time < until)
    }
}

/// Calls `sink` with each line there is now, the oldest first. No log yet = no lines.
pub fn read(
    dir: &Path,
    range: Range,
    sink: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
) -> Result<(), LogError> {
    let files = files::open_all(dir)?;
    let place = beginning(&files, range)?;
    let between = Between::new(range);
    let mut scanner = Scanner::new();
    let mut offset = place.offset;
    for file in files.iter().skip(place.file) {
        let flow = scanner
            .lines(&file.file, &mut offset, &mut |raw| match Line::parse(raw) {
                Some(line) if between.has(&line) => sink(line),
                _ => ControlFlow::Continue(()),
            })
            .map_err(|source| read_error(file, source))?;
        if flow.is_break() {
            break;
        }
        offset = 0;
    }
    Ok(())
}

/// Where to begin to read these files.
pub(super) fn beginning(files: &[LogFile], range: Range) -> Result<Place, LogError> {
    match range.tail {
        None => Ok(Place { file: 0, offset: 0 }),
        Some(count) => scan::last_lines(files, count)
            .map_err(|(index, source)| read_error(&files[index], source)),
    }
}

pub(super) fn read_error(file: &LogFile, source: std::io::Error) -> LogError {
    LogError::Read {
        path: file.path.clone(),
        source,
    }
}
