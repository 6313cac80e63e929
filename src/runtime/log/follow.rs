//! Reads a container's log as it grows, through rotations.

use std::ops::ControlFlow;
use std::path::Path;

use super::{Line, LogError, Range};

/// A place in a container's log.
#[derive(Debug)]
pub struct Follower {}

impl Follower {
    /// Starts at `range`; the directory need not exist yet.
    pub fn new(dir: &Path, range: Range) -> Result<Self, LogError> {
        todo!()
    }

    /// Calls `sink` with each line that has come since the last call; how many there were.
    pub fn read_available(
        &mut self,
        sink: &mut dyn FnMut(Line<'_>) -> ControlFlow<()>,
    ) -> Result<u64, LogError> {
        todo!()
    }
}
