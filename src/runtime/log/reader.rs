//! Reads a container's log from beginning to end.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;

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

/// Calls `sink` with each line there is now, the oldest first. No log yet = no lines.
pub fn read(
    dir: &Path,
    range: Range,
    sink: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
) -> Result<(), LogError> {
    todo!()
}
