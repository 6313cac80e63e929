//! What is asked of one container: the same as of all containers of its service, unless a person has
//! asked something of it alone since (`container stop`, `start`, `restart`, `rm`).

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Desired, DesiredService, ObservedContainer, Run};
use crate::compose::model::ServiceName;
use crate::state::records::ContainerRecord;

/// What was asked of one container. It holds until the next command for its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// Its service.
    pub service: ServiceName,
    /// Whether it is to run.
    pub run: Run,
    /// When that was said.
    pub since: Timestamp,
    /// It is restarted when it was started before this.
    pub restart_before: Option<Timestamp>,
    /// Time that it is given to stop, when the command said one.
    pub timeout: Option<Duration>,
}

impl Desired {
    /// What is asked of a container of this service.
    pub fn asked<'d>(
        &self,
        service: &'d DesiredService,
        record: &ContainerRecord,
    ) -> Cow<'d, DesiredService> {
        let Some(own) = self.by_hand.get(&record.id) else {
            return Cow::Borrowed(service);
        };
        let mut asked = service.clone();
        asked.run = own.run;
        asked.since = asked.since.max(own.since);
        asked.restart_before = asked.restart_before.max(own.restart_before);
        asked.timeout = own.timeout.or(asked.timeout);
        // Who names a container means it, and no other (Docker's rule).
        asked.no_deps = true;
        Cow::Owned(asked)
    }

    /// Whether a container is to run; `None` when nobody has said so of a one-off container, or one
    /// of no service.
    pub fn run_of(&self, record: &ContainerRecord) -> Option<Run> {
        let own = self.by_hand.get(&record.id).map(|own| own.run);
        let service = self
            .services
            .get(&record.service)
            .map(|service| service.run);
        own.or(service.filter(|_| !record.one_off))
    }

    /// Whether a person has stopped this container alone.
    pub fn is_held(&self, record: &ContainerRecord) -> bool {
        let own = self.by_hand.get(&record.id);
        own.is_some_and(|own| own.run == Run::Stopped)
    }

    /// Whether a command asked for this container to go. One that runs again by now is left alone, unless
    /// it was to be ended first.
    pub(super) fn is_removed(&self, container: &ObservedContainer) -> bool {
        let record = &container.record;
        self.removals.contains_key(&record.id) && (!container.is_up() || self.is_held(record))
    }

    /// Whether containers of a service are to be there.
    pub(super) fn is_wanted(&self, name: &ServiceName, service: &DesiredService) -> bool {
        let alone = |own: &ByHand| own.service == *name && own.run != Run::Stopped;
        service.run != Run::Stopped && service.replicas > 0 || self.by_hand.values().any(alone)
    }

    /// From now on what is asked of these services holds for each of their containers.
    pub fn ask_all(&mut self, concerned: impl Fn(&ServiceName) -> bool) {
        self.by_hand.retain(|_, own| !concerned(&own.service));
    }

    /// A service has lost containers by a person's hand, and is not to have them made again.
    pub fn keep(&mut self, name: &ServiceName, left: u32) {
        if left == 0 {
            self.services.shift_remove(name);
        } else if let Some(service) = self.services.get_mut(name) {
            service.replicas = left;
        }
    }

    /// A container is gone.
    pub fn forget(&mut self, id: &str) {
        self.removals.remove(id);
        self.by_hand.remove(id);
    }

    /// Whether anything was asked of a container alone.
    pub fn knows(&self, id: &str) -> bool {
        self.removals.contains_key(id) || self.by_hand.contains_key(id)
    }
}
