//! What is said of containers that a command waits for: that it does, and what came of it. Pure.
//!
//! Docker Compose waits for a dependency before it starts a dependent, whether or not it is as it is to be
//! already, and for everything at the end of `up --wait`.

use std::collections::HashMap;

use crate::compose::model::{Condition, Service, ServiceName};
use crate::control::turn::Busy;
use crate::control::verdict::Goal;
use crate::control::{Command, Kind, Progress, ProgressState};
use crate::plan::{
    Cause, DependencyState, Desired, Observed, ObservedContainer, Phase, Plan, Run, Step,
    dependency_state,
};
use crate::state::records::HealthStatus;

/// What is looked at.
#[derive(Clone, Copy)]
pub(in crate::control) struct Scene<'a> {
    /// The plan that is left.
    pub(in crate::control) plan: &'a Plan,
    /// What is to be.
    pub(in crate::control) desired: &'a Desired,
    /// What is.
    pub(in crate::control) observed: &'a Observed,
    /// What is being done.
    pub(in crate::control) busy: &'a Busy,
}

/// A dependency that is waited for before a service is started, or found to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control) struct Wait {
    service: ServiceName,
    condition: Condition,
    required: bool,
    /// Who waits.
    dependent: ServiceName,
}

/// What a command has to do with dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control) enum Dependencies {
    /// Nothing.
    LeftAlone,
    /// Those that are to be healthy, and are followed (`restart: true`), are said to be waited for.
    Followed,
    /// All that are waited for are said to be.
    Told,
    /// The command ends when none is waited for any more, and fails with them.
    Awaited,
}

impl Dependencies {
    /// What a command has to do with them, as in Docker Compose.
    pub(in crate::control) fn of(command: &Command) -> Self {
        match command {
            Command::Up(up) if up.no_start => Self::LeftAlone,
            Command::Up(_) | Command::Start { .. } => Self::Awaited,
            Command::Edit(_) => Self::Told,
            Command::Restart { .. } => Self::Followed,
            _ => Self::LeftAlone,
        }
    }
}

/// What one command has been told of those that it waits for.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The waits so far, and whether their end has been told.
    waits: Vec<(Wait, bool)>,
    /// Containers that were said to be waited for, and what was said last.
    containers: HashMap<String, ProgressState>,
    /// What was waited for in vain: sentences.
    failures: Vec<String>,
}

/// The waits of the services that a command is about. Those that run already have them, too, as in
/// Docker Compose.
pub(in crate::control) fn waits(
    dependencies: Dependencies,
    goal: &Goal,
    desired: &Desired,
) -> Vec<Wait> {
    let services = desired.services.iter().filter(|(name, service)| {
        let is_to_run = service.run == Run::Running && service.replicas > 0;
        goal.concerns(name) && is_to_run && !service.no_deps
    });
    let all = services.flat_map(|(name, service)| waits_of(name, &service.service));
    let told = all.filter(|wait| {
        let is_told = match dependencies {
            Dependencies::LeftAlone => false,
            Dependencies::Followed => {
                let dependent = desired.services.get(&wait.dependent);
                let edge = dependent.and_then(|one| one.service.depends_on.get(&wait.service));
                let is_followed = edge.is_some_and(|edge| edge.restart);
                is_followed && wait.condition == Condition::ServiceHealthy
            }
            Dependencies::Told | Dependencies::Awaited => true,
        };
        // One that was not brought up is left to the plan.
        is_told && desired.services.contains_key(&wait.service)
    });
    told.collect()
}

/// The waits of one container of a service.
pub(in crate::control) fn waits_of(dependent: &ServiceName, model: &Service) -> Vec<Wait> {
    let edges = model.depends_on.iter();
    edges
        .filter(|(_, edge)| edge.condition != Condition::ServiceStarted)
        .map(|(name, edge)| Wait {
            service: name.clone(),
            condition: edge.condition,
            required: edge.required,
            dependent: dependent.clone(),
        })
        .collect()
}

impl<'a> Scene<'a> {
    fn state(&self, wait: &Wait) -> DependencyState {
        dependency_state(&wait.service, wait.condition, self.desired, self.observed)
    }

    /// Nothing is being done to it, or about to be.
    fn is_settled(&self, container: &ObservedContainer) -> bool {
        let name = container.record.name.as_str();
        let is_about = |step: &Step| {
            // One that ends again and again is waited for as it is.
            step.op.subject() == ("container", name) && !matches!(step.cause, Cause::Restart { .. })
        };
        !self.busy.contains_key(name) && !self.plan.steps.iter().any(is_about)
    }

    /// The containers of a service, when all of them are settled and have been started.
    fn started(&self, service: &ServiceName) -> Option<Vec<&'a ObservedContainer>> {
        let containers: Vec<_> = self.observed.of_service(service).collect();
        let ready = |container: &&ObservedContainer| {
            container.started_at().is_some() && self.is_settled(container)
        };
        containers.iter().all(ready).then_some(containers)
    }
}

