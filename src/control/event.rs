//! What the supervisor tells those who listen.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compose::model::ServiceName;

/// One line of the supervisor's answer to a command, or of its event stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The command has been written down: from here on it happens, whoever dies.
    Accepted,
    /// An object is on its way.
    Progress(Progress),
    /// Something a person should know.
    Warning {
        /// A sentence.
        message: String,
    },
    /// A line for those who watch a stack file that is followed.
    Said {
        /// The line; it may have control sequences for colours.
        text: String,
    },
    /// An edit of the stack file is being applied: what ends now may be replaced.
    Reloading {
        /// All services of the stack as it is now.
        services: Vec<ServiceName>,
        /// Those of them whose output is to be shown.
        attachable: Vec<ServiceName>,
    },
    /// The edit has been applied, or could not be.
    Reloaded,
    /// A container's program ended.
    Exited {
        /// Its service.
        service: ServiceName,
        /// Its name.
        name: String,
        /// Exit code.
        code: i32,
        /// When: who looks at the machine, too, knows by it which end this is.
        finished_at: Timestamp,
        /// Its restart policy starts it again.
        restarts: bool,
        /// It was stopped because a new container takes its place.
        #[serde(default)]
        replaced: bool,
        /// It was made by `run`.
        #[serde(default)]
        one_off: bool,
    },
    /// A container's program was started.
    Started {
        /// Its service.
        service: ServiceName,
        /// Number of the replica.
        number: u32,
        /// Its name.
        name: String,
        /// Its id.
        id: String,
    },
    /// A command of the stack file that runs in a container (`post_start`, `pre_stop`) wrote a line.
    Output {
        /// The container's service.
        service: ServiceName,
        /// The container's name.
        name: String,
        /// The line.
        line: String,
    },
    /// The answer to `Run`: the container that was made.
    OneOff {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// The last line: how it ended.
    Done {
        /// What went wrong; empty = all well.
        errors: Vec<String>,
    },
}

/// An object is on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What kind of object.
    pub kind: Kind,
    /// Its full name.
    pub name: String,
    /// What is happening to it.
    pub state: ProgressState,
    /// Why, or what it waits for, or what went wrong.
    pub detail: Option<String>,
}

/// Kinds of objects, as Docker Compose names them in its progress lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// An image.
    Image,
    /// A container.
    Container,
}

/// What is happening to an object, in Docker Compose's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// Being made.
    Creating,
    /// Made.
    Created,
    /// A container is made that takes the place of another.
    Recreate,
    /// Such a container has been made.
    Recreated,
    /// Being started.
    Starting,
    /// Started.
    Started,
    /// It was running and is as it should be.
    Running,
    /// Waiting for a dependency, or to become healthy.
    Waiting,
    /// Its health check succeeds.
    Healthy,
    /// Being stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Being stopped and started.
    Restarting,
    /// What changed in its configs and secrets is being put in place.
    Reloading,
    /// That is in place, and its program has been told.
    Reloaded,
    /// Being removed.
    Removing,
    /// Removed.
    Removed,
    /// A signal is being sent.
    Killing,
    /// A signal was sent.
    Killed,
    /// Being fetched.
    Pulling,
    /// Fetched.
    Pulled,
    /// Being built.
    Building,
    /// Built.
    Built,
    /// Being sent to its registry.
    Pushing,
    /// Its registry has it.
    Pushed,
    /// Being made of an archive of files.
    Importing,
    /// Made of one.
    Imported,
    /// Images are being read from an archive.
    Loading,
    /// They are here.
    Loaded,
    /// Images are being written to an archive.
    Saving,
    /// They are there.
    Saved,
    /// Nothing was to be done about it.
    Skipped,
    /// It stays, because others use it.
    InUse,
    /// Its program ended, as it was to.
    Exited,
    /// It failed.
    Error,
}

impl ProgressState {
    /// Nothing more happens to the object by itself.
    pub fn is_final(self) -> bool {
        !matches!(
            self,
            Self::Creating
                | Self::Recreate
                | Self::Starting
                | Self::Waiting
                | Self::Stopping
                | Self::Restarting
                | Self::Reloading
                | Self::Removing
                | Self::Killing
                | Self::Pulling
                | Self::Building
                | Self::Pushing
                | Self::Importing
                | Self::Loading
                | Self::Saving
        )
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Network => "Network",
            Self::Volume => "Volume",
            Self::Image => "Image",
            Self::Container => "Container",
        })
    }
}

impl std::fmt::Display for ProgressState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Creating => "Creating",
            Self::Created => "Created",
            Self::Recreate => "Recreate",
            Self::Recreated => "Recreated",
            Self::Starting => "Starting",
            Self::Started => "Started",
            Self::Running => "Running",
            Self::Waiting => "Waiting",
            Self::Healthy => "Healthy",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Restarting => "Restarting",
            Self::Reloading => "Reloading",
            Self::Reloaded => "Reloaded",
            Self::Removing => "Removing",
            Self::Removed => "Removed",
            Self::Killing => "Killing",
            Self::Killed => "Killed",
            Self::Pulling => "Pulling",
            Self::Pulled => "Pulled",
            Self::Building => "Building",
            Self::Built => "Built",
            Self::Pushing => "Pushing",
            Self::Pushed => "Pushed",
            Self::Importing => "Importing",
            Self::Imported => "Imported",
            Self::Loading => "Loading",
            Self::Loaded => "Loaded",
            Self::Saving => "Saving",
            Self::Saved => "Saved",
            Self::Skipped => "Skipped",
            Self::InUse => "Resource is still in use",
            Self::Exited => "Exited",
            Self::Error => "Error",
        })
    }
}
