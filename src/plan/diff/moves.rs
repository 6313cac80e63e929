//! What restarts a container that runs and is up to date, and what stops one before its dependency
//! is replaced.
//!
//! The rules, in the order in which they are looked at:
//!
//! 1. a command asked for a restart (`restart`, and those that depend on it with `restart: true`);
//! 2. a config or secret that it was given has another content, and that is how it is told
//!    (`x-stack.reload: restart`);
//! 3. its health check says so (`x-stack.on_unhealthy: restart`);
//! 4. it shares a namespace of a service whose program was started later than its own: it would
//!    live on in a namespace that nobody else is in;
//! 5. a dependency that it follows has a new container, which took the place of another
//!    (`restart: true`, or `x-stack.follow: [replaced]`);
//! 6. a dependency that it follows was started again (`x-stack.follow: [restarted]`) or turned
//!    unhealthy (`[unhealthy]`) while it ran.
//!
//! Each compares a time with the start of the container, so that a restart answers it for good.

use jiff::Timestamp;

use super::Planner;
use crate::compose::model::{Follow, OnUnhealthy, Reload, Service, ServiceName, ServiceNetwork};
use crate::plan::backoff::restart_delay;
use crate::plan::{Cause, DesiredService, ObservedContainer, Update};
use crate::state::records::HealthStatus;

/// A restart that something asks for.
pub(super) struct Move {
    pub(super) cause: Cause,
    /// Not before this time.
    pub(super) not_before: Option<Timestamp>,
}

impl Planner<'_> {
    /// Why a container that runs and is up to date is to be restarted; `None` = it is not.
    pub(super) fn move_of(
        &self,
        desired: &DesiredService,
        current: &ObservedContainer,
    ) -> Option<Move> {
        let started = current.started_at()?;
        if desired
            .restart_before
            .is_some_and(|before| started < before)
        {
            return Some(Move::now(Cause::RestartRequested));
        }
        if self.is_on_changed_network(current) {
            return None; // Stopped already, with the network.
        }
        self.content_move(desired, current)
            .or_else(|| self.unhealthy_move(desired, current))
            .or_else(|| self.owner_move(desired, started))
            .or_else(|| self.dependency_move(desired, started))
    }

    fn is_on_changed_network(&self, current: &ObservedContainer) -> bool {
        let networks = &current.record.networks;
        networks
            .iter()
            .any(|request| self.changed_networks.contains(&request.network))
    }

    /// Files whose programs are told by a restart: what is started finds the new contents.
    fn content_move(&self, desired: &DesiredService, current: &ObservedContainer) -> Option<Move> {
        let renewed = desired.renewed(current);
        let restarts = renewed
            .iter()
            .any(|(_, reload)| **reload == Reload::Restart);
        let names = renewed.iter().map(|(name, _)| (*name).clone()).collect();
        restarts.then(|| Move::now(Cause::ContentChanged(names)))
    }

    fn unhealthy_move(
        &self,
        desired: &DesiredService,
        current: &ObservedContainer,
    ) -> Option<Move> {
        let asked = desired.service.x_stack.on_unhealthy == OnUnhealthy::Restart;
        if !asked || current.health() != Some(HealthStatus::Unhealthy) {
            return None;
        }
        let delay = restart_delay(&desired.service.restart, current.status.streak);
        let due = current.status.unhealthy_at.map(|at| at + delay);
        Some(Move {
            cause: Cause::Unhealthy,
            not_before: due.filter(|due| *due > self.now),
        })
    }

    fn owner_move(&self, desired: &DesiredService, started: Timestamp) -> Option<Move> {
        namespace_owners(&desired.service)
            .into_iter()
            .find(|owner| self.started_after(owner, started))
            .map(|owner| Move::now(Cause::NamespaceOwnerRestarted(owner.clone())))
    }

    /// Whether a container of the service runs that was started later than this.
    pub(super) fn started_after(&self, service: &ServiceName, time: Timestamp) -> bool {
        self.observed.of_service(service).any(|container| {
            container.is_up() && container.started_at().is_some_and(|other| other > time)
        })
    }

    /// The same of a container that was there already, or that took the place of one that was: more
    /// replicas are no reason to restart anybody.
    fn started_again(&self, service: &ServiceName, time: Timestamp) -> bool {
        self.observed.of_service(service).any(|container| {
            let record = &container.record;
            container.is_up()
                && container.started_at().is_some_and(|other| other > time)
                && (record.created <= time || record.is_followed())
        })
    }

    fn dependency_move(&self, desired: &DesiredService, started: Timestamp) -> Option<Move> {
        desired.service.depends_on.keys().find_map(|name| {
            let follows = |what| follows(&desired.service, name, what);
            let cause = if follows(Follow::Replaced) && self.was_replaced(name, started) {
                Cause::DependencyRestarted(name.clone())
            } else if follows(Follow::Restarted) && self.started_again(name, started) {
                Cause::DependencyStartedAgain(name.clone())
            } else if follows(Follow::Unhealthy) && self.turned_unhealthy(name, started) {
                Cause::DependencyUnhealthy(name.clone())
            } else {
                return None;
            };
            Some(Move::now(cause))
        })
    }

    /// Whether one of a service's containers took the place of another later than this. More replicas
    /// of it are no reason to restart anybody; whom a `restart` takes along is the command's matter.
    fn was_replaced(&self, name: &ServiceName, started: Timestamp) -> bool {
        // Once, when the last replica has been replaced, and not for each.
        let updates = self.desired.updates.get(name);
        let underway = updates.is_some_and(Update::is_underway);
        !underway
            && self.observed.of_service(name).any(|container| {
                container.record.is_followed()
                    && container.record.created > started
                    && container.started_at().is_some()
            })
    }

    fn turned_unhealthy(&self, name: &ServiceName, started: Timestamp) -> bool {
        self.observed.of_service(name).any(|container| {
            let status = &container.status;
            status.unhealthy_at.is_some_and(|at| at > started)
        })
    }
}

impl Move {
    fn now(cause: Cause) -> Self {
        Self {
            cause,
            not_before: None,
        }
    }
}

/// Whether a service follows a dependency when this happens to it.
pub fn follows(service: &Service, dependency: &ServiceName, what: Follow) -> bool {
    let edge = service.depends_on.get(dependency);
    let by_compose = what == Follow::Replaced && edge.is_some_and(|edge| edge.restart);
    let own = service.x_stack.follow.get(dependency);
    by_compose || own.is_some_and(|events| events.contains(&what))
}

/// Services whose namespaces a service shares: what starts later has other namespaces.
pub fn namespace_owners(service: &Service) -> Vec<&ServiceName> {
    let network = match &service.network {
        ServiceNetwork::Service(owner) => Some(owner.as_str()),
        _ => None,
    };
    let of_service = |text: &'_ Option<String>| -> Option<String> {
        text.as_deref()
            .and_then(|text| text.strip_prefix("service:"))
            .map(str::to_owned)
    };
    let others = [
        of_service(&service.pid),
        of_service(&service.ipc),
        of_service(&service.uts),
    ];
    service
        .depends_on
        .keys()
        .filter(|name| {
            network == Some(name.as_str())
                || others.iter().flatten().any(|other| other == name.as_str())
        })
        .collect()
}
