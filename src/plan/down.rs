//! The end of a project.

use std::collections::{BTreeMap, BTreeSet};

use crate::compose::model::ServiceName;

use super::diff::stop_op;
use super::{
    After, AnonymousVolumes, Cause, Down, IfUsed, Observed, ObservedContainer, Op, Plan, Then,
};

/// Stops and removes all that was recorded for the project, dependents first, whatever today's
/// stack file says.
pub(super) fn plan_down(how: &Down, project: &str, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let removed = containers(&mut plan, how, observed);
    for (name, network) in &observed.networks {
        if network.project == project {
            let op = Op::RemoveNetwork {
                name: name.clone(),
                if_used: IfUsed::Stays,
            };
            plan.push(op, Cause::Down, removed.clone());
        }
    }
    if how.volumes {
        volumes(&mut plan, (project, observed), &removed);
    }
    plan
}

/// Stops and removes containers; the steps after which all are gone.
fn containers(plan: &mut Plan, how: &Down, observed: &Observed) -> Vec<After> {
    let mut stops: BTreeMap<&str, usize> = BTreeMap::new();
    let mut removed = Vec::new();
    for id in dependents_first(observed) {
        let container = &observed.containers[id];
        let mut after = Vec::new();
        if container.is_up() {
            let op = stop_op(container, how.timeout, Then::StayDown);
            let waits = dependents(container, observed)
                .filter_map(|other| stops.get(other.record.id.as_str()))
                .map(|step| After::Step(*step))
                .collect();
            let step = plan.push(op, Cause::Down, waits);
            stops.insert(id, step);
            after.push(After::Step(step));
        }
        let op = Op::RemoveContainer {
            id: container.record.id.clone(),
            name: container.record.name.clone(),
            volumes: if how.volumes {
                AnonymousVolumes::Removed
            } else {
                AnonymousVolumes::Kept
            },
        };
        removed.push(After::Step(plan.push(op, Cause::Down, after)));
    }
    removed
}

/// Containers of services that need a container's.
fn dependents<'a>(
    container: &'a ObservedContainer,
    observed: &'a Observed,
) -> impl Iterator<Item = &'a ObservedContainer> {
    observed.containers.values().filter(|other| {
        let needs = &other.record.template.depends_on;
        needs.contains_key(&container.record.service)
    })
}

/// Removes the project's volumes; those without a name that a container still has go with it.
fn volumes(plan: &mut Plan, (project, observed): (&str, &Observed), removed: &[After]) {
    let with_containers: BTreeSet<&String> = observed
        .containers
        .values()
        .flat_map(|container| container.record.anonymous_volumes.values())
        .collect();
    for (name, volume) in &observed.volumes {
        if volume.project == project && !with_containers.contains(name) {
            let op = Op::RemoveVolume {
                name: name.clone(),
                if_used: IfUsed::Stays,
            };
            plan.push(op, Cause::Down, removed.to_vec());
        }
    }
}

/// Container ids, those of dependents before those of their dependencies.
fn dependents_first(observed: &Observed) -> Vec<&str> {
    fn depth<'a>(
        service: &'a ServiceName,
        edges: &BTreeMap<&'a ServiceName, Vec<&'a ServiceName>>,
        known: &mut BTreeMap<&'a ServiceName, usize>,
    ) -> usize {
        if let Some(depth) = known.get(service) {
            return *depth;
        }
        known.insert(service, 0); // Ends a cycle, should one have got here.
        let below = edges.get(service).into_iter().flatten();
        let result = below
            .map(|dependency| depth(dependency, edges, known) + 1)
            .max()
            .unwrap_or(0);
        known.insert(service, result);
        result
    }
    let edges: BTreeMap<&ServiceName, Vec<&ServiceName>> = observed
        .containers
        .values()
        .map(|container| {
            (
                &container.record.service,
                container.record.template.depends_on.keys().collect(),
            )
        })
        .collect();
    let mut known = BTreeMap::new();
    let mut order: Vec<(usize, &str)> = observed
        .containers
        .values()
        .map(|container| {
            let depth = depth(&container.record.service, &edges, &mut known);
            let one_off = usize::from(container.record.one_off);
            (depth + one_off, container.record.id.as_str())
        })
        .collect();
    order.sort_by(|a, b| b.cmp(a));
    order.into_iter().map(|(_, id)| id).collect()
}
