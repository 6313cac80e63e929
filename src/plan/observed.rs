//! What is on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use crate::state::records::{ContainerRecord, ContainerStatus, HealthStatus};

/// What is on the machine, of one project.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its containers by id.
    pub containers: BTreeMap<String, ObservedContainer>,
    /// Networks by full name: the project's own and the external ones it uses.
    pub networks: BTreeMap<String, ObservedNetwork>,
    /// Volumes by full name: the project's own and the external ones it uses.
    pub volumes: BTreeMap<String, ObservedVolume>,
    /// Images by the reference that a service uses → image id.
    pub images: BTreeMap<String, String>,
    /// Why an operation failed the last time, by the full name of its subject.
    pub failures: BTreeMap<String, RecordedFailure>,
    /// Subjects that were being worked on when the last command came: a failure of that work is no
    /// answer to the command.
    pub overtaken: BTreeSet<String>,
}

/// A failure that is not tried again before the next command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFailure {
    /// When it happened.
    pub at: Timestamp,
    /// The whole story in one sentence.
    pub message: String,
}

/// A network on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNetwork {
    /// Hash of what it was made from.
    pub config_hash: String,
    /// The project that made it.
    pub project: String,
}

/// A volume on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedVolume {
    /// Hash of what it was made from; empty where that is not known.
    pub config_hash: String,
    /// The project that made it; empty when made by hand.
    pub project: String,
}

/// A container on the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedContainer {
    /// What it was made from.
    pub record: std::sync::Arc<ContainerRecord>,
    /// What the supervisor knows of it.
    pub status: ContainerStatus,
    /// Where it is in its life.
    pub phase: Phase,
}

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Made, never started.
    Created,
    /// Its program runs.
    Running {
        /// PID 1 as the host sees it.
        pid: i32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// Its processes are frozen.
    Paused {
        /// PID 1 as the host sees it.
        pid: i32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// Its program has ended.
    Exited(Exit),
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Exit {
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed it for memory.
    pub oom_killed: bool,
    /// Why it could not be started at all.
    pub error: Option<String>,
    /// When it was started; `None` when it could not be.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self {
                error: Some(error), ..
            } => write!(f, "could not be started: {error}"),
            Self {
                oom_killed: true, ..
            } => write!(f, "ran out of memory (exit code {})", self.code),
            Self {
                signal: Some(signal),
                ..
            } => write!(f, "was ended by signal {signal}"),
            _ => write!(f, "exited ({})", self.code),
        }
    }
}

impl ObservedContainer {
    /// Its processes exist.
    pub fn is_up(&self) -> bool {
        self.pid().is_some()
    }

    /// PID 1 as the host sees it.
    pub fn pid(&self) -> Option<i32> {
        match self.phase {
            Phase::Running { pid, .. } | Phase::Paused { pid, .. } => Some(pid),
            Phase::Created | Phase::Exited(_) => None,
        }
    }

    /// When its program was last started.
    pub fn started_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Running { started_at, .. } | Phase::Paused { started_at, .. } => {
                Some(*started_at)
            }
            Phase::Exited(exit) => exit.started_at,
            Phase::Created => None,
        }
    }

    /// The verdict on its health; `None` when it has no check.
    pub fn health(&self) -> Option<HealthStatus> {
        self.record.health.as_ref()?;
        Some(
            self.status
                .health
                .as_ref()
                .map_or(HealthStatus::Starting, |health| health.status),
        )
    }
}

impl Observed {
    /// The containers of a service, one-offs left out.
    pub fn of_service(
        &self,
        service: &crate::compose::model::ServiceName,
    ) -> impl Iterator<Item = &ObservedContainer> {
        self.containers.values().filter(move |container| {
            !container.record.one_off && container.record.service == *service
        })
    }
}
