//! Whether a command has been carried out. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::compose::model::ServiceName;
use crate::plan::{After, Cause, Desired, Observed, Op, Phase, Plan, Run, Step, Watch};
use crate::state::records::HealthStatus;

/// What a command waits for.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// The services that it is about; empty = all.
    pub(super) services: BTreeSet<ServiceName>,
    /// The only container that it is about, by name; `None` = all of those services.
    pub(super) container: Option<String>,
    /// When it was given.
    pub(super) at: Timestamp,
    /// Containers with a health check must be healthy too.
    pub(super) healthy: bool,
}

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something can still happen by itself.
    Underway,
    /// Nothing more will: with these errors, or well.
    Done(Vec<String>),
}

impl Goal {
    /// Whether a service is among those that the command is about.
    pub(super) fn concerns(&self, service: &ServiceName) -> bool {
        self.services.is_empty() || self.services.contains(service)
    }

    /// Whether the command is about a service, or about one that it depends on: what is done to that one
    /// moves it, too.
    pub(super) fn reaches(&self, service: &ServiceName, desired: &Desired) -> bool {
        let mut seen = BTreeSet::new();
        let mut rest = vec![service];
        while let Some(service) = rest.pop() {
            if self.concerns(service) {
                return true;
            }
            if seen.insert(service)
                && let Some(found) = desired.services.get(service)
            {
                rest.extend(found.service.depends_on.keys());
            }
        }
        false
    }

    /// Whether a container is among those that the command is about.
    fn concerns_container(&self, name: &str) -> bool {
        self.container.as_ref().is_none_or(|only| only == name)
    }
}

/// Judges a command by the plan that is left. `busy` holds the names of subjects of operations that
/// are being done.
pub(super) fn verdict(
    goal: &Goal,
    plan: &Plan,
    (desired, observed): (&Desired, &Observed),
    busy: &BTreeSet<String>,
) -> Verdict {
    let mut dead = vec![false; plan.steps.len()];
    for (index, step) in plan.steps.iter().enumerate() {
        let blocked = step
            .after
            .iter()
            .any(|after| matches!(after, After::Step(before) if dead[*before]));
        dead[index] = blocked || failed_since(step, observed, desired);
        let orphan = step.cause == Cause::Orphan;
        let concerns = |service: ServiceName| goal.concerns(&service);
        // What the stack file has no more is in no command's list, and goes because of one.
        let ours = orphan || service_of(step, observed).is_none_or(concerns);
        let ours = ours && goal.concerns_container(step.op.subject().1);
        let restart = matches!(step.cause, Cause::Restart { .. });
        if ours && !restart && (!dead[index] || busy.contains(step.op.subject().1)) {
            return Verdict::Underway;
        }
    }
    let awaited = |watch: &Watch| watch.awaited && goal.concerns(&watch.service);
    // What cannot be done keeps an update from its end.
    if plan.watches.iter().any(awaited) && !dead.contains(&true) {
        return Verdict::Underway;
    }
    // What is being done to a container may make another step, which no plan has yet.
    let is_busy = observed.containers.values().any(|container| {
        let record = &container.record;
        let ours = goal.concerns(&record.service) && goal.concerns_container(&record.name);
        ours && busy.contains(&record.name)
    });
    if is_busy {
        return Verdict::Underway;
    }
    let ours = |subject: &str| {
        let steps = plan.steps.iter();
        let mut steps = steps.filter(|step| step.op.subject().1 == subject);
        let planned = steps.find_map(|step| service_of(step, observed));
        let mut containers = observed.containers.values().map(|found| &found.record);
        let service = planned.or_else(|| {
            let record = containers.find(|record| record.name == subject)?;
            Some(record.service.clone())
        });
        service.is_none_or(|service| goal.reaches(&service, desired))
    };
    let mut errors: Vec<String> = observed
        .failures
        .iter()
        .filter(|(subject, failure)| failure.at >= goal.at && ours(subject))
        .map(|(_, failure)| failure.message.clone())
        .collect();
    let fatal = plan
        .problems
        .iter()
        .filter(|problem| problem.fatal && goal.concerns(&problem.service));
    for problem in fatal {
        // What fails because of what was said already is no news.
        let is_told = observed.failures.iter().any(|(subject, failure)| {
            let story = failure.message.split_once(&format!("{subject}: "));
            let story = story.map_or(failure.message.as_str(), |(_, story)| story);
            failure.at >= goal.at && problem.message.ends_with(story)
        });
        if !is_told && !errors.contains(&problem.message) {
            errors.push(problem.message.clone());
        }
    }
    if goal.healthy && errors.is_empty() {
        return health_verdict(goal, desired, observed);
    }
    Verdict::Done(errors)
}

fn health_verdict(goal: &Goal, desired: &Desired, observed: &Observed) -> Verdict {
    let mut errors = Vec::new();
    for (name, service) in &desired.services {
        if !goal.concerns(name) || service.run != Run::Running {
            continue;
        }
        for container in observed.of_service(name) {
            let label = &container.record.name;
            match (&container.phase, container.health()) {
                (Phase::Exited(exit), _) if exit.code != 0 => {
                    errors.push(format!("container {label} {exit}"))
                }
                (Phase::Running { .. }, Some(HealthStatus::Starting)) => return Verdict::Underway,
                (Phase::Running { .. }, Some(HealthStatus::Unhealthy)) => {
                    errors.push(format!("container {label} is unhealthy"));
                }
                _ => {}
            }
        }
    }
    Verdict::Done(errors)
}

/// Whether an operation on the step's subject failed and was not asked for again.
pub(super) fn failed_since(step: &Step, observed: &Observed, desired: &Desired) -> bool {
    let Some(failure) = observed.failures.get(step.op.subject().1) else {
        return false;
    };
    let asked = service_of(step, observed)
        .and_then(|service| desired.services.get(&service))
        .map(|found| found.since);
    asked.is_none_or(|asked| failure.at >= asked)
}

/// The service that a step is for; `None` for networks, volumes and images.
pub(super) fn service_of(step: &Step, observed: &Observed) -> Option<ServiceName> {
    match &step.op {
        Op::CreateContainer { service, .. } | Op::StartContainer { service, .. } => {
            Some(service.clone())
        }
        Op::StopContainer { id, .. }
        | Op::RenewFiles { id, .. }
        | Op::RenameContainer { id, .. }
        | Op::RemoveContainer { id, .. } => observed
            .containers
            .get(id)
            .map(|container| container.record.service.clone()),
        Op::PullImage { .. }
        | Op::BuildImage { .. }
        | Op::CreateNetwork { .. }
        | Op::RemoveNetwork { .. }
        | Op::CreateVolume { .. }
        | Op::RemoveVolume { .. } => None,
    }
}
