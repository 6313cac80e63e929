//! An edit of the stack file that is followed: what of the desired state it touches. Pure.
//!
//! It is an `up` with the flags of the first one, but for what a person did meanwhile, which stays: a
//! service that was stopped stays stopped, one that was scaled keeps its replicas unless the edit says
//! another number, and a job that is done is not done again because another service has changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Up;
use crate::compose::model::{ServiceName, Stack};
use crate::plan::{Desired, DesiredService, contents, service_hash};

/// An edit of a stack file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Edit {
    /// What the stack is now, and how it is brought up.
    pub up: Up,
    /// The services that the edit is about.
    pub touched: Vec<ServiceName>,
}

/// The services that an edit is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// Those that the file did not have, or that were not brought up.
    pub added: Vec<ServiceName>,
    /// Those whose containers are out of date.
    pub changed: Vec<ServiceName>,
    /// Those whose image is built in another way.
    pub rebuilt: Vec<ServiceName>,
    /// Those that the file does not have any more.
    pub removed: Vec<ServiceName>,
}

impl Touched {
    /// Compares what is recorded with these services of a stack.
    pub fn find(desired: &Desired, stack: &Stack, services: &[ServiceName]) -> Self {
        let mut touched = Self::default();
        for name in services {
            let Some(model) = stack.services.get(name) else {
                continue;
            };
            match desired.services.get(name).filter(|old| !old.orphan) {
                None => touched.added.push(name.clone()),
                Some(old) => {
                    let contents = contents(stack, model);
                    if old.hash != service_hash(stack, model) || old.contents != contents {
                        touched.changed.push(name.clone());
                    }
                    if old.service.build != model.build {
                        touched.rebuilt.push(name.clone());
                    }
                }
            }
        }
        let recorded = desired.services.iter().filter(|(_, old)| !old.orphan);
        touched.removed = recorded
            .map(|(name, _)| name)
            .filter(|name| !has(stack, name))
            .cloned()
            .collect();
        touched
    }

    /// The services that need an image.
    pub fn need_images(&self) -> Vec<ServiceName> {
        let mut names = self.added.clone();
        for name in self.changed.iter().chain(&self.rebuilt) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// All of them.
    pub fn all(&self) -> Vec<ServiceName> {
        let mut names = self.need_images();
        names.extend(self.removed.iter().cloned());
        names
    }
}

fn has(stack: &Stack, name: &ServiceName) -> bool {
    stack.services.contains_key(name) || stack.disabled_services.contains_key(name)
}

impl Edit {
    /// What the edit makes of the desired state. A project that goes away is left to go.
    pub(super) fn apply(&self, desired: &mut Desired, now: Timestamp) {
        if desired.down.is_some() {
            return;
        }
        let (before, updates) = (desired.services.clone(), desired.updates.clone());
        let by_hand = desired.by_hand.clone();
        self.up.apply(desired, now);
        desired.by_hand = by_hand;
        // What the edit takes out of the file goes; what was no part of it before is left alone.
        let was_orphan = |name: &ServiceName| before.get(name).is_some_and(|old| old.orphan);
        desired
            .services
            .retain(|name, service| !service.orphan || was_orphan(name));
        for (name, service) in &mut desired.services {
            let Some(old) = before.get(name) else {
                continue;
            };
            keep(old, service);
            // An update of what the edit leaves as it is goes on, or stays given up.
            if is_same(old, service) {
                desired.updates.shift_remove(name);
                let known = updates.get(name).cloned();
                desired
                    .updates
                    .extend(known.map(|known| (name.clone(), known)));
            }
        }
    }

    /// The services whose output can be shown.
    pub fn attachable(&self) -> Vec<ServiceName> {
        let shown = |name: &&ServiceName| {
            let service = self.up.stack.services.get(*name);
            service.is_some_and(|service| service.attach)
        };
        self.up.services.iter().filter(shown).cloned().collect()
    }
}

/// Keeps what a person, or the flags of the first `up`, have said of a service.
fn keep(old: &DesiredService, new: &mut DesiredService) {
    if old.orphan {
        return;
    }
    if old.service.replicas == new.service.replicas {
        new.replicas = old.replicas;
    }
    if is_same(old, new) {
        new.since = old.since;
    }
    new.renew_before = old.renew_before;
    new.run = old.run;
    new.timeout = old.timeout;
    new.recreate_before = old.recreate_before;
    new.restart_before = old.restart_before;
}

fn is_same(old: &DesiredService, new: &DesiredService) -> bool {
    !old.orphan && old.hash == new.hash && old.image_id == new.image_id
}

#[cfg(test)]
mod tests;
