//! Which containers a service keeps, replaces, makes and gives up.

use std::collections::BTreeMap;

use crate::compose::model::{Service, ServiceName, ServiceNetwork, VolumesFrom, VolumesSource};

use super::changed::changed_parts;
use super::{Cause, Desired, DesiredService, Observed, ObservedContainer, Run};

/// The replicas of one service.
#[derive(Debug)]
pub(super) struct Replicas<'a> {
    /// One for each replica asked for, by number.
    pub(super) slots: Vec<Slot<'a>>,
    /// Containers beyond that.
    pub(super) surplus: Vec<&'a ObservedContainer>,
}

/// One replica.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    /// Its number.
    pub(super) number: u32,
    /// The container that is up to date.
    pub(super) current: Option<&'a ObservedContainer>,
    /// Containers of this number that are not, with the reason.
    pub(super) outdated: Vec<(&'a ObservedContainer, Cause)>,
}

/// Sorts the containers of a service into replicas; those that are to be removed are none.
///
/// Surplus ones are those out of date first, then the highest numbers, whether they run or not (Docker
/// Compose's order); new ones take the lowest free numbers.
pub(super) fn replicas<'a>(
    (name, desired): (&ServiceName, &DesiredService),
    all: &Desired,
    observed: &'a Observed,
) -> Replicas<'a> {
    let mut by_number: BTreeMap<u32, Vec<&ObservedContainer>> = BTreeMap::new();
    let stays = |container: &&ObservedContainer| !all.is_removed(container);
    for container in observed.of_service(name).filter(stays) {
        by_number
            .entry(container.record.number)
            .or_default()
            .push(container);
    }
    let mut slots: Vec<Slot<'a>> = by_number
        .into_iter()
        .map(|(number, containers)| slot(number, containers, (all, desired, observed)))
        .collect();
    slots.sort_by_key(|slot| (slot.current.is_none(), slot.number));
    let wanted = desired.replicas as usize;
    let surplus = slots
        .split_off(wanted.min(slots.len()))
        .into_iter()
        .flat_map(|slot| {
            slot.current
                .into_iter()
                .chain(slot.outdated.into_iter().map(|(c, _)| c))
        })
        .collect();
    if desired.run != Run::Stopped {
        let mut number = 1;
        while slots.len() < wanted {
            if !slots.iter().any(|slot| slot.number == number) {
                slots.push(Slot {
                    number,
                    current: None,
                    outdated: Vec::new(),
                });
            }
            number += 1;
        }
    }
    slots.sort_by_key(|slot| slot.number);
    Replicas { slots, surplus }
}

fn slot<'a>(
    number: u32,
    mut containers: Vec<&'a ObservedContainer>,
    (all, desired, observed): (&Desired, &DesiredService, &Observed),
) -> Slot<'a> {
    containers.sort_by_key(|container| container.record.created);
    let mut slot = Slot {
        number,
        current: None,
        outdated: Vec::new(),
    };
    for container in containers.into_iter().rev() {
        // What a person has stopped alone stays as it is until the service is asked for again.
        let found = match all.is_held(&container.record) {
            true => None,
            false => out_of_date(container, desired)
                .or_else(|| replaced_owner(container, desired, (all, observed))),
        };
        match found {
            Some(cause) => slot.outdated.push((container, cause)),
            None if slot.current.is_none() => slot.current = Some(container),
            None => slot.outdated.push((
                container,
                Cause::ReplacedBy("a newer one exists".to_owned()),
            )),
        }
    }
    slot
}

/// Why a container does not fit its service any more.
fn out_of_date(container: &ObservedContainer, desired: &DesiredService) -> Option<Cause> {
    let record = &container.record;
    if desired.run == Run::Stopped || desired.orphan {
        return None;
    }
    if desired
        .recreate_before
        .is_some_and(|before| record.created < before)
    {
        return Some(Cause::ForceRecreate);
    }
    if desired.no_recreate {
        return None;
    }
    if record.config_hash != desired.hash {
        return Some(Cause::ConfigChanged(changed_parts(
            &record.template,
            &desired.service,
        )));
    }
    match &desired.image_id {
        Some(id) if *id != record.image_id => Some(Cause::ImageChanged),
        _ => None,
    }
}

/// Services of whose containers a service's containers have something for as long as both exist: a
/// namespace (but for that of host names), or mounts.
pub(super) fn owners(service: &Service) -> Vec<&ServiceName> {
    let network = match &service.network {
        ServiceNetwork::Service(owner) => Some(owner.as_str()),
        _ => None,
    };
    let of_service = |mode: &'_ Option<String>| -> Option<String> {
        let owner = mode.as_deref()?.strip_prefix("service:")?;
        Some(owner.to_owned())
    };
    let modes = [of_service(&service.pid), of_service(&service.ipc)];
    let is_owner = |name: &&ServiceName| {
        let mounts = |from: &VolumesFrom| matches!(&from.source, VolumesSource::Service(owner) if owner == *name);
        network == Some(name.as_str())
            || modes.iter().flatten().any(|owner| owner == name.as_str())
            || service.volumes_from.iter().any(mounts)
    };
    service.depends_on.keys().filter(is_owner).collect()
}

/// Whether what a container shares belongs to a container that was made later than it: as with Docker
/// Compose it is made anew, too.
fn replaced_owner(
    container: &ObservedContainer,
    desired: &DesiredService,
    (all, observed): (&Desired, &Observed),
) -> Option<Cause> {
    if desired.run == Run::Stopped || desired.orphan || desired.no_recreate {
        return None;
    }
    let made = container.record.created;
    let is_younger = |owner: &&ServiceName| {
        let Some(service) = all.services.get(*owner) else {
            return false;
        };
        let of_owner = observed.of_service(owner);
        let mut current = of_owner
            .filter(|other| !all.is_removed(other) && out_of_date(other, service).is_none())
            .map(|other| other.record.created);
        let oldest = current.next().map(|first| current.fold(first, Ord::min));
        oldest.is_some_and(|oldest| oldest > made)
    };
    let owner = owners(&desired.service).into_iter().find(is_younger)?;
    Some(Cause::OwnerReplaced(owner.clone()))
}
