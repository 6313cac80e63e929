//! Which containers a service keeps, replaces, makes and gives up.

use std::collections::BTreeMap;

use crate::compose::model::ServiceName;

use super::changed::changed_parts;
use super::{Cause, DesiredService, Observed, ObservedContainer, Run};

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

impl Slot<'_> {
    fn is_up(&self) -> bool {
        self.current.is_some_and(ObservedContainer::is_up)
    }
}

/// Sorts the containers of a service into replicas.
///
/// Surplus ones are those out of date first, then those that do not run, then the highest numbers
/// (Docker Compose's order); new ones take the lowest free numbers.
pub(super) fn replicas<'a>(
    name: &ServiceName,
    desired: &DesiredService,
    observed: &'a Observed,
) -> Replicas<'a> {
    let mut by_number: BTreeMap<u32, Vec<&ObservedContainer>> = BTreeMap::new();
    for container in observed.of_service(name) {
        by_number
            .entry(container.record.number)
            .or_default()
            .push(container);
    }
    let mut slots: Vec<Slot<'a>> = by_number
        .into_iter()
        .map(|(number, containers)| slot(number, containers, desired))
        .collect();
    slots.sort_by_key(|slot| (slot.current.is_none(), !slot.is_up(), slot.number));
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
    desired: &DesiredService,
) -> Slot<'a> {
    containers.sort_by_key(|container| container.record.created);
    let mut slot = Slot {
        number,
        current: None,
        outdated: Vec::new(),
    };
    for container in containers.into_iter().rev() {
        match out_of_date(container, desired) {
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
