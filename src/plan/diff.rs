//! The comparison itself: which services, in which order, and what stops for good.
//!
//! [`resources`] has networks and volumes, [`volumes`] those that are made anew, [`sweep`] what nobody is
//! left to use, [`slots`] the replicas of a service, [`moves`] what restarts a container that is up to date.

mod moves;
mod resources;
mod slots;
mod sweep;
mod volumes;

pub use moves::{follows, namespace_owners};
pub(super) use slots::Subject;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::compose::model::ServiceName;

use super::desired::network_hash;
use super::replicas::{Replicas, Slot, owners, replicas};
use super::{
    After, AnonymousVolumes, ByHand, Cause, Desired, DesiredService, Observed, ObservedContainer,
    Op, Phase, Plan, Problem, Run, Step, Then, down,
};

/// Compares what is to be with what is.
///
/// Steps whose `after` is empty can be done at once and at the same time; the others will be ready
/// in a later plan. `now` decides only about restart back-off.
pub fn plan(desired: &Desired, observed: &Observed, now: Timestamp) -> Plan {
    if let Some(how) = &desired.down {
        return down::plan_down(how, &desired.project, observed);
    }
    let renewed = volumes::renewed_volumes(desired, observed);
    if renewed.is_empty() {
        return Planner::new(desired, observed, now).plan();
    }
    let rest = volumes::without_users(observed, &renewed);
    let mut planner = Planner::new(desired, &rest, now);
    planner.renew_volumes(observed, &renewed);
    planner.plan()
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
    pub(super) volumes: BTreeMap<String, usize>,
    /// Images by reference that are fetched by a step of this plan.
    pub(super) images: BTreeMap<String, usize>,
    /// Networks that must be made anew, by full name.
    changed_networks: BTreeSet<String>,
    /// Containers by id that a step of this plan stops.
    stopped: BTreeMap<&'a str, usize>,
    /// Services whose containers are replaced with those that they share something of.
    replaced_with_owner: BTreeSet<ServiceName>,
}

