//! The comparison itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::compose::model::{
    MountSource, NetworkKey, RestartPolicy, Service, ServiceName, ServiceNetwork, VolumeKey,
};

use super::dependency::{dependency_state, not_found, optional, policy_restarts};
use super::desired::network_hash;
use super::replicas::{Replicas, replicas};
use super::{
    After, AnonymousVolumes, Cause, DependencyState, Desired, DesiredService, Exit, Observed,
    ObservedContainer, Op, Phase, Plan, Problem, Run, Step, Then, Update, down,
};

/// Compares what is to be with what is.
///
/// Steps whose `after` is empty can be done at once and at the same time; the others will be ready
/// in a later plan. `now` decides only about restart back-off.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    if let Some(how) = &desired.down {
        return down::plan_down(how, &desired.project, observed);
    }
    let mut planner = Planner {
        desired,
        observed,
        now,
        plan: Plan::default(),
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        images: BTreeMap::new(),
        changed_networks: changed_networks(desired, observed),
    };
    let order = start_order(desired);
    planner.stops(&order);
    planner.needed_networks();
    planner.needed_volumes();
    for name in &order {
        planner.service(name);
    }
    planner.plan
}

/// Services with dependencies before dependents. The loader has refused cycles; should one get
/// here all the same, the services on it come in the order of the file.
fn start_order(desired: &Desired) -> Vec<ServiceName> {
    fn visit(
        name: &ServiceName,
        desired: &Desired,
        seen: &mut BTreeSet<ServiceName>,
        order: &mut Vec<ServiceName>,
    ) {
        let Some(service) = desired.services.get(name) else {
            return;
        };
        if !seen.insert(name.clone()) {
            return;
        }
        for dependency in service.service.depends_on.keys() {
            visit(dependency, desired, seen, order);
        }
        order.push(name.clone());
    }
    let mut seen = BTreeSet::new();
    let mut order = Vec::with_capacity(desired.services.len());
    for name in desired.services.keys() {
        visit(name, desired, &mut seen, &mut order);
    }
    order
}

/// Own networks that exist with another configuration.
fn changed_networks(desired: &Desired, observed: &Observed) -> BTreeSet<String> {
    desired
        .networks
        .values()
        .filter(|network| !network.external)
        .filter(|network| {
            observed.networks.get(&network.name).is_some_and(|found| {
                found.project == desired.project && found.config_hash != network_hash(network)
            })
        })
        .map(|network| network.name.clone())
        .collect()
}

pub(super) struct Planner<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) plan: Plan,
    /// Networks by full name that are made by a step of this plan.
    networks: BTreeMap<String, usize>,
    /// Volumes by full name that are made by a step of this plan.
    volumes: BTreeMap<String, usize>,
    /// Images by reference that are fetched by a step of this plan.
    pub(super) images: BTreeMap<String, usize>,
    /// Networks that must be made anew, by full name.
    changed_networks: BTreeSet<String>,
}

impl<'a> Planner<'a> {
    /// Containers that are to stop and stay so: dependents first.
    fn stops(&mut self, order: &[ServiceName]) {
        for container in self.observed.containers.values() {
            let record = &container.record;
            if self.is_removed(container) {
                self.removal(container);
            } else if record.one_off {
                if let Some(cause) = self.one_off_end(container) {
                    self.remove(container, &cause, AnonymousVolumes::Removed, Vec::new());
                }
            } else if !self.desired.services.contains_key(&record.service) {
                self.stop_and_remove(container, &Cause::Orphan, None);
            }
        }
        let mut stops: BTreeMap<&ServiceName, Vec<usize>> = BTreeMap::new();
        for name in order.iter().rev() {
            let desired = &self.desired.services[name];
            if desired.run == Run::Stopped {
                let after = dependents(name, self.desired)
                    .filter_map(|dependent| stops.get(dependent))
                    .flatten()
                    .map(|step| After::Step(*step))
                    .collect::<Vec<_>>();
                for container in self
                    .observed
                    .of_service(name)
                    .filter(|container| container.is_up())
                {
                    let op = stop_op(container, desired.timeout, Then::StayDown);
                    let step = self.plan.push(op, Cause::StopRequested, after.clone());
                    stops.entry(name).or_default().push(step);
                }
            } else {
                let surplus = replicas(name, desired, self.observed).surplus;
                for container in surplus {
                    if self.is_removed(container) {
                        continue;
                    }
                    self.stop_and_remove(
                        container,
                        &Cause::ScaledDown {
                            to: desired.replicas,
                        },
                        desired.timeout,
                    );
                }
            }
        }
    }

