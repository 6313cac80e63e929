//! Why a file could not be copied.

use std::io;
use std::path::PathBuf;

use crate::runtime::StartError;

/// Why a file could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The container does not run any more.
    #[error("the container has ended")]
    Ended,
    /// The container's user is not in its files.
    #[error("cannot find out whom the files are to belong to")]
    Owner(#[source] Box<StartError>),
    /// The file on this machine.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file in the container.
    #[error("cannot write {path} in the container")]
    Write {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The file in the container.
    #[error("cannot remove {path} in the container")]
    Remove {
        /// The file.
        path: String,
        /// Why not.
        source: io::Error,
    },
}
