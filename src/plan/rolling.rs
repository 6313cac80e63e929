//! How a service that has changed is replaced, group by group (`deploy.update_config`).
//!
//! Owns the decision which replica is next and when to look again, and when an update has failed.
//! The words are those of the Compose Specification; what it leaves open is as Docker's swarm mode
//! does it (moby/swarmkit, `manager/orchestrator/update`): a replica is done when its new container
//! is ready, `delay` counts from there, and a container that fails within `monitor` of being ready
//! (or before) is a failure.
//!
//! Invariant: a function of what is there and of [`Update`], which is written down.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compose::model::{FailureAction, Service, ServiceName, UpdateConfig, UpdateOrder};
use crate::state::records::{ContainerStatus, HealthStatus};

use super::backoff::{policy_restarts, was_killed};
use super::replicas::Slot;
use super::{Desired, DesiredService, Exit, ObservedContainer, Phase};

/// How long a new container is watched when the stack file does not say (Docker's value).
const MONITOR: Duration = Duration::from_secs(5);
/// A program without a check counts as ready when it has run for this long: time enough for one that
/// cannot work to say so.
const SETTLE: Duration = Duration::from_secs(1);

/// What is remembered of an update, from the command that asked for it until it is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// When it was asked for: containers started since then are watched.
    pub began: Timestamp,
    /// What the service was when its last update was complete; `None` when nothing is known.
    pub previous: Option<Box<Revision>>,
    /// Where it is.
    pub state: UpdateState,
    /// Why the last update to this very configuration was taken back.
    pub failed_before: Option<String>,
}

/// What containers of a service are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// The model.
    pub service: Service,
    /// Hash of its configuration.
    pub hash: String,
    /// Id of the image.
    pub image_id: Option<String>,
}

/// Where an update is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum UpdateState {
    /// Replicas are being replaced.
    Underway,
    /// It failed and goes on with the next command.
    Paused {
        /// Why.
        reason: String,
    },
    /// It failed, and the service is again what it was.
    RolledBack {
        /// Why.
        reason: String,
        /// How containers are replaced on the way back.
        config: UpdateConfig,
        /// The configuration that failed.
        failed: Box<Revision>,
    },
}

/// What is to be written down before the next plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The service.
    pub service: ServiceName,
    /// What becomes of its update.
    pub outcome: Outcome,
}

/// What becomes of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All replicas are replaced.
    Complete,
    /// It stops here.
    Pause(String),
    /// It is taken back.
    RollBack(String),
}

/// A service that is watched, with nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The service.
    pub service: ServiceName,
    /// When to look again; `None` = when something has happened.
    pub until: Option<Timestamp>,
    /// The command that asked for the update is not done yet.
    pub awaited: bool,
}

impl Revision {
    fn of(service: &DesiredService) -> Self {
        Self {
            service: service.service.clone(),
            hash: service.hash.clone(),
            image_id: service.image_id.clone(),
        }
    }

    fn is(&self, service: &DesiredService) -> bool {
        self.hash == service.hash && self.image_id == service.image_id
    }
}

impl Update {
    /// Replicas are being replaced, or watched.
    pub fn is_underway(&self) -> bool {
        self.state == UpdateState::Underway
    }

    /// What a command that brings a service up makes of its update: `None` when there is none.
    ///
    /// `old` and `known` are the service and its update before the command. What is gone back to is
    /// what was complete, whatever was tried since.
    pub fn begin(
        new: &DesiredService,
        old: Option<&DesiredService>,
        known: Option<Update>,
    ) -> Option<Self> {
        new.service.deploy.update.as_ref()?;
        let old = old?;
        let changed = !Revision::of(old).is(new) || new.recreate_before == Some(new.since);
        if !changed && known.is_none() {
            return None;
        }
        let (mut previous, mut failed_before) = (Some(Box::new(Revision::of(old))), None);
        if let Some(known) = known {
            failed_before = known.failed_before;
            match known.state {
                UpdateState::RolledBack { reason, failed, .. } => {
                    failed_before = failed.is(new).then_some(reason);
                }
                UpdateState::Underway | UpdateState::Paused { .. } => {
                    previous = known.previous;
                    failed_before = failed_before.filter(|_| !changed);
                }
            }
        }
        Some(Self {
            began: new.since,
            // To what it is to be anyway there is no way back.
            previous: previous.filter(|previous| !previous.is(new)),
            state: UpdateState::Underway,
            failed_before,
        })
    }
}