    /// Whether a command asked for this container to go. One that runs again by now is left alone.
    fn is_removed(&self, container: &ObservedContainer) -> bool {
        !container.is_up() && self.desired.removals.contains_key(&container.record.id)
    }

    fn removal(&mut self, container: &ObservedContainer) {
        let volumes = match self.desired.removals.get(&container.record.id) {
            Some(true) => AnonymousVolumes::Removed,
            _ => AnonymousVolumes::Kept,
        };
        self.remove(container, &Cause::RemoveRequested, volumes, Vec::new());
    }

    /// Why a one-off container goes, when it does.
    fn one_off_end(&self, container: &ObservedContainer) -> Option<Cause> {
        let Phase::Exited(exit) = &container.phase else {
            return None;
        };
        let cleared = self
            .desired
            .clear_one_offs_before
            .is_some_and(|before| exit.finished_at < before);
        match container.record.auto_remove {
            true => Some(Cause::OneOffEnded),
            false => cleared.then_some(Cause::Orphan),
        }
    }

    fn needed_networks(&mut self) {
        let mut needed: BTreeSet<&NetworkKey> = BTreeSet::new();
        for service in self.wanted() {
            if let ServiceNetwork::Networks(networks) = &service.network {
                needed.extend(networks.keys());
            }
        }
        for key in needed {
            let Some(network) = self.desired.networks.get(key) else {
                continue;
            };
            if network.external {
                continue;
            }
            let create = Op::CreateNetwork {
                key: key.clone(),
                name: network.name.clone(),
            };
            if self.changed_networks.contains(&network.name) {
                let stops = self.stop_everything_on(&network.name);
                let remove = Op::RemoveNetwork {
                    name: network.name.clone(),
                };
                let cause = Cause::ConfigChanged(Vec::new());
                let removed = self.plan.push(remove, cause.clone(), stops);
                let made = self.plan.push(create, cause, vec![After::Step(removed)]);
                self.networks.insert(network.name.clone(), made);
            } else if !self.observed.networks.contains_key(&network.name) {
                let made = self.plan.push(create, Cause::Missing, Vec::new());
                self.networks.insert(network.name.clone(), made);
            }
        }
    }

    /// Stops for all containers on a network, to be started again.
    fn stop_everything_on(&mut self, network: &str) -> Vec<After> {
        let cause = Cause::NetworkChanged(network.to_owned());
        let on_it = |container: &&ObservedContainer| {
            container.is_up()
                && container
                    .record
                    .networks
                    .iter()
                    .any(|request| request.network == network)
        };
        let mut stops = Vec::new();
        for container in self.observed.containers.values().filter(on_it) {
            let timeout = self
                .desired
                .services
                .get(&container.record.service)
                .and_then(|desired| desired.timeout);
            let step = self.plan.push(
                stop_op(container, timeout, Then::StartAgain),
                cause.clone(),
                Vec::new(),
            );
            stops.push(After::Step(step));
        }
        stops
    }

    fn needed_volumes(&mut self) {
        let mut needed: BTreeSet<&VolumeKey> = BTreeSet::new();
        for service in self.wanted() {
            for mount in &service.volumes {
                if let MountSource::Volume { volume, .. } = &mount.source {
                    needed.insert(volume);
                }
            }
        }
        for key in needed {
            let Some(volume) = self.desired.volumes.get(key) else {
                continue;
            };
            if !volume.external && !self.observed.volumes.contains_key(&volume.name) {
                let op = Op::CreateVolume {
                    key: key.clone(),
                    name: volume.name.clone(),
                };
                let step = self.plan.push(op, Cause::Missing, Vec::new());
                self.volumes.insert(volume.name.clone(), step);
            }
        }
    }

