//! Why an image could not be built.

use std::io;
use std::path::{Path, PathBuf};

use crate::compose::Diagnostics;
use crate::engine::EngineError;
use crate::image;
use crate::runtime::StartError;
use crate::runtime::client::ClientError;
use crate::state::StateError;

use super::copy::CopyError;
use super::run::AgentError;

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile cannot be understood, or a step of it failed: with its line.
    #[error("{0}")]
    Dockerfile(Box<Diagnostics>),
    /// A step of the build failed.
    #[error("a step of the build failed")]
    Step {
        /// The Dockerfile's line, and why.
        report: Box<Diagnostics>,
        /// What led to it.
        #[source]
        source: Box<StepError>,
        /// The last lines that its program wrote.
        tail: Vec<String>,
        /// Exit code of its program, if it was one that failed.
        code: Option<i32>,
    },
    /// Something that is not a step failed.
    #[error(transparent)]
    Work(StepError),
    /// The image store.
    #[error(transparent)]
    Image(Box<image::Error>),
    /// A file of ours.
    #[error(transparent)]
    State(#[from] StateError),
    /// What was asked for makes no sense.
    #[error("{message}")]
    Request {
        /// Why.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// Another part of the build failed, or a person interrupted.
    #[error("the build was canceled")]
    Canceled,
}

impl From<image::Error> for Error {
    fn from(error: image::Error) -> Self {
        Self::Image(Box::new(error))
    }
}

impl From<image::Error> for StepError {
    fn from(error: image::Error) -> Self {
        Self::Image(Box::new(error))
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Canceled => Self::Canceled,
            error => Self::Work(error),
        }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Its program ended with an error.
    #[error("it ended with exit code {code}")]
    Exit {
        /// Exit code; 128 + signal when a signal ended it.
        code: i32,
        /// The last lines of its output.
        tail: Vec<String>,
        /// The kernel killed it, or a part of it, for memory.
        out_of_memory: bool,
    },
    /// Its program could not be started.
    #[error(transparent)]
    Program(#[from] ClientError),
    /// Files could not be mounted.
    #[error("cannot mount the files of the stage")]
    Mount(#[source] StartError),
    /// Files could not be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The image store.
    #[error(transparent)]
    Image(Box<image::Error>),
    /// A file of ours.
    #[error(transparent)]
    State(#[from] StateError),
    /// The network.
    #[error("cannot set up the network of the build")]
    Network(#[source] Box<EngineError>),
    /// A secret or an agent that the caller has not given.
    #[error("{what} `{id}` is required, but was not given")]
    Missing {
        /// `secret` or `ssh agent`.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// An agent that the caller has given cannot be used.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Something that makes no sense.
    #[error("{0}")]
    Value(String),
    /// A download failed.
    #[error("cannot fetch {url}")]
    Fetch {
        /// From where.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another part of the build failed, or a person interrupted.
    #[error("canceled")]
    Canceled,
}

impl StepError {
    /// An error of the system with what was tried and on what.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// The whole story in one line.
    pub(super) fn story(&self) -> String {
        story(self)
    }
}

/// What an error and its causes say, in one line.
pub(super) fn story(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
