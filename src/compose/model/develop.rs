//! Commands at turning points of a container's life, and what follows changes of sources.

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A command that runs in a container (`post_start`, `pre_stop`, `develop.watch[].exec`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// User that runs it; `None` = the container's.
    pub user: Option<String>,
    /// Run it with all rights.
    pub privileged: bool,
    /// Directory it runs in; `None` = the container's.
    pub working_dir: Option<String>,
    /// Variables besides the container's; `None` = unset.
    pub environment: IndexMap<String, Option<String>>,
}

/// A step that must succeed before a service starts, in a container of its own. All that is not said
/// here is as in the service, but for its command and its mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreStart {
    /// Image reference; `None` = that of the service.
    pub image: Option<String>,
    /// Program and arguments; `None` = the image's.
    pub command: Option<Vec<String>>,
    /// User that runs it.
    pub user: Option<String>,
    /// Run it with all rights.
    pub privileged: bool,
    /// Directory it runs in.
    pub working_dir: Option<String>,
    /// All its variables, those of the service among them; `None` = unset.
    pub environment: IndexMap<String, Option<String>>,
    /// Once for each container, not once for the service.
    pub per_replica: bool,
}

/// What follows a change of files (`develop.watch[]`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRule {
    /// File or directory that is watched, absolute.
    pub path: PathBuf,
    /// What follows.
    pub action: WatchAction,
    /// Path in the container that files are copied to; always given where files are copied.
    pub target: Option<String>,
    /// What runs after files were copied, with [`WatchAction::SyncExec`].
    pub exec: Option<Hook>,
    /// Patterns of files that are looked at, relative to the path; none = all.
    pub include: Vec<String>,
    /// Patterns of files that are left out, relative to the path.
    pub ignore: Vec<String>,
    /// Copy all files when watching begins.
    pub initial_sync: bool,
}

/// What follows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchAction {
    /// Build the image again and replace the containers.
    Rebuild,
    /// Copy the files.
    Sync,
    /// Restart the containers.
    Restart,
    /// Copy the files, then restart.
    SyncRestart,
    /// Copy the files, then run a command.
    SyncExec,
}