    /// The models of all that is to run.
    fn wanted(&self) -> impl Iterator<Item = &'a Service> + use<'a> {
        let desired: &'a Desired = self.desired;
        desired
            .services
            .values()
            .filter(|service| service.run != Run::Stopped && service.replicas > 0)
            .map(|service| &service.service)
            .chain(&desired.one_offs)
    }

    fn service(&mut self, name: &ServiceName) {
        let desired = &self.desired.services[name];
        if desired.run == Run::Stopped || desired.replicas == 0 {
            return;
        }
        if let Some(problem) = self.missing_resource(name, &desired.service) {
            self.plan.problems.push(problem);
            return;
        }
        let Replicas { slots, .. } = replicas(name, desired, self.observed);
        self.replace(name, desired, &slots);
    }

    /// An external network or volume that is not there.
    fn missing_resource(&self, name: &ServiceName, service: &Service) -> Option<Problem> {
        let networks = match &service.network {
            ServiceNetwork::Networks(networks) => networks.keys().collect(),
            _ => Vec::new(),
        };
        let network = networks
            .into_iter()
            .filter_map(|key| self.desired.networks.get(key))
            .find(|network| network.external && !self.observed.networks.contains_key(&network.name))
            .map(|network| not_found("network", &network.name));
        let volume = || {
            service
                .volumes
                .iter()
                .filter_map(|mount| match &mount.source {
                    MountSource::Volume { volume, .. } => self.desired.volumes.get(volume),
                    _ => None,
                })
                .find(|volume| volume.external && !self.observed.volumes.contains_key(&volume.name))
                .map(|volume| not_found("volume", &volume.name))
        };
        network.or_else(volume).map(|message| Problem {
            service: name.clone(),
            message,
            fatal: true,
        })
    }

    /// A container that is up to date and up: restart it if something says so.
    pub(super) fn keep_running(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        current: &ObservedContainer,
    ) {
        let Some(cause) = self.restart_cause(desired, current) else {
            return;
        };
        let op = stop_op(current, desired.timeout, Then::StartAgain);
        let stopped = self.plan.push(op, cause.clone(), Vec::new());
        let subject = Subject::of(current);
        self.start(name, desired, subject, (cause, vec![After::Step(stopped)]));
    }

    fn restart_cause(
        &self,
        desired: &DesiredService,
        current: &ObservedContainer,
    ) -> Option<Cause> {
        let started = current.started_at()?;
        if desired
            .restart_before
            .is_some_and(|before| started < before)
        {
            return Some(Cause::RestartRequested);
        }
        if current
            .record
            .networks
            .iter()
            .any(|request| self.changed_networks.contains(&request.network))
        {
            return None; // Stopped already, with the network.
        }
        for owner in namespace_owners(&desired.service) {
            let newer = self.observed.of_service(owner).any(|container| {
                container.is_up()
                    && container
                        .started_at()
                        .is_some_and(|owner_started| owner_started > started)
            });
            if newer {
                return Some(Cause::NamespaceOwnerRestarted(owner.clone()));
            }
        }
        desired
            .service
            .depends_on
            .iter()
            .filter(|(_, edge)| edge.restart)
            .find_map(|(name, _)| {
                let new = |container: &ObservedContainer| {
                    container.record.created > started && container.started_at().is_some()
                };
                // Once, when the last replica has been replaced, and not for each.
                let replaced = !self
                    .desired
                    .updates
                    .get(name)
                    .is_some_and(Update::is_underway)
                    && self.observed.of_service(name).any(new);
                let restarted = self
                    .desired
                    .services
                    .get(name)
                    .and_then(|dependency| dependency.restart_before)
                    .is_some_and(|before| before > started);
                (replaced || restarted).then(|| Cause::DependencyRestarted(name.clone()))
            })
    }

