//! What can go wrong with log files.

use std::io;
use std::path::PathBuf;

/// A log file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file or directory cannot be opened.
    #[error("cannot open the log {}: {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read the log {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory cannot be watched.
    #[error("cannot watch the log directory {}: {source}", path.display())]
    Watch {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
