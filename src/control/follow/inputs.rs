//! What a stack file is loaded with: all that the first load had.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::runtime::identity::{is_running, start_ticks};
use crate::state::{Paths, StateError, read_json, write_json};

/// What a stack file is loaded with.
///
/// The environment is kept as a whole and not only what the first load has used of it: an edit may use
/// more, and the images that it needs are fetched with the credentials and proxies it names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// Format; 1.
    pub version: u32,
    /// The arguments of the `up` that is followed, without the program's name.
    pub args: Vec<String>,
    /// Where it was called.
    pub working_dir: PathBuf,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// What it read from standard input, when a stack file was there.
    pub stdin: Option<String>,
    /// What is said is coloured.
    pub colour: bool,
    /// Only as long as this process lives; `None` = until somebody says otherwise.
    pub owner: Option<Owner>,
}

/// A process, as it cannot be mistaken for a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its id.
    pub pid: i32,
    /// When it was started, in clock ticks since boot.
    pub started: u64,
}

impl Owner {
    /// This process.
    pub fn this() -> std::io::Result<Self> {
        let pid = std::process::id().cast_signed();
        let started = start_ticks(pid)?;
        Ok(Self { pid, started })
    }

    /// Whether it lives.
    pub fn is_alive(&self) -> bool {
        is_running(self.pid, self.started)
    }
}

impl Inputs {
    /// What a project's supervisor follows; `None` = nothing.
    pub fn read(paths: &Paths, project: &str) -> Result<Option<Self>, StateError> {
        read_json(&path(paths, project))
    }

    pub(super) fn write(&self, paths: &Paths, project: &str) -> Result<(), StateError> {
        write_json(&path(paths, project), self)
    }
}

pub(super) fn path(paths: &Paths, project: &str) -> PathBuf {
    paths.run_project(project).join("follow.json")
}
