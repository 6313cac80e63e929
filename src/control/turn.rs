//! One turn of the loop without its effects: which steps begin, and what becomes of the observed state
//! when something has happened. Pure; the simulation drives the same functions as the supervisor.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::compose::model::OnUnhealthy;
use crate::engine::Applied;
use crate::plan::{
    Cause, Desired, Exit, Observed, ObservedContainer, ObservedVolume, Op, Phase, Plan,
    RecordedFailure, Run, Step, Then, failed_attempts, namespace_owners, policy_restarts, window,
};
use crate::state::records::{HealthState, HealthStatus, Signalled};

/// Operations that are being done: the name of the subject → the step.
pub(super) type Busy = BTreeMap<String, Step>;

/// The steps of a plan that begin now: nothing is left to wait for, nothing else is being done to
/// the subject, and nothing has failed on it since it was asked for.
pub(super) fn ready<'a>(
    plan: &'a Plan,
    (observed, busy): (&Observed, &Busy),
) -> impl Iterator<Item = &'a Step> {
    plan.steps.iter().filter(move |step| {
        step.after.is_empty()
            && step.not_before.is_none()
            && !busy.contains_key(step.op.subject().1)
            && !is_blocked(step, observed)
    })
}

/// Whether a failure keeps a step back until the next command.
pub(super) fn is_blocked(step: &Step, observed: &Observed) -> bool {
    let failure = observed.failures.get(step.op.subject().1);
    failure.is_some_and(|failure| !owner_came_back(step, observed, failure.at))
}

/// Whether the service whose namespaces a container is to share was started after a time: what failed
/// then for want of it may succeed now.
fn owner_came_back(step: &Step, observed: &Observed, time: Timestamp) -> bool {
    let Op::StartContainer { id: Some(id), .. } = &step.op else {
        return false;
    };
    let Some(container) = observed.containers.get(id) else {
        return false;
    };
    let owners = namespace_owners(&container.record.template);
    let mut runs = owners
        .into_iter()
        .flat_map(|owner| observed.of_service(owner));
    runs.any(|owner| owner.is_up() && owner.started_at().is_some_and(|started| started > time))
}

/// Notes that an operation begins. Returns its subject, as the engine is to get it, where there is
/// one; with what it says of restarts from now on.
pub(super) fn begin(
    step: &Step,
    (desired, observed): (&Desired, &mut Observed),
) -> Option<ObservedContainer> {
    match &step.op {
        Op::StartContainer {
            id: Some(id),
            service,
            ..
        } => {
            let mut container = observed.containers.get(id).cloned()?;
            let policy = desired.services.get(service);
            count_start(
                &mut container,
                &step.cause,
                policy.map(|s| &s.service.restart),
            );
            Some(container)
        }
        Op::StopContainer { id, then, .. } => {
            let container = observed.containers.get_mut(id)?;
            container.status.interrupted = *then == Then::StartAgain;
            if step.cause == Cause::Unhealthy {
                container.status.restart_count += 1;
                container.status.streak += 1;
            }
            Some(container.clone())
        }
        Op::RenewFiles { id, .. }
        | Op::RenameContainer { id, .. }
        | Op::RemoveContainer { id, .. } => observed.containers.get(id).cloned(),
        _ => None,
    }
}

/// What a start makes of the numbers that restarts are counted with.
fn count_start(
    container: &mut ObservedContainer,
    cause: &Cause,
    policy: Option<&crate::compose::model::RestartPolicy>,
) {
    let status = &mut container.status;
    match cause {
        Cause::Restart { exit, .. } => {
            let window = policy.and_then(window);
            status.failed_attempts = failed_attempts(exit, status, window);
            status.restart_count += 1;
            status.streak += 1;
        }
        // The loop stopped it: what it had been through before still counts.
        Cause::Resumed | Cause::NamespaceOwnerRestarted(_) => {}
        _ => {
            status.failed_attempts = 0;
            status.restart_count = 0;
            status.streak = 0;
        }
    }
}

/// Takes in what an operation has made of its subject.
pub(super) fn done(applied: Applied, observed: &mut Observed) {
    match applied {
        Applied::Container(container) | Applied::Unready(container, _) => {
            // Those without a name are made with their container.
            for name in container.record.anonymous_volumes.values() {
                let owner = container.record.project.clone();
                let volume = ObservedVolume {
                    config_hash: String::new(),
                    project: owner,
                };
                observed.volumes.insert(name.clone(), volume);
            }
            observed
                .containers
                .insert(container.record.id.clone(), *container);
        }
        Applied::ContainerGone(id) => drop(observed.containers.remove(&id)),
        Applied::Network(name, network) => drop(observed.networks.insert(name, network)),
        Applied::NetworkGone(name) | Applied::NetworkLeft(name) => {
            drop(observed.networks.remove(&name))
        }
        Applied::Volume(name, volume) => drop(observed.volumes.insert(name, volume)),
        Applied::VolumeGone(name) | Applied::VolumeLeft(name) => {
            drop(observed.volumes.remove(&name))
        }
    }
}

