//! What keeps a shim from running its container.

use std::io;
use std::path::PathBuf;

use super::record::RecordError;
use crate::runtime::failure::StartError;
use crate::runtime::log::LogError;
use crate::runtime::protocol::Failure;

/// Docker's exit code for everything that is not the program's fault.
const NOT_STARTED: i32 = 128;

#[derive(Debug, thiserror::Error)]
pub(super) enum ShimError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("cannot listen at {}: {source}", path.display())]
    Socket { path: PathBuf, source: io::Error },
    #[error("cannot set up the shim's process: {0}")]
    Process(#[source] io::Error),
    #[error("cannot make the program's standard streams: {0}")]
    Streams(#[source] io::Error),
    #[error("cannot wait for the container: {0}")]
    Wait(#[source] io::Error),
}

impl ShimError {
    /// In the protocol's words.
    pub(super) fn failure(&self) -> Failure {
        let (step, exit_code) = match self {
            Self::Start(error) => (error.step().to_string(), error.exit_code()),
            Self::Record(_) => ("read the bundle".into(), NOT_STARTED),
            Self::Log(_) => ("open the log".into(), NOT_STARTED),
            Self::Socket { .. } => ("listen".into(), NOT_STARTED),
            Self::Process(_) | Self::Wait(_) => ("run the shim".into(), NOT_STARTED),
            Self::Streams(_) => ("make the standard streams".into(), NOT_STARTED),
        };
        Failure {
            step,
            error: self.to_string(),
            exit_code,
        }
    }
}