impl<'a> Planner<'a> {
    fn new(desired: &'a Desired, observed: &'a Observed, now: Timestamp) -> Self {
        Self {
            desired,
            observed,
            now,
            plan: Plan::default(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            images: BTreeMap::new(),
            changed_networks: changed_networks(desired, observed),
            stopped: BTreeMap::new(),
            replaced_with_owner: BTreeSet::new(),
        }
    }

    fn plan(mut self) -> Plan {
        let order = start_order(self.desired);
        self.stops(&order);
        self.needed_networks();
        self.needed_volumes();
        for name in &order {
            self.service(name);
        }
        self.sweep();
        self.plan
    }

    /// Containers that are to stop and stay so: dependents first.
    fn stops(&mut self, order: &[ServiceName]) {
        for container in self.observed.containers.values() {
            let record = &container.record;
            if self.desired.is_removed(container) {
                self.removal(container);
            } else if record.one_off {
                self.one_off(container);
            } else if !self.desired.services.contains_key(&record.service) {
                self.stop_and_remove(container, &Cause::Orphan, None);
            }
        }
        let mut stops: BTreeMap<&ServiceName, Vec<usize>> = BTreeMap::new();
        for name in order.iter().rev() {
            let (all, observed) = (self.desired, self.observed);
            let desired = &all.services[name];
            let after = dependents(name, all)
                .filter_map(|dependent| stops.get(dependent))
                .flatten()
                .map(|step| After::Step(*step))
                .collect::<Vec<_>>();
            for container in observed.of_service(name) {
                let asked = all.asked(desired, &container.record);
                if asked.run != Run::Stopped || !container.is_up() || all.is_removed(container) {
                    continue;
                }
                let then = (Then::StayDown, Cause::StopRequested);
                // Who stops one container asks nothing of those that depend on it.
                let after = match all.is_held(&container.record) {
                    true => Vec::new(),
                    false => after.clone(),
                };
                let step = self.stop_once(container, asked.timeout, then, after);
                stops.entry(name).or_default().push(step);
            }
            if desired.run != Run::Stopped {
                let cause = Cause::ScaledDown {
                    to: desired.replicas,
                };
                for container in replicas((name, desired), all, observed).surplus {
                    self.stop_and_remove(container, &cause, desired.timeout);
                }
            }
        }
    }

    /// A container that a command asked to go.
    fn removal(&mut self, container: &'a ObservedContainer) {
        let record = &container.record;
        let volumes = match self.desired.removals.get(&record.id) {
            Some(true) => AnonymousVolumes::Removed,
            _ => AnonymousVolumes::Kept,
        };
        let mut after = Vec::new();
        if container.is_up() {
            let own = self.desired.by_hand.get(&record.id);
            let timeout = own.and_then(|own| own.timeout);
            let then = (Then::StayDown, Cause::RemoveRequested);
            let stop = self.stop_once(container, timeout, then, Vec::new());
            after.push(After::Step(stop));
        }
        self.remove(container, &Cause::RemoveRequested, volumes, after);
    }

    fn one_off(&mut self, container: &'a ObservedContainer) {
        if let Some(cause) = self.one_off_end(container) {
            self.remove(container, &cause, AnonymousVolumes::Removed, Vec::new());
        } else if let Some(own) = self.desired.by_hand.get(&container.record.id) {
            self.one_off_by_hand(container, own);
        }
    }

    /// What a person asks of a container that `run` has made: it waits for nothing then.
    fn one_off_by_hand(&mut self, container: &'a ObservedContainer, own: &ByHand) {
        let is_older = |started: Option<Timestamp>| {
            let before = own.restart_before;
            before.is_some_and(|before| started.is_none_or(|started| started < before))
        };
        let cause = match (&container.phase, own.run) {
            (Phase::Running { .. } | Phase::Paused { .. }, Run::Stopped) => {
                let then = (Then::StayDown, Cause::StopRequested);
                self.stop_once(container, own.timeout, then, Vec::new());
                return;
            }
            (Phase::Running { started_at, .. } | Phase::Paused { started_at, .. }, _) => {
                if is_older(Some(*started_at)) {
                    let then = (Then::StartAgain, Cause::RestartRequested);
                    let stop = self.stop_once(container, own.timeout, then, Vec::new());
                    self.start_one_off(container, Cause::RestartRequested, Some(stop));
                }
                return;
            }
            (_, Run::Stopped | Run::Created) => return,
            (Phase::Created, Run::Running) => Cause::NotStarted,
            (Phase::Exited(exit), Run::Running)
                if is_older(exit.started_at.or(Some(exit.finished_at))) =>
            {
                Cause::RestartRequested
            }
            (Phase::Exited(exit), Run::Running) if exit.finished_at < own.since => {
                Cause::NotRunning(exit.clone())
            }
            (Phase::Exited(_), Run::Running) => return,
        };
        self.start_one_off(container, cause, None);
    }

    fn start_one_off(&mut self, container: &ObservedContainer, cause: Cause, after: Option<usize>) {
        let op = Op::StartContainer {
            id: Some(container.record.id.clone()),
            name: container.record.name.clone(),
            service: container.record.service.clone(),
        };
        let after = after.into_iter().map(After::Step).collect();
        self.plan.push(op, cause, after);
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

    fn service(&mut self, name: &ServiceName) {
        let desired = &self.desired.services[name];
        if !self.desired.is_wanted(name, desired) {
            return;
        }
        if let Some(problem) = self.missing_resource(name, &desired.service) {
            self.plan.problems.push(problem);
            return;
        }
        let Replicas { mut slots, .. } = replicas((name, desired), self.desired, self.observed);
        let runs = |slot: &Slot<'a>| match slot.current {
            Some(current) => self.desired.asked(desired, &current.record).run != Run::Stopped,
            None => desired.run != Run::Stopped,
        };
        slots.retain(runs);
        self.replace_with_owners((name, desired), &mut slots);
        self.replace(name, desired, &slots);
    }

    /// What shares something of containers that this plan replaces is replaced with them.
    fn replace_with_owners(
        &mut self,
        (name, desired): (&ServiceName, &DesiredService),
        slots: &mut [Slot<'a>],
    ) {
        // One after the other: when the last one has been made, what shares something is older than it.
        let waits = |step: &Step| matches!(step.after.first(), Some(After::Earlier { .. }));
        let is_replaced = |owner: &&ServiceName| {
            self.plan.steps.iter().any(|step| match &step.op {
                Op::CreateContainer {
                    service,
                    replaces: Some(_),
                    ..
                } => service == *owner && !waits(step),
                _ => false,
            })
        };
        let owner = owners(&desired.service).into_iter().find(is_replaced);
        let Some(owner) = owner.filter(|_| !desired.no_recreate && !desired.orphan) else {
            return;
        };
        for slot in slots {
            if let Some(current) = slot.current.take() {
                let cause = Cause::OwnerReplaced(owner.clone());
                slot.outdated.insert(0, (current, cause));
                self.replaced_with_owner.insert(name.clone());
            }
        }
    }

    /// Whether this plan replaces containers of a service because it replaces what they share.
    pub(super) fn is_replaced_with_owner(&self, service: &ServiceName) -> bool {
        self.replaced_with_owner.contains(service)
    }

    /// Whether the plan stops a container already.
    pub(super) fn has_stop(&self, container: &ObservedContainer) -> bool {
        self.stopped.contains_key(container.record.id.as_str())
    }

    /// A stop; the one that the plan has already, when another part of it needs the same.
    pub(super) fn stop_once(
        &mut self,
        container: &'a ObservedContainer,
        timeout: Option<Duration>,
        (then, cause): (Then, Cause),
        after: Vec<After>,
    ) -> usize {
        let id = container.record.id.as_str();
        if let Some(step) = self.stopped.get(id) {
            return *step;
        }
        let step = self
            .plan
            .push(stop_op(container, timeout, then), cause, after);
        self.stopped.insert(id, step);
        step
    }

    fn stop_and_remove(
        &mut self,
        container: &'a ObservedContainer,
        cause: &Cause,
        timeout: Option<Duration>,
    ) {
        let mut after = Vec::new();
        if container.is_up() {
            let then = match cause {
                Cause::ScaledDown { to: 1.. } => Then::GiveWay,
                _ => Then::StayDown,
            };
            let then = (then, cause.clone());
            after.push(After::Step(self.stop_once(
                container,
                timeout,
                then,
                Vec::new(),
            )));
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
