//! What to load, and which phases are left out.

use std::path::PathBuf;

use indexmap::IndexMap;

/// What to load. Values given here win over the `COMPOSE_*` variables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOptions {
    /// Stack files (`-f`), `-` for standard input; none = `COMPOSE_FILE`, then a search.
    pub files: Vec<PathBuf>,
    /// Project name (`-p`).
    pub project_name: Option<String>,
    /// Which of several copies of the project (`--instance`) instead of `STACK_INSTANCE`; `auto` =
    /// named after the directory, empty = none. A given project name counts as it is, unless the
    /// instance is given too.
    pub instance: Option<String>,
    /// Variables that the program sets; the caller's own and those of files win over them.
    pub variables: IndexMap<String, String>,
    /// Project directory (`--project-directory`); `None` = that of the first file.
    pub project_directory: Option<PathBuf>,
    /// Active profiles (`--profile`) instead of those of `COMPOSE_PROFILES`; `*` = all.
    pub profiles: Vec<String>,
    /// Files for interpolation (`--env-file`) instead of `.env`.
    pub env_files: Vec<PathBuf>,
    /// The caller's directory, absolute.
    pub working_dir: PathBuf,
    /// Content of standard input, when one of the files is `-`.
    pub stdin: Option<Vec<u8>>,
    /// What is left out.
    pub skip: Skip,
    /// Keep what is needed to explain where values come from.
    pub trace: bool,
}

/// Phases that `config` can be told to leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skip {
    /// Variables stay as they are written (`--no-interpolate`).
    pub interpolation: bool,
    /// What is meant without being said is not filled in (`--no-normalize`).
    pub normalization: bool,
    /// Paths stay relative (`--no-path-resolution`).
    pub paths: bool,
    /// The whole is not checked (`--no-consistency`).
    pub consistency: bool,
    /// Containers of one name are not refused: who works with some services looks at those.
    pub shared_names: bool,
    /// Files with variables are not read (`--no-env-resolution`).
    pub environment: bool,
    /// What the hashes of services are made of is not worked out (`config`, but for `--hash`).
    pub hashes: bool,
    /// The model has no services, networks and volumes, and nothing is said about what running them
    /// would meet: who only wants to know whether the files are right (`config -q`) reads neither.
    pub model: bool,
}
