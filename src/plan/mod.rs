//! What to do: [`Desired`] × [`Observed`] → [`Plan`].
//!
//! Owns every decision about containers, networks and volumes, with its cause. Never does anything,
//! reads no clock and no disk: the time is an argument.
//!
//! Invariant: the plan is a function of state alone. It is made anew after every event, so a step
//! that is not ready now needs no memory: it will be planned again. Whatever a step changes makes
//! the next plan smaller, until nothing is left.

mod backoff;
mod by_hand;
mod cause;
mod changed;
mod contents;
mod dependency;
mod desired;
mod diff;
mod display;
mod down;
mod observed;
mod replace;
mod replicas;
mod rolling;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

pub use backoff::{failed_attempts, policy_restarts, policy_text, was_killed, window};
pub use by_hand::ByHand;
pub use cause::Cause;
pub use contents::{Content, contents, reload_of};
pub(crate) use dependency::dependency_state;
pub use dependency::{DependencyState, readiness};
pub use desired::{
    Desired, DesiredService, Down, Run, Sweep, config_hash, container_name, network_hash,
    service_hash, volume_hash,
};
pub use diff::{follows, namespace_owners, plan};
pub use observed::{
    Exit, Observed, ObservedContainer, ObservedNetwork, ObservedVolume, Phase, RecordedFailure,
};
pub use rolling::{Outcome, Revision, Turn, Update, UpdateState, Watch};

use std::time::Duration;

use jiff::Timestamp;

use crate::compose::model::{Condition, NetworkKey, Reload, ServiceName, VolumeKey};

/// A directed acyclic graph of steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The steps; a step's `after` names only earlier ones.
    pub steps: Vec<Step>,
    /// What stands in the way of the model and will not go away by itself.
    pub problems: Vec<Problem>,
    /// What has become of updates: to be written down before anything else is done.
    pub turns: Vec<Turn>,
    /// What is to be looked at again at a certain time, with nothing to do until then.
    pub watches: Vec<Watch>,
}

/// One operation and why it is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is done.
    pub op: Op,
    /// Why.
    pub cause: Cause,
    /// What must have happened before; a step is ready when this is empty.
    pub after: Vec<After>,
    /// Not before this time (restart back-off).
    pub not_before: Option<Timestamp>,
}

/// What a step waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Another step, by its index in the plan.
    Step(usize),
    /// Replicas of the same service, of which some must be replaced before this one.
    Earlier {
        /// The service.
        service: ServiceName,
    },
    /// Another container must be ready to stand in.
    Ready {
        /// Its name.
        name: String,
    },
    /// A dependency.
    Condition {
        /// The service waited for.
        service: ServiceName,
        /// What must hold of it.
        condition: Condition,
    },
}

/// One operation of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Fetch an image that is missing.
    PullImage {
        /// Its reference as the service names it.
        reference: String,
    },
    /// Build an image that is missing; the command does it before it asks for the rest.
    BuildImage {
        /// Its name.
        reference: String,
    },
    /// Make a network.
    CreateNetwork {
        /// Its key in the model.
        key: NetworkKey,
        /// Its full name.
        name: String,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Its full name.
        name: String,
        /// What becomes of it when others use it.
        if_used: IfUsed,
    },
    /// Make a volume.
    CreateVolume {
        /// Its key in the model.
        key: VolumeKey,
        /// Its full name.
        name: String,
    },
    /// Remove a volume and what is in it.
    RemoveVolume {
        /// Its full name.
        name: String,
        /// What becomes of it when others use it.
        if_used: IfUsed,
    },
    /// Make a container, without starting it.
    CreateContainer {
        /// The service.
        service: ServiceName,
        /// Number of the replica.
        number: u32,
        /// Its name.
        name: String,
        /// The container it takes the place of, whose anonymous volumes it inherits.
        replaces: Option<String>,
    },
    /// Start a container that has been made.
    StartContainer {
        /// Its id; `None` while its creation is a step of this plan.
        id: Option<String>,
        /// Its name.
        name: String,
        /// The service.
        service: ServiceName,
    },
    /// Ask a container to stop, then make it.
    StopContainer {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Time it is given; `None` = its own grace period.
        timeout: Option<Duration>,
        /// What follows.
        then: Then,
    },
    /// Put the contents that its configs and secrets have by now in place in a container that runs, and
    /// tell its program.
    RenewFiles {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// Which, as `config NAME` or `secret NAME`.
        files: Vec<String>,
        /// How its program is told.
        then: Vec<Reload>,
    },
    /// Give a container the name of the one that it has taken the place of.
    RenameContainer {
        /// Its id.
        id: String,
        /// Its name until now.
        name: String,
        /// Its name from now on.
        to: String,
    },
    /// Remove a container that does not run.
    RemoveContainer {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// What becomes of its volumes without a name.
        volumes: AnonymousVolumes,
    },
}

/// What becomes of a network or a volume that is to go while containers of others use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfUsed {
    /// It stays, and that is no failure.
    Stays,
    /// It stays, and the step has failed: what was to follow cannot be done.
    Fails,
}

/// What follows the stop of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is to be started again.
    StartAgain,
    /// It is to stay as it is, or to go.
    StayDown,
    /// Others go on in its place: what is new goes to them first, and what it has open is given
    /// time to end.
    GiveWay,
}

/// What becomes of the volumes without a name when their container is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnonymousVolumes {
    /// The container that takes its place has them.
    Inherited,
    /// They stay on the machine.
    Kept,
    /// They go with it.
    Removed,
}

/// Something that keeps the machine from matching the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The service that is kept from running.
    pub service: ServiceName,
    /// What is wrong, in a sentence.
    pub message: String,
    /// `false`: worth a warning, the service goes on.
    pub fatal: bool,
}

impl Op {
    /// What the operation works on: two operations with the same subject never run at once.
    pub fn subject(&self) -> (&'static str, &str) {
        match self {
            Self::PullImage { reference } | Self::BuildImage { reference } => ("image", reference),
            Self::CreateNetwork { name, .. } | Self::RemoveNetwork { name, .. } => {
                ("network", name)
            }
            Self::CreateVolume { name, .. } | Self::RemoveVolume { name, .. } => ("volume", name),
            Self::CreateContainer { name, .. }
            | Self::StartContainer { name, .. }
            | Self::StopContainer { name, .. }
            | Self::RenewFiles { name, .. }
            | Self::RenameContainer { name, .. }
            | Self::RemoveContainer { name, .. } => ("container", name),
        }
    }
}

impl Plan {
    /// Adds a step and returns its index.
    fn push(&mut self, op: Op, cause: Cause, after: Vec<After>) -> usize {
        self.steps.push(Step {
            op,
            cause,
            after,
            not_before: None,
        });
        self.steps.len() - 1
    }

    /// The machine matches the model: nothing to do and nothing wrong.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.problems.is_empty()
    }
}