impl Told {
    /// What is said now about these waits and those before.
    pub(super) fn of_waits(&mut self, new: Vec<Wait>, scene: &Scene<'_>) -> Vec<Progress> {
        for wait in new {
            if !self.waits.iter().any(|(known, _)| *known == wait) {
                self.waits.push((wait, false));
            }
        }
        let mut said = Vec::new();
        let mut waits = std::mem::take(&mut self.waits);
        for (wait, is_over) in waits.iter_mut().filter(|(_, is_over)| !is_over) {
            let Some(containers) = scene.started(&wait.service) else {
                continue;
            };
            for container in &containers {
                let why = format!("for {}", wait.dependent);
                said.extend(self.waiting(container, &why));
            }
            let state = scene.state(wait);
            if let DependencyState::Failed(reason) = &state
                && wait.required
                && !self.failures.contains(reason)
            {
                self.failures.push(reason.clone());
            }
            if let Some((state, detail)) = end(wait, &state) {
                for container in &containers {
                    said.extend(self.say(container, state, detail.clone()));
                }
                *is_over = true;
            }
        }
        self.waits = waits;
        said
    }

    /// What was waited for in vain; `None` while something is waited for.
    pub(super) fn outcome(&self, scene: &Scene<'_>) -> Option<&[String]> {
        let waits = self.waits.iter().filter(|(_, is_over)| !is_over);
        let can_end = |wait: &Wait| {
            // What is frozen does nothing by itself.
            let mut containers = scene.observed.of_service(&wait.service);
            let moves = containers.any(|one| !matches!(one.phase, Phase::Paused { .. }));
            moves && scene.state(wait) == DependencyState::Pending
        };
        match waits.map(|(wait, _)| wait).any(can_end) {
            true => None,
            false => Some(&self.failures),
        }
    }

    /// What is said now of containers that all are to be up and healthy: the last thing that is waited for.
    pub(super) fn of_goal(&mut self, goal: &Goal, scene: &Scene<'_>) -> Vec<Progress> {
        if self.outcome(scene).is_none() {
            return Vec::new();
        }
        let mut said = Vec::new();
        for (name, service) in &scene.desired.services {
            if !goal.concerns(name) || service.run != Run::Running {
                continue;
            }
            let Some(containers) = scene.started(name) else {
                continue;
            };
            for container in &containers {
                said.extend(self.waiting(container, "to become healthy"));
            }
            let ends: Option<Vec<ProgressState>> = containers
                .iter()
                .map(|container| match &container.phase {
                    Phase::Exited(exit) if exit.code == 0 => Some(ProgressState::Exited),
                    Phase::Running { .. } if is_well(container) => Some(ProgressState::Healthy),
                    _ => None,
                })
                .collect();
            for (container, state) in containers.iter().zip(ends.into_iter().flatten()) {
                // A job that has ended since was well once.
                if !self.is_over(&container.record.name) {
                    said.extend(self.say(container, state, None));
                }
            }
        }
        said
    }

    fn is_over(&self, name: &str) -> bool {
        let last = self.containers.get(name);
        last.is_some_and(|state| state.is_final())
    }

    fn waiting(&mut self, container: &ObservedContainer, why: &str) -> Option<Progress> {
        match self.containers.contains_key(&container.record.name) {
            true => None,
            false => self.say(container, ProgressState::Waiting, Some(why.to_owned())),
        }
    }

    /// Says something that was not the last to be said.
    fn say(
        &mut self,
        container: &ObservedContainer,
        state: ProgressState,
        detail: Option<String>,
    ) -> Option<Progress> {
        let name = container.record.name.clone();
        let last = self.containers.insert(name.clone(), state);
        (last != Some(state)).then_some(Progress {
            kind: Kind::Container,
            name,
            state,
            detail,
        })
    }
}

/// Its health check says so, or it has none.
fn is_well(container: &ObservedContainer) -> bool {
    matches!(container.health(), None | Some(HealthStatus::Healthy))
}

/// What is said when a wait is over, in Docker Compose's words; `None` while it is not.
fn end(wait: &Wait, state: &DependencyState) -> Option<(ProgressState, Option<String>)> {
    let name = &wait.service;
    let completes = wait.condition == Condition::ServiceCompletedSuccessfully;
    match state {
        DependencyState::Pending => None,
        DependencyState::Met if completes => Some((ProgressState::Exited, None)),
        DependencyState::Met => Some((ProgressState::Healthy, None)),
        DependencyState::Failed(reason) => {
            let (state, detail) = match (wait.required, completes) {
                (true, true) => (ProgressState::Error, reason.clone()),
                (true, false) => (
                    ProgressState::Error,
                    format!("dependency {name} failed to start"),
                ),
                (false, true) => (
                    ProgressState::Skipped,
                    format!(
                        "optional dependency {}",
                        reason.trim_start_matches("service ")
                    ),
                ),
                (false, false) => (
                    ProgressState::Skipped,
                    format!("optional dependency \"{name}\" failed to start"),
                ),
            };
            Some((state, Some(detail)))
        }
    }
}

#[cfg(test)]
mod tests;