impl Desired {
    /// Takes in what has become of an update.
    pub fn turn(&mut self, turn: &Turn, now: Timestamp) {
        let Some(update) = self.updates.get_mut(&turn.service) else {
            return;
        };
        match &turn.outcome {
            Outcome::Complete => drop(self.updates.shift_remove(&turn.service)),
            Outcome::Pause(reason) => {
                update.state = UpdateState::Paused {
                    reason: reason.clone(),
                };
            }
            Outcome::RollBack(reason) => {
                let service = self.services.get_mut(&turn.service);
                if let (Some(service), Some(previous)) = (service, update.previous.take()) {
                    roll_back(service, update, (*previous, reason), now);
                }
            }
        }
    }
}

fn roll_back(
    service: &mut DesiredService,
    update: &mut Update,
    (previous, reason): (Revision, &str),
    now: Timestamp,
) {
    let config = service.service.deploy.rollback.clone();
    update.state = UpdateState::RolledBack {
        reason: reason.to_owned(),
        config: config.unwrap_or_else(default_rollback),
        failed: Box::new(Revision::of(service)),
    };
    update.began = now;
    service.service = previous.service;
    service.hash = previous.hash;
    service.image_id = previous.image_id;
    service.since = now;
}

/// How an update is taken back when the stack file does not say (Docker's values).
fn default_rollback() -> UpdateConfig {
    UpdateConfig {
        parallelism: Some(1),
        delay: Duration::ZERO,
        failure_action: FailureAction::Pause,
        monitor: None,
        max_failure_ratio: 0.0,
        order: UpdateOrder::StopFirst,
    }
}

/// How a service is being replaced; `None` when all at once, as Docker Compose does.
pub(super) struct Rolling<'a> {
    pub(super) config: &'a UpdateConfig,
    pub(super) update: Option<&'a Update>,
    began: Timestamp,
}

/// How far a replica is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its containers are old ones.
    Old {
        /// One of them runs.
        up: bool,
    },
    /// Its new container is on its way. `ready_at`: when it will count as ready by itself.
    Moving { ready_at: Option<Timestamp> },
    /// Its new container is ready since.
    Ready { since: Timestamp },
    /// It is as it should be and not watched.
    Settled,
    /// Its new container failed.
    Failed { why: String },
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    /// Replicas that may be worked on.
    pub(super) go: BTreeSet<u32>,
    /// What is to be written down first.
    pub(super) outcome: Option<Outcome>,
    /// When to look again although nothing has happened.
    pub(super) look_again: Option<Timestamp>,
    /// The command that asked for it is not done yet.
    pub(super) watched: bool,
}

impl<'a> Rolling<'a> {
    pub(super) fn of(name: &ServiceName, desired: &'a Desired) -> Option<Self> {
        let service = desired.services.get(name)?;
        let update = desired.updates.get(name);
        let config = match update.map(|update| &update.state) {
            Some(UpdateState::RolledBack { config, .. }) => config,
            _ => service.service.deploy.update.as_ref()?,
        };
        Some(Self {
            config,
            update,
            began: update.map_or(service.since, |update| update.began),
        })
    }

    /// Whether it waits for a person.
    pub(super) fn is_paused(&self) -> bool {
        let state = self.update.map(|update| &update.state);
        matches!(state, Some(UpdateState::Paused { .. }))
    }

    fn monitor(&self) -> Duration {
        self.config.monitor.unwrap_or(MONITOR)
    }

