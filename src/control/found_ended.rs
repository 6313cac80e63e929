//! What a command says of containers that it finds ended. Pure.

use super::{Command, ProgressState};
use crate::state::records::ContainerRecord;

/// What a command says of a container that has no step for it, having ended: Docker Compose asks its
/// engine to stop or restart all of them, and scripts look for the line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FoundEnded {
    /// That it stops and has stopped.
    Stops {
        /// One-off containers, too.
        one_offs: bool,
    },
    /// That it is restarted; its start is a step.
    Restarts,
}

impl FoundEnded {
    /// What a command says; `None` = nothing.
    pub(super) fn of(command: &Command) -> Option<Self> {
        match command {
            Command::Down { .. } => Some(Self::Stops { one_offs: true }),
            Command::Stop { .. } => Some(Self::Stops { one_offs: false }),
            Command::Restart { .. } => Some(Self::Restarts),
            _ => None,
        }
    }

    /// Whether it is said of a container.
    pub(super) fn concerns(self, record: &ContainerRecord) -> bool {
        !record.one_off || self == Self::Stops { one_offs: true }
    }

    /// The words.
    pub(super) fn states(self) -> &'static [ProgressState] {
        match self {
            Self::Stops { .. } => &[ProgressState::Stopping, ProgressState::Stopped],
            Self::Restarts => &[ProgressState::Restarting],
        }
    }
}
