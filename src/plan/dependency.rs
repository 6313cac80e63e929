//! Whether a dependency is as its dependents want it.

use crate::compose::model::{Condition, MountSource, Service, ServiceName, ServiceNetwork};
use crate::state::records::HealthStatus;

use super::backoff::policy_restarts;
use super::replicas::{Slot, replicas};
use super::{Desired, DesiredService, Exit, Observed, ObservedContainer, Phase, Plan, Run};

/// Whether a dependency is as its dependents want it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencyState {
    /// It is.
    Met,
    /// It may become so.
    Pending,
    /// It will not become so by itself: why.
    Failed(String),
}

/// Judges one dependency. A failure is a whole sentence, in Docker Compose's words.
pub(crate) fn dependency_state(
    name: &ServiceName,
    condition: Condition,
    desired: &Desired,
    observed: &Observed,
) -> DependencyState {
    match service_state(name, condition, desired, observed) {
        DependencyState::Failed(reason) if condition == Condition::ServiceCompletedSuccessfully => {
            DependencyState::Failed(format!("service \"{name}\" {reason}"))
        }
        DependencyState::Failed(reason) => {
            DependencyState::Failed(format!("dependency failed to start: {reason}"))
        }
        state => state,
    }
}

/// What is said of a dependency that failed and that its dependent can do without.
pub(super) fn optional(name: &ServiceName, message: &str) -> String {
    let service = format!("service \"{name}\" ");
    match message.strip_prefix(&service) {
        Some(rest) => format!("optional dependency \"{name}\" {rest}"),
        None => {
            let reason = message.trim_start_matches("dependency failed to start: ");
            format!("optional dependency \"{name}\" failed to start: {reason}")
        }
    }
}

fn service_state(
    name: &ServiceName,
    condition: Condition,
    desired: &Desired,
    observed: &Observed,
) -> DependencyState {
    let Some(dependency) = desired.services.get(name) else {
        return DependencyState::Failed(format!("service {name} has not been brought up"));
    };
    let mut slots = replicas((name, dependency), desired, observed).slots;
    // For what a person has stopped alone the others of its service stand in.
    let stands = |slot: &Slot<'_>| match slot.current {
        Some(container) => desired.asked(dependency, &container.record).run != Run::Stopped,
        None => true,
    };
    if slots.iter().any(stands) {
        slots.retain(stands);
    }
    if slots.is_empty() {
        return match dependency.run {
            Run::Stopped => DependencyState::Failed(format!("service {name} is stopped")),
            _ => DependencyState::Met,
        };
    }
    let mut verdict = DependencyState::Met;
    for slot in slots {
        let failure = match slot.current {
            Some(container) => observed.failures.get(&container.record.name),
            None => observed
                .failures
                .get(&replica_name(desired, name, slot.number)),
        };
        let failure = failure.filter(|failure| failure.at >= dependency.since);
        let state = match (failure, slot.current) {
            // It may run all the same: what was to follow its start failed.
            (Some(failure), _) => DependencyState::Failed(failure.message.clone()),
            (None, Some(container)) => {
                let asked = desired.asked(dependency, &container.record);
                replica_state(container, &asked, condition)
            }
            (None, None) => DependencyState::Pending,
        };
        match state {
            DependencyState::Failed(_) => return state,
            DependencyState::Pending => verdict = DependencyState::Pending,
            DependencyState::Met => {}
        }
    }
    verdict
}

