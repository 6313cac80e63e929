//! How following goes: kept beside what is followed, for the next supervisor and for `stack ps`.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::inputs;
use super::seen::Seen;
use crate::state::{Paths, StateError, read_json, remove_file, write_json};

/// How following goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Format; 1.
    pub version: u32,
    /// The files, as they were read last.
    pub seen: Seen,
    /// What is wrong with the last edit; `None` = nothing.
    pub trouble: Option<Trouble>,
    /// When an edit was applied last.
    pub applied_at: Option<Timestamp>,
}

/// An edit that could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// When it was tried.
    pub at: Timestamp,
    /// What is wrong, as it was told.
    pub message: String,
}

impl Status {
    pub(super) fn new(seen: Seen) -> Self {
        Self {
            version: 1,
            seen,
            trouble: None,
            applied_at: None,
        }
    }

    /// How following goes; `None` = nothing is followed.
    pub fn read(paths: &Paths, project: &str) -> Result<Option<Self>, StateError> {
        read_json(&path(paths, project))
    }

    pub(super) fn write(&self, paths: &Paths, project: &str) -> Result<(), StateError> {
        write_json(&path(paths, project), self)
    }
}

/// What is wrong with the last edit of a project's stack file that is followed.
pub fn trouble(paths: &Paths, project: &str) -> Option<Trouble> {
    Status::read(paths, project).ok().flatten()?.trouble
}

/// Nothing is followed any more.
pub(super) fn forget(paths: &Paths, project: &str) -> Result<(), StateError> {
    remove_file(&inputs::path(paths, project))?;
    remove_file(&path(paths, project))
}

fn path(paths: &Paths, project: &str) -> PathBuf {
    paths.run_project(project).join("follow-status.json")
}