    /// A container that is up to date and not up.
    pub(super) fn start_again(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        current: &ObservedContainer,
        after: Vec<After>,
    ) {
        let subject = Subject::of(current);
        let Phase::Exited(exit) = &current.phase else {
            return self.start(name, desired, subject, (Cause::NotStarted, after));
        };
        let asked = current.status.interrupted
            || desired
                .restart_before
                .is_some_and(|before| exit.started_at.is_none_or(|started| started < before));
        if asked {
            return self.start(name, desired, subject, (Cause::RestartRequested, after));
        }
        if exit.finished_at < desired.since {
            return self.start(
                name,
                desired,
                subject,
                (Cause::NotRunning(exit.clone()), after),
            );
        }
        if let Some(error) = &exit.error {
            return self.problem(
                name,
                format!("container {} could not be started: {error}", subject.name),
            );
        }
        if policy_restarts(&desired.service.restart, exit, current.status.restart_count) {
            self.restart_by_policy(name, desired, current, (exit, after));
        }
    }

    fn restart_by_policy(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        current: &ObservedContainer,
        (exit, after): (&Exit, Vec<After>),
    ) {
        let policy = &desired.service.restart;
        let delay = restart_delay(policy, current.status.streak);
        let due = exit.finished_at + delay;
        self.plan.steps.push(Step {
            op: Subject::of(current).start(name),
            cause: Cause::Restart {
                policy: policy_text(policy),
                exit: exit.clone(),
                attempt: current.status.restart_count + 1,
                delay,
            },
            after,
            not_before: (due > self.now).then_some(due),
        });
    }

    /// A start, once the resources and dependencies are there.
    pub(super) fn start(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        subject: Subject,
        (cause, mut after): (Cause, Vec<After>),
    ) {
        if let ServiceNetwork::Networks(networks) = &desired.service.network {
            let made = networks
                .keys()
                .filter_map(|key| self.desired.networks.get(key))
                .filter_map(|network| self.networks.get(&network.name));
            after.extend(made.map(|step| After::Step(*step)));
        }
        for mount in &desired.service.volumes {
            if let MountSource::Volume { volume, .. } = &mount.source {
                let made = self
                    .desired
                    .volumes
                    .get(volume)
                    .and_then(|volume| self.volumes.get(&volume.name));
                after.extend(made.map(|step| After::Step(*step)));
            }
        }
        if !desired.no_deps {
            match self.gates(name, desired) {
                Some(gates) => after.extend(gates),
                None => return,
            }
        }
        let op = subject.start(name);
        self.plan.push(op, cause, after);
    }

    /// The conditions that are not met yet; `None` when one cannot be met.
    fn gates(&mut self, name: &ServiceName, desired: &DesiredService) -> Option<Vec<After>> {
        let mut gates = Vec::new();
        for (dependency, edge) in &desired.service.depends_on {
            let absent = !self.desired.services.contains_key(dependency);
            if absent && !edge.required {
                continue;
            }
            let mut state =
                dependency_state(dependency, edge.condition, self.desired, self.observed);
            if let (DependencyState::Pending, Some(problem)) = (&state, self.problem_of(dependency))
            {
                state = DependencyState::Failed(problem.message.clone());
            }
            match state {
                DependencyState::Met => {}
                DependencyState::Pending => gates.push(After::Condition {
                    service: dependency.clone(),
                    condition: edge.condition,
                }),
                DependencyState::Failed(reason) => {
                    let message = match edge.required {
                        true => reason,
                        false => optional(dependency, &reason),
                    };
                    self.plan.problems.push(Problem {
                        service: name.clone(),
                        message,
                        fatal: edge.required,
                    });
                    if edge.required {
                        return None;
                    }
                }
            }
        }
        Some(gates)
    }