/// Judges a service whose namespaces another one shares: they are only there while it runs.
pub(super) fn owner_state(
    name: &ServiceName,
    desired: &Desired,
    observed: &Observed,
) -> DependencyState {
    let service = desired.services.get(name);
    let stays = |container: &&ObservedContainer| {
        let asked = service.map(|service| desired.asked(service, &container.record));
        let goes = |asked: &DesiredService| is_to_restart(container, asked);
        container.is_up()
            && !desired.is_held(&container.record)
            && !asked.is_some_and(|asked| goes(&asked))
    };
    if observed.of_service(name).find(stays).is_some() {
        return DependencyState::Met;
    }
    let Some(service) = service else {
        return DependencyState::Failed(format!("service {name} has not been brought up"));
    };
    let slots = replicas((name, service), desired, observed).slots;
    let will_run = slots.iter().any(|slot| match slot.current {
        Some(container) => {
            let asked = desired.asked(service, &container.record);
            asked.run == Run::Running
                && match &container.phase {
                    Phase::Exited(exit) => starts_again(container, exit, &asked),
                    _ => true,
                }
        }
        None => {
            let name = replica_name(desired, name, slot.number);
            let failure = observed.failures.get(&name);
            service.run == Run::Running && failure.is_none_or(|failure| failure.at < service.since)
        }
    });
    match will_run {
        true => DependencyState::Pending,
        false if service.run != Run::Running || service.replicas == 0 => {
            DependencyState::Failed(format!("service {name} is stopped"))
        }
        false => DependencyState::Failed(format!("service {name} does not run")),
    }
}

/// Judges all that a one-off container of a service needs: its networks, volumes and dependencies.
/// `plan` is the plan that is left.
pub fn readiness(
    service: &Service,
    plan: &Plan,
    (desired, observed): (&Desired, &Observed),
) -> DependencyState {
    let mut verdict = DependencyState::Met;
    for resource in missing_resources(service, (desired, observed)) {
        if let Some(failure) = observed.failures.get(resource.name) {
            return DependencyState::Failed(failure.message.clone());
        }
        if resource.external {
            let Resource { kind, name, .. } = resource;
            return DependencyState::Failed(missing_external(kind, name));
        }
        verdict = DependencyState::Pending;
    }
    for (dependency, edge) in &service.depends_on {
        let mut state = dependency_state(dependency, edge.condition, desired, observed);
        let problem = plan
            .problems
            .iter()
            .find(|problem| problem.fatal && &problem.service == dependency);
        if let (DependencyState::Pending, Some(problem)) = (&state, problem) {
            state = DependencyState::Failed(problem.message.clone());
        }
        match state {
            DependencyState::Failed(_) if edge.required => return state,
            DependencyState::Pending => verdict = DependencyState::Pending,
            DependencyState::Met | DependencyState::Failed(_) => {}
        }
    }
    verdict
}

/// What is said of an external network or volume that is not there, in Docker Compose's words.
pub(super) fn missing_external(kind: &str, name: &str) -> String {
    let what = match kind {
        "volume" => format!("external volume {name:?} not found"),
        kind => format!("{kind} {name} declared as external, but could not be found"),
    };
    format!("{what}; make it with `stack {kind} create {name}`")
}

/// A network or volume.
struct Resource<'a> {
    kind: &'static str,
    name: &'a str,
    external: bool,
}

/// Networks and volumes of a service that are not there.
fn missing_resources<'a>(
    service: &Service,
    (desired, observed): (&'a Desired, &Observed),
) -> Vec<Resource<'a>> {
    let mut missing = Vec::new();
    if let ServiceNetwork::Networks(networks) = &service.network {
        let models = networks.keys().filter_map(|key| desired.networks.get(key));
        let absent = models.filter(|network| !observed.networks.contains_key(&network.name));
        missing.extend(absent.map(|network| Resource {
            kind: "network",
            name: &network.name,
            external: network.external,
        }));
    }
    for mount in &service.volumes {
        if let MountSource::Volume { volume, .. } = &mount.source
            && let Some(volume) = desired.volumes.get(volume)
            && !observed.volumes.contains_key(&volume.name)
        {
            missing.push(Resource {
                kind: "volume",
                name: &volume.name,
                external: volume.external,
            });
        }
    }
    missing
}

fn replica_name(desired: &Desired, name: &ServiceName, number: u32) -> String {
    desired.container_name(name, &desired.services[name].service, number)
}

