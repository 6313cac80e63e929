//! Writes a container's log.

use super::{LogError, Stream};
use crate::runtime::bundle::LogConfig;

/// The current log file of a container.
#[derive(Debug)]
pub struct LogWriter {}

impl LogWriter {
    /// Opens the current file to append to, or makes it.
    pub fn open(config: &LogConfig) -> Result<Self, LogError> {
        todo!()
    }

    /// Adds what the program wrote; never fails, see the module's head.
    pub fn write(&mut self, stream: Stream, bytes: &[u8]) {
        todo!()
    }

    /// Writes what is left of a line without an end: the stream has ended.
    pub fn finish(&mut self, stream: Stream) {
        todo!()
    }
}