    fn stop_and_remove(
        &mut self,
        container: &ObservedContainer,
        cause: &Cause,
        timeout: Option<Duration>,
    ) {
        let mut after = Vec::new();
        if container.is_up() {
            let then = match cause {
                Cause::ScaledDown { to: 1.. } => Then::GiveWay,
                _ => Then::StayDown,
            };
            let op = stop_op(container, timeout, then);
            after.push(After::Step(self.plan.push(op, cause.clone(), Vec::new())));
        }
        self.remove(container, cause, AnonymousVolumes::Removed, after);
    }

    pub(super) fn remove(
        &mut self,
        container: &ObservedContainer,
        cause: &Cause,
        volumes: AnonymousVolumes,
        after: Vec<After>,
    ) -> usize {
        let op = Op::RemoveContainer {
            id: container.record.id.clone(),
            name: container.record.name.clone(),
            volumes,
        };
        self.plan.push(op, cause.clone(), after)
    }

    /// What keeps a service from running. Dependencies are planned before their dependents.
    fn problem_of(&self, service: &ServiceName) -> Option<&Problem> {
        self.plan
            .problems
            .iter()
            .find(|problem| problem.fatal && problem.service == *service)
    }

    pub(super) fn problem(&mut self, service: &ServiceName, message: String) {
        self.plan.problems.push(Problem {
            service: service.clone(),
            message,
            fatal: true,
        });
    }
}

/// A container that is to be started, whether or not it exists yet.
pub(super) struct Subject {
    pub(super) id: Option<String>,
    pub(super) name: String,
}

impl Subject {
    fn of(container: &ObservedContainer) -> Self {
        Self {
            id: Some(container.record.id.clone()),
            name: container.record.name.clone(),
        }
    }

    fn start(self, service: &ServiceName) -> Op {
        Op::StartContainer {
            id: self.id,
            name: self.name,
            service: service.clone(),
        }
    }
}

pub(super) fn stop_op(container: &ObservedContainer, timeout: Option<Duration>, then: Then) -> Op {
    Op::StopContainer {
        id: container.record.id.clone(),
        name: container.record.name.clone(),
        timeout,
        then,
    }
}

fn dependents<'a>(
    name: &'a ServiceName,
    desired: &'a Desired,
) -> impl Iterator<Item = &'a ServiceName> {
    desired
        .services
        .iter()
        .filter(move |(_, service)| service.service.depends_on.contains_key(name))
        .map(|(dependent, _)| dependent)
}

/// Services whose namespaces a service shares: a new container of theirs has new namespaces.
fn namespace_owners(service: &Service) -> Vec<&ServiceName> {
    let network = match &service.network {
        ServiceNetwork::Service(owner) => Some(owner.as_str()),
        _ => None,
    };
    let of_service = |text: &'_ Option<String>| -> Option<String> {
        text.as_deref()
            .and_then(|text| text.strip_prefix("service:"))
            .map(str::to_owned)
    };
    let others = [of_service(&service.pid), of_service(&service.ipc)];
    service
        .depends_on
        .keys()
        .filter(|name| {
            network == Some(name.as_str())
                || others.iter().flatten().any(|other| other == name.as_str())
        })
        .collect()
}

/// Time before a restart: 100 ms, doubled at each that ended soon, at most a minute (Docker's
/// values); or what `deploy.restart_policy.delay` says.
pub(super) fn restart_delay(policy: &RestartPolicy, streak: u32) -> Duration {
    if let RestartPolicy::OnFailure {
        delay: Some(delay), ..
    } = policy
    {
        return *delay;
    }
    let doubled = 100_u64.saturating_mul(1_u64 << streak.min(20));
    Duration::from_millis(doubled.min(60_000))
}

fn policy_text(policy: &RestartPolicy) -> String {
    match policy {
        RestartPolicy::No => "no".to_owned(),
        RestartPolicy::Always => "always".to_owned(),
        RestartPolicy::UnlessStopped => "unless-stopped".to_owned(),
        RestartPolicy::OnFailure {
            max_attempts: None, ..
        } => "on-failure".to_owned(),
        RestartPolicy::OnFailure {
            max_attempts: Some(most),
            ..
        } => format!("on-failure:{most}"),
    }
}
