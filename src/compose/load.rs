//! The way from files to model, as numbered phases.

use std::path::PathBuf;

use super::diagnostic::{Diagnostics, Positions};
use super::model::Stack;
use super::source::Source;

/// What to load. Values given here win over the `COMPOSE_*` variables.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Stack files (`-f`), `-` for standard input; none = `COMPOSE_FILE`, then a search.
    pub files: Vec<PathBuf>,
    /// Project name (`-p`).
    pub project_name: Option<String>,
    /// Project directory (`--project-directory`); `None` = that of the first file.
    pub project_directory: Option<PathBuf>,
    /// Active profiles (`--profile`); `*` = all.
    pub profiles: Vec<String>,
    /// Files for interpolation (`--env-file`) instead of `.env`.
    pub env_files: Vec<PathBuf>,
    /// The caller's directory, absolute.
    pub working_dir: PathBuf,
    /// Content of standard input, when one of the files is `-`.
    pub stdin: Option<Vec<u8>>,
}

/// A loaded stack.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model.
    pub stack: Stack,
    /// Problems that did not stop the loading.
    pub warnings: Diagnostics,
    /// Where each part was written.
    pub positions: Positions,
}

/// Loads a stack: finds its files, reads, merges and checks them.
///
/// Errors hold every problem that was found, warnings too.
pub fn load(_source: &dyn Source, _options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    todo!()
}