    /// When a container counts as ready, or will by itself; `None` when it depends on its check.
    pub(super) fn ready_at(&self, container: &ObservedContainer) -> Option<Timestamp> {
        let started = container.started_at()?;
        match container.health() {
            None => Some(started + SETTLE.min(self.monitor())),
            Some(HealthStatus::Healthy) => Some(container.status.ready_since.unwrap_or(started)),
            Some(HealthStatus::Starting | HealthStatus::Unhealthy) => None,
        }
    }

    /// Whether a container can stand in for an old one.
    pub(super) fn is_ready(&self, container: &ObservedContainer, now: Timestamp) -> bool {
        container.is_up() && self.ready_at(container).is_some_and(|at| at <= now)
    }

    /// How far a replica is. `failure`: why its new container could not be made.
    pub(super) fn progress(
        &self,
        slot: &Slot<'_>,
        (desired, failure): (&DesiredService, Option<&str>),
        now: Timestamp,
    ) -> Progress {
        let Some(current) = slot.current else {
            return match failure {
                Some(why) => Progress::Failed {
                    why: why.to_owned(),
                },
                None if slot.outdated.is_empty() => Progress::Moving { ready_at: None },
                None => Progress::Old {
                    up: slot.outdated.iter().any(|(old, _)| old.is_up()),
                },
            };
        };
        match &current.phase {
            Phase::Created => Progress::Moving { ready_at: None },
            Phase::Exited(exit) => self.progress_of_ended(current, exit, desired),
            Phase::Running { started_at, .. } | Phase::Paused { started_at, .. } => {
                let is_new = *started_at >= self.began || current.record.created >= self.began;
                self.progress_of_running(current, (is_new, !slot.outdated.is_empty()), now)
            }
        }
    }

    fn progress_of_running(
        &self,
        current: &ObservedContainer,
        (is_new, replaces): (bool, bool),
        now: Timestamp,
    ) -> Progress {
        if !is_new && !replaces {
            return Progress::Settled;
        }
        if current.health() == Some(HealthStatus::Unhealthy) && is_new {
            let ready = current.status.ready_since;
            return match ready.is_some_and(|ready| ready + self.monitor() < now) {
                true => Progress::Settled,
                false => Progress::Failed {
                    why: format!("container {} is unhealthy", current.record.name),
                },
            };
        }
        match self.ready_at(current) {
            Some(at) if at <= now && replaces => Progress::Moving { ready_at: None },
            Some(at) if at <= now => Progress::Ready { since: at },
            at => Progress::Moving { ready_at: at },
        }
    }

    fn progress_of_ended(
        &self,
        current: &ObservedContainer,
        exit: &Exit,
        desired: &DesiredService,
    ) -> Progress {
        // The command that asked for the update starts it again, or one that came after it.
        if exit.finished_at < self.began.max(desired.since) || current.status.interrupted {
            return Progress::Moving { ready_at: None };
        }
        // What a person has killed did not fail.
        if was_killed(exit, &current.status) {
            return Progress::Settled;
        }
        let again = policy_restarts(&desired.service.restart, exit, &ContainerStatus::default());
        if exit.code == 0 && exit.error.is_none() && !again {
            return Progress::Ready {
                since: exit.finished_at,
            };
        }
        let ready = match &current.record.health {
            Some(_) => current.status.ready_since,
            None => exit.started_at.filter(|_| exit.error.is_none()),
        };
        match ready.is_some_and(|ready| ready + self.monitor() < exit.finished_at) {
            true => Progress::Settled,
            false => Progress::Failed {
                why: format!("container {} {exit}", current.record.name),
            },
        }
    }

