//! Why a service is as it is: what is wanted of it, how its containers are, what is left to do and what
//! that waits for, what was done last. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::chronicle::{Entry, What};
use crate::compose::model::{Condition, ServiceName};
use crate::plan::{
    After, Cause, Desired, DesiredService, Exit, Observed, ObservedContainer, Op, Phase, Plan, Run,
    Step, was_killed,
};
use crate::state::records::HealthStatus;

/// Entries of the journal that are told.
const HISTORY: usize = 12;

/// All that is known of why a service is as it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// The project.
    pub project: String,
    /// The service.
    pub service: ServiceName,
    /// What is wanted: `running`, `created`, `stopped`, `gone`; `nothing` when it was never brought up.
    pub wanted: &'static str,
    /// Containers asked for.
    pub replicas: u32,
    /// A supervisor carries the plan out.
    pub supervisor: bool,
    /// Its containers, by number.
    pub containers: Vec<Container>,
    /// What is left to do for it.
    pub steps: Vec<Todo>,
    /// What stands in the way and will not go away by itself.
    pub problems: Vec<String>,
    /// What was done last, and what happened, oldest first.
    pub history: Vec<Entry>,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Number of the replica.
    pub number: u32,
    /// `created`, `running`, `paused` or `exited`.
    pub state: &'static str,
    /// When it was started last.
    pub started_at: Option<Timestamp>,
    /// How it ended.
    pub exit: Option<Ended>,
    /// Its health.
    pub health: Option<Health>,
    /// Times it was started again by its policy since the last command.
    pub restarts: u32,
    /// When it is started again.
    pub next_start: Option<Timestamp>,
    /// Its restart policy starts it again.
    pub starts_again: bool,
    /// What a person did to it alone: `stopped` or `started`, or `killed` with whichever others.
    pub by_hand: Option<&'static str>,
    /// Its restart policy, as a stack file has it.
    pub policy: String,
    /// The last lines of its output.
    pub log: Vec<String>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ended {
    /// In words: `exited with 1`.
    pub words: String,
    /// Exit code.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed it for memory.
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// How healthy a container is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// What the last probe said.
    pub output: String,
    /// The last probe's exit code.
    pub exit_code: Option<i32>,
}

/// One step that is left.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Todo {
    /// The operation.
    pub what: String,
    /// Why it is to be done.
    pub because: String,
    /// What it waits for, each in a few words.
    pub waits_for: Vec<String>,
    /// Not before this time.
    pub not_before: Option<Timestamp>,
    /// How it failed: it is not tried again before the next command.
    pub failed: Option<String>,
}

/// Explains one service. `log` gives the last lines of a container's output.
pub fn why(
    service: &ServiceName,
    (desired, observed, plan): (&Desired, &Observed, &Plan),
    (journal, supervisor): (&[Entry], bool),
    log: impl Fn(&ObservedContainer) -> Vec<String>,
) -> Why {
    let wanted = desired.services.get(service);
    let mut containers: Vec<Container> = observed
        .of_service(service)
        .map(|observed| container(observed, (desired, wanted), (plan, log(observed))))
        .collect();
    containers.sort_by_key(|container| container.number);
    let steps = plan.steps.iter().enumerate();
    let steps = steps
        .filter(|(_, step)| concerns(step, service, observed))
        .map(|(_, step)| todo(step, plan, observed))
        .collect();
    let problems = plan
        .problems
        .iter()
        .filter(|problem| problem.service == *service)
        .map(|problem| problem.message.clone())
        .collect();
    Why {
        project: desired.project.clone(),
        service: service.clone(),
        wanted: match wanted.map(|wanted| wanted.run) {
            _ if desired.down.is_some() => "gone",
            Some(Run::Running) => "running",
            Some(Run::Created) => "created",
            Some(Run::Stopped) => "stopped",
            None if containers.is_empty() => "nothing",
            None => "gone",
        },
        replicas: wanted.map_or(0, |wanted| wanted.replicas),
        supervisor,
        containers,
        steps,
        problems,
        history: history(service, journal),
    }
}

/// The last of what is in the journal about a service, commands between included.
fn history(service: &ServiceName, journal: &[Entry]) -> Vec<Entry> {
    let about = |entry: &&Entry| {
        entry.service.as_ref() == Some(service) || matches!(entry.what, What::Command { .. })
    };
    let about: Vec<&Entry> = journal.iter().filter(about).collect();
    // A command that did nothing for it is not its history, unless it is the last.
    let mut kept = Vec::new();
    for (index, entry) in about.iter().enumerate() {
        let next = about.get(index + 1);
        let is_command = entry.service.is_none();
        if !is_command || next.is_none_or(|next| next.service.is_some()) {
            kept.push((*entry).clone());
        }
    }
    kept.drain(..kept.len().saturating_sub(HISTORY));
    kept
}

