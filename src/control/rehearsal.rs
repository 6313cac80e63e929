//! What would be said if a command were carried out (`--dry-run`). Pure.

use std::collections::BTreeSet;

use super::found_ended::FoundEnded;
use super::progress::{after, before};
use super::{Act, Command, Kind, OneOff, Progress, ProgressState, Single};
use crate::compose::model::{Condition, Service, ServiceName};
use crate::plan::{Cause, Desired, Observed, ObservedContainer, Op, Phase, Plan, Run, Step};

/// What would be said, `desired` and `plan` being what the command makes of them.
pub fn rehearse(
    command: &Command,
    (desired, observed): (&Desired, &Observed),
    plan: &Plan,
) -> Vec<Progress> {
    let rehearsal = Rehearsal {
        command,
        desired,
        observed,
        plan,
    };
    if let Command::Kill { remove_orphans, .. } = command {
        return rehearsal.kill(*remove_orphans);
    }
    if let Command::Single(Single {
        name,
        act: Act::Kill { .. },
        ..
    }) = command
    {
        return [ProgressState::Killing, ProgressState::Killed]
            .map(|state| line(name, state))
            .into();
    }
    let mut said = rehearsal.found_ended();
    said.extend(rehearsal.untouched());
    let mut waited = BTreeSet::new();
    for step in &plan.steps {
        if let Op::StartContainer { service, .. } = &step.op {
            said.extend(rehearsal.waits_of(service, &mut waited));
        }
        if let Op::RemoveContainer { name, .. } = &step.op
            && matches!(step.cause, Cause::Orphan | Cause::ScaledDown { .. })
            && step.after.is_empty()
        {
            said.extend([ProgressState::Stopping, ProgressState::Stopped].map(|s| line(name, s)));
        }
        said.extend(before(step).map(|progress| with_reason(progress, step)));
        said.extend(after(step));
    }
    for service in desired.services.keys() {
        said.extend(rehearsal.waits_of(service, &mut waited));
    }
    said.extend(rehearsal.waits_at_end());
    said
}

/// The reason why a container is replaced, which is no news while it happens.
fn with_reason(progress: Progress, step: &Step) -> Progress {
    match &step.cause {
        Cause::Replaces(reason) => Progress {
            detail: Some(reason.clone()),
            ..progress
        },
        _ => progress,
    }
}

/// What would be said of a one-off container of this name, what it needs being there.
pub fn rehearse_one_off(
    one_off: &OneOff,
    name: &str,
    (desired, observed): (&Desired, &Observed),
    plan: &Plan,
) -> Vec<Progress> {
    let rehearsal = Rehearsal {
        command: &Command::Run(Box::new(one_off.clone())),
        desired,
        observed,
        plan,
    };
    let edges = one_off.model().filter(|_| !one_off.no_deps);
    let mut said: Vec<Progress> = edges
        .map(|model| rehearsal.waits(model))
        .unwrap_or_default();
    said.extend([ProgressState::Creating, ProgressState::Created].map(|state| line(name, state)));
    said
}

struct Rehearsal<'a> {
    command: &'a Command,
    desired: &'a Desired,
    observed: &'a Observed,
    plan: &'a Plan,
}