/// Notes that a command came: what failed before is tried again.
pub(super) fn asked(busy: &Busy, observed: &mut Observed) {
    observed.failures.clear();
    observed.overtaken = busy.keys().cloned().collect();
}

/// Notes that an operation succeeded: how one on its subject failed before is over.
pub(super) fn succeeded(step: &Step, observed: &mut Observed) {
    observed.failures.remove(step.op.subject().1);
    observed.overtaken.remove(step.op.subject().1);
}

/// Notes that an operation failed: it is not tried again before the next command, unless it was begun before
/// the last one.
pub(super) fn failed(step: &Step, failure: RecordedFailure, observed: &mut Observed) {
    let subject = step.op.subject().1.to_owned();
    if !observed.overtaken.remove(&subject) {
        observed.failures.insert(subject, failure);
    }
}

/// The end of a program that nobody stopped.
#[derive(Debug, PartialEq)]
pub(super) struct Ended {
    pub(super) exit: Exit,
    /// Its restart policy starts it again.
    pub(super) restarts: bool,
}

/// Takes in that a container's program has ended, `container` being what is left of it. `None` when
/// that is no news: it was removed or started again meanwhile.
pub(super) fn ended(
    mut container: ObservedContainer,
    (desired, observed): (&Desired, &mut Observed),
) -> Option<Ended> {
    let id = container.record.id.clone();
    let known = observed.containers.get(&id)?;
    if !known.is_up() && !known.record.one_off {
        return None;
    }
    // It may have been asked to go while it ran.
    if known.record.auto_remove && !container.record.auto_remove {
        Arc::make_mut(&mut container.record).auto_remove = true;
    }
    let news = match &container.phase {
        Phase::Exited(exit) => {
            let record = &container.record;
            let restarts = is_restarted(&container, desired);
            if restarts {
                // A command that failed in the run that is over says nothing of the next.
                observed.failures.remove(&record.name);
            }
            Some(Ended {
                exit: exit.clone(),
                restarts,
            })
        }
        _ => None,
    };
    observed.containers.insert(id, container);
    news
}

/// Whether the restart policy of a container that has ended starts it again.
pub(super) fn is_restarted(container: &ObservedContainer, desired: &Desired) -> bool {
    let Phase::Exited(exit) = &container.phase else {
        return false;
    };
    let record = &container.record;
    let service = desired.services.get(&record.service);
    let policy = service.map(|service| &service.service.restart);
    !record.one_off
        && desired.run_of(record) == Some(Run::Running)
        && policy.is_some_and(|policy| policy_restarts(policy, exit, &container.status))
}

/// Notes that a person sends a signal to a container.
pub(super) fn signalled(container: &mut ObservedContainer, signal: i32, now: Timestamp) {
    use nix::libc::{SIGINT, SIGKILL, SIGQUIT, SIGTERM};
    let own = container.record.stop_signal;
    container.status.signalled = Some(Signalled {
        signal,
        at: now,
        ends: [SIGKILL, SIGTERM, SIGINT, SIGQUIT, own].contains(&signal),
    });
}

/// What a report of a container's health means.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Probed {
    /// The verdict, when it is another one now.
    pub(super) changed: Option<HealthStatus>,
    /// The program that is to run in it now (`on_unhealthy: exec`).
    pub(super) run: Option<Vec<String>>,
}

/// Takes in a container's health in the run that began at `started_at`. `None` when that run is over.
pub(super) fn probed(
    id: &str,
    (started_at, state): (Option<Timestamp>, HealthState),
    (desired, observed): (&Desired, &mut Observed),
    now: Timestamp,
) -> Option<Probed> {
    let container = observed.containers.get_mut(id)?;
    if !container.is_up() || container.started_at() != started_at {
        return None;
    }
    let before = container.health();
    container.status.health = Some(state);
    let after = container.health();
    let changed = after.filter(|_| before != after);
    match changed {
        Some(HealthStatus::Healthy) => container.status.ready_since = Some(now),
        Some(HealthStatus::Unhealthy) => container.status.unhealthy_at = Some(now),
        _ => {}
    }
    let asked = desired
        .services
        .get(&container.record.service)
        .filter(|_| desired.run_of(&container.record) == Some(Run::Running))
        .map(|service| &service.service.x_stack.on_unhealthy);
    let is_new = container.status.reacted_at != container.status.unhealthy_at;
    let run = match asked {
        Some(OnUnhealthy::Exec(words)) if after == Some(HealthStatus::Unhealthy) && is_new => {
            // Noted before it is done: it runs once at the most.
            container.status.reacted_at = container.status.unhealthy_at;
            Some(words.clone())
        }
        _ => None,
    };
    Some(Probed { changed, run })
}