/// Whether a step is done to a service, or is something that one of its steps comes after.
fn concerns(step: &Step, service: &ServiceName, observed: &Observed) -> bool {
    match &step.op {
        Op::CreateContainer { service: other, .. } | Op::StartContainer { service: other, .. } => {
            other == service
        }
        Op::StopContainer { id, .. }
        | Op::RenewFiles { id, .. }
        | Op::RenameContainer { id, .. }
        | Op::RemoveContainer { id, .. } => observed
            .containers
            .get(id)
            .is_some_and(|container| container.record.service == *service),
        _ => matches!(&step.cause, Cause::NeededBy(other) if other == service),
    }
}

fn todo(step: &Step, plan: &Plan, observed: &Observed) -> Todo {
    let waits = step.after.iter().map(|after| match after {
        After::Step(index) => plan
            .steps
            .get(*index)
            .map_or_else(String::new, |before| format!("\"{}\"", before.op)),
        After::Condition { service, condition } => {
            let state = match condition {
                Condition::ServiceStarted => "started",
                Condition::ServiceHealthy => "healthy",
                Condition::ServiceCompletedSuccessfully => "completed",
            };
            format!("{service} to be {state}{}", states(service, observed))
        }
        After::Earlier { service } => format!("other containers of {service} to be replaced"),
        After::Ready { name } => format!("{name} to be ready"),
    });
    let failure = observed.failures.get(step.op.subject().1);
    Todo {
        what: step.op.to_string(),
        because: step.cause.to_string(),
        waits_for: waits.collect(),
        not_before: step.not_before,
        failed: failure.map(|failure| failure.message.clone()),
    }
}

/// How the containers of a dependency are, in brackets.
fn states(service: &ServiceName, observed: &Observed) -> String {
    let words = observed.of_service(service).map(|container| {
        let name = &container.record.name;
        let health = container.status.health.as_ref();
        let said = health
            .and_then(|health| health.log.last())
            .filter(|probe| probe.exit_code != 0)
            .map_or_else(String::new, |probe| {
                format!(
                    ", its last probe failed with {}{}",
                    probe.exit_code,
                    said(&probe.output)
                )
            });
        match &container.phase {
            Phase::Created => format!("{name} has not been started"),
            Phase::Exited(exit) => format!("{name} {exit}"),
            Phase::Paused { .. } => format!("{name} is paused"),
            Phase::Running { .. } => match container.health() {
                None => format!("{name} runs"),
                Some(HealthStatus::Healthy) => format!("{name} is healthy"),
                Some(HealthStatus::Starting) => format!("{name} is starting{said}"),
                Some(HealthStatus::Unhealthy) => format!("{name} is unhealthy{said}"),
            },
        }
    });
    let words: Vec<String> = words.collect();
    match words.is_empty() {
        true => " (it has no container yet)".to_owned(),
        false => format!(" ({})", words.join("; ")),
    }
}

/// What a program said, in one line, behind a colon.
pub(crate) fn said(output: &str) -> String {
    match output.trim().lines().last() {
        Some(line) if !line.is_empty() => format!(": {line}"),
        _ => String::new(),
    }
}

fn container(
    container: &ObservedContainer,
    (desired, wanted): (&Desired, Option<&DesiredService>),
    (plan, log): (&Plan, Vec<String>),
) -> Container {
    let record = &container.record;
    let exit = match &container.phase {
        Phase::Exited(exit) => Some(exit),
        _ => None,
    };
    let start = plan.steps.iter().find(
        |step| matches!(&step.op, Op::StartContainer { id: Some(id), .. } if *id == record.id),
    );
    let policy = wanted.map(|wanted| &wanted.service.restart);
    let killed = exit.is_some_and(|exit| was_killed(exit, &container.status));
    let by_hand = match desired.by_hand.get(&record.id).map(|own| own.run) {
        Some(Run::Stopped) => Some("stopped"),
        _ if killed => Some("killed"),
        Some(_) => Some("started"),
        None => None,
    };
    Container {
        name: record.name.clone(),
        id: record.id.clone(),
        number: record.number,
        state: match &container.phase {
            Phase::Created => "created",
            Phase::Running { .. } => "running",
            Phase::Paused { .. } => "paused",
            Phase::Exited(_) => "exited",
        },
        started_at: container.started_at(),
        exit: exit.map(ended),
        health: health(container),
        restarts: container.status.restart_count,
        next_start: start.and_then(|step| step.not_before),
        starts_again: super::turn::is_restarted(container, desired),
        by_hand,
        policy: policy.map_or_else(String::new, crate::plan::policy_text),
        log,
    }
}

fn ended(exit: &Exit) -> Ended {
    Ended {
        words: exit.to_string(),
        code: exit.code,
        signal: exit.signal,
        oom_killed: exit.oom_killed,
        error: exit.error.clone(),
        at: exit.finished_at,
    }
}

fn health(container: &ObservedContainer) -> Option<Health> {
    let status = container.health().filter(|_| container.is_up())?;
    let state = container.status.health.as_ref();
    let last = state.and_then(|state| state.log.last());
    Some(Health {
        status,
        failing_streak: state.map_or(0, |state| state.failing_streak),
        output: last.map_or_else(String::new, |probe| {
            super::chronicle::shortened(&probe.output)
        }),
        exit_code: last.map(|probe| probe.exit_code),
    })
}

#[cfg(test)]
mod tests;
