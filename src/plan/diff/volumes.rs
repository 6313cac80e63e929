//! Volumes that are made anew because their configuration is another one now.
//!
//! What is in them is lost, so that it is done only where a person has agreed to just this
//! configuration. A volume whose hash is not known stays: nobody can say whether it differs.

use std::collections::BTreeSet;

use super::{Planner, stop_op};
use crate::plan::desired::volume_hash;
use crate::plan::{
    After, AnonymousVolumes, Cause, Desired, IfUsed, Observed, ObservedContainer, Op, Then,
};

/// Own volumes that have another configuration than the model and may be made anew, by full name.
pub(super) fn renewed_volumes(desired: &Desired, observed: &Observed) -> BTreeSet<String> {
    let differs = |name: &String, hash: &String| {
        observed.volumes.get(name).is_some_and(|found| {
            found.project == desired.project
                && !found.config_hash.is_empty()
                && found.config_hash != *hash
        })
    };
    let agreed = desired.agreed.iter().filter_map(|(key, hash)| {
        let volume = desired.volumes.get(key).filter(|volume| !volume.external)?;
        (volume_hash(volume) == *hash && differs(&volume.name, hash)).then(|| volume.name.clone())
    });
    agreed.collect()
}

/// The containers that must go before one of these volumes can; those of `run` are in nobody's list.
fn user<'a>(container: &'a ObservedContainer, volumes: &BTreeSet<String>) -> Option<&'a String> {
    let record = &container.record;
    let mut mounts = record.mounts.iter().filter(|mount| mount.kind == "volume");
    let used = mounts.find(|mount| volumes.contains(&mount.name))?;
    (!record.one_off).then_some(&used.name)
}

/// What is there besides the containers that go with these volumes.
pub(super) fn without_users(observed: &Observed, volumes: &BTreeSet<String>) -> Observed {
    let mut rest = observed.clone();
    rest.containers
        .retain(|_, container| user(container, volumes).is_none());
    rest
}

impl<'a> Planner<'a> {
    /// Containers, then the volumes go; the volumes are made again. Containers follow like those that
    /// were never there.
    pub(super) fn renew_volumes(&mut self, all: &'a Observed, volumes: &BTreeSet<String>) {
        let mut gone = Vec::new();
        for container in all.containers.values() {
            let Some(volume) = user(container, volumes) else {
                continue;
            };
            let cause = Cause::VolumeChanged(volume.clone());
            let mut after = Vec::new();
            if container.is_up() {
                let service = self.desired.services.get(&container.record.service);
                let timeout = service.and_then(|service| service.timeout);
                let stop = stop_op(container, timeout, Then::StayDown);
                let step = self.plan.push(stop, cause.clone(), Vec::new());
                after.push(After::Step(step));
            }
            let removed = self.remove(container, &cause, AnonymousVolumes::Kept, after);
            gone.push(After::Step(removed));
        }
        for (key, volume) in &self.desired.volumes {
            if !volumes.contains(&volume.name) {
                continue;
            }
            let name = volume.name.clone();
            let remove = Op::RemoveVolume {
                name: name.clone(),
                if_used: IfUsed::Fails,
            };
            let cause = Cause::ConfigChanged(Vec::new());
            let removed = self.plan.push(remove, cause.clone(), gone.clone());
            let create = Op::CreateVolume {
                key: key.clone(),
                name: name.clone(),
            };
            let made = self.plan.push(create, cause, vec![After::Step(removed)]);
            self.volumes.insert(name, made);
        }
    }
}