fn replica_state(
    container: &ObservedContainer,
    dependency: &DesiredService,
    condition: Condition,
) -> DependencyState {
    let name = &container.record.name;
    match &container.phase {
        Phase::Created if dependency.run == Run::Stopped => {
            DependencyState::Failed(format!("container {name} is stopped"))
        }
        Phase::Created => DependencyState::Pending,
        Phase::Running { .. } | Phase::Paused { .. } if is_to_restart(container, dependency) => {
            DependencyState::Pending
        }
        Phase::Running { .. } | Phase::Paused { .. } => running_state(container, condition),
        Phase::Exited(exit) => exited_state(container, exit, dependency, condition),
    }
}

/// It runs, but is about to be stopped and started again: what starts now would lose it, and what
/// shares its namespaces would find none.
fn is_to_restart(container: &ObservedContainer, dependency: &DesiredService) -> bool {
    let started = container.started_at();
    dependency
        .restart_before
        .is_some_and(|before| started.is_some_and(|started| started < before))
}

fn running_state(container: &ObservedContainer, condition: Condition) -> DependencyState {
    let name = &container.record.name;
    match (condition, container.health()) {
        (Condition::ServiceStarted, _)
        | (Condition::ServiceHealthy, Some(HealthStatus::Healthy)) => DependencyState::Met,
        (Condition::ServiceCompletedSuccessfully, _)
        | (Condition::ServiceHealthy, Some(HealthStatus::Starting)) => DependencyState::Pending,
        (Condition::ServiceHealthy, Some(HealthStatus::Unhealthy)) => {
            DependencyState::Failed(format!("container {name} is unhealthy"))
        }
        (Condition::ServiceHealthy, None) => {
            DependencyState::Failed(format!("container {name} has no healthcheck configured"))
        }
    }
}

fn exited_state(
    container: &ObservedContainer,
    exit: &Exit,
    dependency: &DesiredService,
    condition: Condition,
) -> DependencyState {
    let name = &container.record.name;
    if is_asked_for(container, exit, dependency) {
        return DependencyState::Pending;
    }
    if dependency.run == Run::Stopped {
        return DependencyState::Failed(format!("container {name} is stopped"));
    }
    let restarts = starts_again(container, exit, dependency);
    let runs = exit.error.is_none();
    match condition {
        Condition::ServiceStarted if restarts => DependencyState::Pending,
        Condition::ServiceStarted if runs => DependencyState::Met,
        Condition::ServiceCompletedSuccessfully if exit.code == 0 && runs => DependencyState::Met,
        Condition::ServiceHealthy if restarts && !gives_up(container) => DependencyState::Pending,
        Condition::ServiceHealthy if restarts => DependencyState::Failed(format!(
            "container {name} is unhealthy: it {exit}, and again after {} restarts",
            container.status.restart_count
        )),
        Condition::ServiceCompletedSuccessfully if restarts => DependencyState::Pending,
        Condition::ServiceCompletedSuccessfully if runs => {
            DependencyState::Failed(format!("didn't complete successfully: exit {}", exit.code))
        }
        Condition::ServiceCompletedSuccessfully => {
            DependencyState::Failed(format!("didn't complete successfully: it {exit}"))
        }
        _ => DependencyState::Failed(format!("container {name} {exit}")),
    }
}

/// Whether nobody should wait any longer for the health of a program that ends again and again: an
/// end is a probe that failed, and a health check says how many of those it takes. (In Docker the
/// first end makes a container unhealthy.)
fn gives_up(container: &ObservedContainer) -> bool {
    let retries = container
        .record
        .health
        .as_ref()
        .map_or(1, |health| health.retries);
    container.status.restart_count.saturating_add(1) >= retries
}

/// Whether an ended container of a service that is to run will be started again.
pub(super) fn starts_again(
    container: &ObservedContainer,
    exit: &Exit,
    desired: &DesiredService,
) -> bool {
    is_asked_for(container, exit, desired)
        || desired.run == Run::Running
            && policy_restarts(&desired.service.restart, exit, &container.status)
}

/// Whether a command wants it started again, whatever its policy.
fn is_asked_for(container: &ObservedContainer, exit: &Exit, desired: &DesiredService) -> bool {
    desired.run == Run::Running
        && (container.status.interrupted
            || exit.finished_at < desired.since
            || desired
                .restart_before
                .is_some_and(|before| exit.started_at.is_none_or(|started| started < before)))
}