impl Rehearsal<'_> {
    fn concerns(&self, service: &ServiceName) -> bool {
        let services = self.command.services();
        services.is_empty() || services.contains(service)
    }

    fn has_step(&self, name: &str) -> bool {
        let mut steps = self.plan.steps.iter();
        steps.any(|step| step.op.subject() == ("container", name))
    }

    /// A signal is sent to what runs.
    fn kill(&self, orphans: bool) -> Vec<Progress> {
        let named = !self.command.services().is_empty();
        let spared = |container: &ObservedContainer| {
            let service = self.desired.services.get(&container.record.service);
            service.is_some_and(|service| service.orphan) && !named && !orphans
        };
        let containers = self.observed.containers.values();
        containers
            .filter(|container| container.is_up() && self.concerns(&container.record.service))
            .filter(|container| !spared(container))
            .flat_map(|container| {
                let states = [ProgressState::Killing, ProgressState::Killed];
                states.map(|state| line(&container.record.name, state))
            })
            .collect()
    }

    /// What has ended is said to stop, too.
    fn found_ended(&self) -> Vec<Progress> {
        let Some(ended) = FoundEnded::of(self.command) else {
            return Vec::new();
        };
        let containers = self.observed.containers.values();
        containers
            .filter(|container| !container.is_up() && self.concerns(&container.record.service))
            .filter(|container| ended.concerns(&container.record))
            .flat_map(|container| {
                let states = ended.states().iter();
                states.map(|state| line(&container.record.name, *state))
            })
            .collect()
    }

    /// What runs and is as it should be is said to run.
    fn untouched(&self) -> Vec<Progress> {
        if !matches!(self.command, Command::Up(_)) {
            return Vec::new();
        }
        let containers = self.observed.containers.values();
        containers
            .filter(|container| matches!(container.phase, Phase::Running { .. }))
            .map(|container| &container.record)
            .filter(|record| !record.one_off && self.concerns(&record.service))
            .filter(|record| !self.has_step(&record.name))
            .map(|record| line(&record.name, ProgressState::Running))
            .collect()
    }

    /// The containers of a service as they will be.
    fn names_of(&self, service: &ServiceName) -> BTreeSet<&str> {
        let started = self.plan.steps.iter().filter_map(|step| match &step.op {
            Op::StartContainer {
                service: of, name, ..
            } if of == service => Some(name.as_str()),
            _ => None,
        });
        let there = self.observed.of_service(service);
        let there = there.filter(|container| container.is_up());
        let there = there.map(|container| container.record.name.as_str());
        started
            .chain(there.filter(|name| !self.has_step(name)))
            .collect()
    }

    /// What is waited for before a service is started, or found to run; once.
    fn waits_of<'s>(
        &'s self,
        service: &'s ServiceName,
        waited: &mut BTreeSet<&'s ServiceName>,
    ) -> Vec<Progress> {
        let is_start = matches!(self.command, Command::Up(_) | Command::Start { .. });
        let found = self.desired.services.get(service);
        let found = found.filter(|found| !found.no_deps && found.run == Run::Running);
        let Some(found) = found.filter(|_| is_start && self.concerns(service)) else {
            return Vec::new();
        };
        match waited.insert(service) {
            true => self.waits(&found.service),
            false => Vec::new(),
        }
    }

    /// What is waited for before a container of a service is started.
    fn waits(&self, model: &Service) -> Vec<Progress> {
        let mut said = Vec::new();
        for (dependency, edge) in &model.depends_on {
            let end = match edge.condition {
                Condition::ServiceStarted => continue,
                Condition::ServiceHealthy => ProgressState::Healthy,
                Condition::ServiceCompletedSuccessfully => ProgressState::Exited,
            };
            for name in self.names_of(dependency) {
                said.extend([ProgressState::Waiting, end].map(|state| line(name, state)));
            }
        }
        said
    }

    /// What is waited for at the end (`--wait`).
    fn waits_at_end(&self) -> Vec<Progress> {
        let waits = match self.command {
            Command::Up(up) => up.wait && !up.no_start,
            Command::Start { wait, .. } => *wait,
            _ => false,
        };
        let services =
            self.desired.services.iter().filter(|(name, service)| {
                waits && self.concerns(name) && service.run == Run::Running
            });
        let names = services.flat_map(|(name, _)| self.names_of(name));
        names
            .flat_map(|name| {
                [ProgressState::Waiting, ProgressState::Healthy].map(|state| line(name, state))
            })
            .collect()
    }
}

fn line(name: &str, state: ProgressState) -> Progress {
    Progress {
        kind: Kind::Container,
        name: name.to_owned(),
        state,
        detail: None,
    }
}