    /// Which replicas are worked on now.
    pub(super) fn decide(&self, replicas: &[(u32, Progress)], now: Timestamp) -> Decision {
        let state = self.update.map(|update| &update.state);
        let mut decision = Decision::default();
        let failed: Vec<&str> = replicas
            .iter()
            .filter_map(|(_, progress)| match progress {
                Progress::Failed { why } => Some(why.as_str()),
                _ => None,
            })
            .collect();
        let too_many = state.is_some() && self.is_too_many(failed.len(), replicas.len());
        let paused = self.is_paused();
        if !paused && too_many {
            decision.outcome = self.after_failure(&failed, replicas.len());
            if decision.outcome.is_some() {
                return decision;
            }
        }
        let halted = paused || (too_many && self.config.failure_action != FailureAction::Continue);
        self.choose(&mut decision, replicas, (halted, now));
        let busy = replicas.iter().any(|(_, progress)| {
            matches!(progress, Progress::Old { .. } | Progress::Moving { .. })
        });
        decision.watched = busy && !halted;
        if !busy && !halted && state == Some(&UpdateState::Underway) {
            self.finish(&mut decision, replicas, now);
        }
        decision
    }

    fn is_too_many(&self, failed: usize, all: usize) -> bool {
        failed > 0 && failed as f64 / all.max(1) as f64 > self.config.max_failure_ratio
    }

    fn after_failure(&self, failed: &[&str], all: usize) -> Option<Outcome> {
        let mut reason = failed.join(", ");
        if all > 1 {
            reason.push_str(&format!(" ({} of {all} replicas failed)", failed.len()));
        }
        let update = self.update?;
        match self.config.failure_action {
            FailureAction::Continue => None,
            FailureAction::Rollback if update.previous.is_some() => Some(Outcome::RollBack(reason)),
            FailureAction::Rollback | FailureAction::Pause => Some(Outcome::Pause(reason)),
        }
    }

    /// Those on their way go on; as many old ones follow as there is room for.
    fn choose(
        &self,
        decision: &mut Decision,
        replicas: &[(u32, Progress)],
        (halted, now): (bool, Timestamp),
    ) {
        let mut look = |at: Timestamp| {
            let earlier = decision.look_again.is_none_or(|known| at < known);
            if at > now && earlier {
                decision.look_again = Some(at);
            }
        };
        let mut occupied = 0;
        let mut old = Vec::new();
        for (number, progress) in replicas {
            match progress {
                Progress::Moving { ready_at } => {
                    occupied += 1;
                    decision.go.insert(*number);
                    ready_at.iter().copied().for_each(&mut look);
                }
                Progress::Ready { since } if *since + self.config.delay > now => {
                    occupied += 1;
                    decision.go.insert(*number);
                    look(*since + self.config.delay);
                }
                Progress::Ready { .. } | Progress::Settled => {
                    decision.go.insert(*number);
                }
                Progress::Failed { .. } if !halted => {
                    decision.go.insert(*number);
                }
                Progress::Failed { .. } => {}
                Progress::Old { up } => old.push((*up, *number)),
            }
        }
        let most = self.config.parallelism.map_or(usize::MAX, |number| {
            usize::try_from(number).unwrap_or(usize::MAX)
        });
        if !halted {
            // Those that do not run first: nobody misses them meanwhile.
            old.sort_unstable();
            let room = most.saturating_sub(occupied);
            decision
                .go
                .extend(old.iter().take(room).map(|(_, number)| *number));
        }
    }

    /// All are replaced: the end, unless an update that can be taken back is still watched.
    fn finish(&self, decision: &mut Decision, replicas: &[(u32, Progress)], now: Timestamp) {
        let watched = match self.config.failure_action {
            FailureAction::Rollback => replicas
                .iter()
                .filter_map(|(_, progress)| match progress {
                    Progress::Ready { since } => Some(*since + self.monitor()),
                    _ => None,
                })
                .filter(|until| *until > now)
                .max(),
            FailureAction::Pause | FailureAction::Continue => None,
        };
        match watched {
            Some(until) => {
                decision.look_again = Some(until);
                decision.watched = true;
            }
            None => decision.outcome = Some(Outcome::Complete),
        }
    }
}

#[cfg(test)]
#[path = "rolling_histories.rs"]
mod histories;
#[cfg(test)]
#[path = "rolling_tests.rs"]
mod tests;
