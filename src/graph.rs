//! The dependency graph of services: order, levels, cycles, who needs whom.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use indexmap::IndexMap;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::compose::model::{
    MountSource, NetworkKey, Service, ServiceName, ServiceNetwork, Stack, VolumeKey,
};

/// Why a graph or a selection cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Services wait for each other.
    #[error("services depend on each other in a circle: {}", path_text(.path))]
    Cycle {
        /// The services of the circle; the first is also the last.
        path: Vec<ServiceName>,
    },
    /// A service was named that the stack does not have.
    #[error("no such service: {name}{}", hint_text(.suggestion))]
    UnknownService {
        /// The name.
        name: ServiceName,
        /// A name that looks like it.
        suggestion: Option<ServiceName>,
    },
}

fn path_text(path: &[ServiceName]) -> String {
    let names: Vec<&str> = path.iter().map(ServiceName::as_str).collect();
    names.join(" -> ")
}

fn hint_text(suggestion: &Option<ServiceName>) -> String {
    suggestion
        .as_ref()
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// Services and their dependencies, without circles.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Edges go from a service to what it needs.
    edges: DiGraph<ServiceName, ()>,
    /// Services by their name.
    nodes: HashMap<ServiceName, NodeIndex>,
    /// Dependencies first.
    order: Vec<NodeIndex>,
}

impl Graph {
    /// The graph of these services; dependencies on others are left out.
    pub fn new(services: &IndexMap<ServiceName, Service>) -> Result<Self, GraphError> {
        let mut edges = DiGraph::with_capacity(services.len(), services.len());
        let nodes: HashMap<ServiceName, NodeIndex> = services
            .keys()
            .map(|name| (name.clone(), edges.add_node(name.clone())))
            .collect();
        for (name, service) in services {
            for other in service.depends_on.keys() {
                if let Some(target) = nodes.get(other) {
                    edges.update_edge(nodes[name], *target, ());
                }
            }
        }
        let order = order_of(&edges)?;
        Ok(Self {
            edges,
            nodes,
            order,
        })
    }

    /// All services, dependencies first; otherwise in the order of the file.
    pub fn order(&self) -> Vec<&ServiceName> {
        self.order.iter().map(|node| &self.edges[*node]).collect()
    }

    /// The services in waves: each needs only services of earlier waves.
    pub fn levels(&self) -> Vec<Vec<&ServiceName>> {
        let mut depth = vec![0; self.edges.node_count()];
        let mut levels: Vec<Vec<&ServiceName>> = Vec::new();
        for node in &self.order {
            let needed = self.edges.neighbors(*node);
            let level = needed.map(|other| depth[other.index()] + 1).max();
            let level = level.unwrap_or(0);
            depth[node.index()] = level;
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            levels[level].push(&self.edges[*node]);
        }
        levels
    }

    /// Every service that this one needs, directly or not, in the order of [`Graph::order`].
    pub fn dependencies_of(&self, service: &str) -> Vec<&ServiceName> {
        self.reachable(service, Direction::Outgoing)
    }

    /// Every service that needs this one, directly or not, in the order of [`Graph::order`].
    pub fn dependents_of(&self, service: &str) -> Vec<&ServiceName> {
        self.reachable(service, Direction::Incoming)
    }

    fn reachable(&self, service: &str, direction: Direction) -> Vec<&ServiceName> {
        let Some(start) = self.nodes.get(service) else {
            return Vec::new();
        };
        let mut found = vec![false; self.edges.node_count()];
        let mut open = vec![*start];
        while let Some(node) = open.pop() {
            for next in self.edges.neighbors_directed(node, direction) {
                if !std::mem::replace(&mut found[next.index()], true) {
                    open.push(next);
                }
            }
        }
        self.order
            .iter()
            .filter(|node| found[node.index()])
            .map(|node| &self.edges[*node])
            .collect()
    }
}

/// Dependencies first, and among what is ready the first of the file; a circle is an error.
fn order_of(edges: &DiGraph<ServiceName, ()>) -> Result<Vec<NodeIndex>, GraphError> {
    let mut missing: Vec<usize> = edges
        .node_indices()
        .map(|node| edges.neighbors(node).count())
        .collect();
    let mut ready: BinaryHeap<Reverse<NodeIndex>> = edges
        .node_indices()
        .filter(|node| missing[node.index()] == 0)
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(edges.node_count());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for dependent in edges.neighbors_directed(node, Direction::Incoming) {
            let left = &mut missing[dependent.index()];
            *left -= 1;
            if *left == 0 {
                ready.push(Reverse(dependent));
            }
        }
    }
    if order.len() == edges.node_count() {
        return Ok(order);
    }
    Err(GraphError::Cycle {
        path: circle_in(edges, &missing),
    })
}

/// A circle among the services that could not be ordered: each of them still waits for one of them,
/// so following any such edge must come back to where it was.
fn circle_in(edges: &DiGraph<ServiceName, ()>, missing: &[usize]) -> Vec<ServiceName> {
    let waits = |node: &NodeIndex| missing[node.index()] > 0;
    let mut way: Vec<NodeIndex> = edges.node_indices().find(waits).into_iter().collect();
    while let Some(last) = way.last() {
        let Some(next) = edges.neighbors(*last).find(waits) else {
            break;
        };
        let seen = way.iter().position(|node| *node == next);
        way.push(next);
        if let Some(start) = seen {
            way.drain(..start);
            break;
        }
    }
    way.into_iter().map(|node| edges[node].clone()).collect()
}

impl Stack {
    /// The dependency graph of the services that are on.
    pub fn graph(&self) -> Result<Graph, GraphError> {
        Graph::new(&self.services)
    }

    /// The stack reduced to these services and what they need; naming a service activates its
    /// profiles. All others move to `disabled_services`, networks and volumes that nothing uses
    /// any more to the unused ones. No name = the stack as it is.
    pub fn select(&self, names: &[ServiceName]) -> Result<Stack, GraphError> {
        if names.is_empty() {
            return Ok(self.clone());
        }
        let mut wanted: HashSet<&ServiceName> = HashSet::new();
        let mut open: Vec<&ServiceName> = Vec::new();
        for name in names {
            let (name, _) = self.any_service(name).ok_or_else(|| self.unknown(name))?;
            open.push(name);
        }
        while let Some(name) = open.pop() {
            if !wanted.insert(name) {
                continue;
            }
            let Some((_, service)) = self.any_service(name) else {
                continue;
            };
            for (other, dependency) in &service.depends_on {
                match self.any_service(other) {
                    // A service that is off is only started for one that cannot do without it.
                    Some((other, _))
                        if dependency.required || self.services.contains_key(other) =>
                    {
                        open.push(other);
                    }
                    None if dependency.required => return Err(self.unknown(other)),
                    _ => {}
                }
            }
        }
        let selected = self.keep(&wanted);
        selected.graph()?;
        Ok(selected)
    }

    fn any_service(&self, name: &ServiceName) -> Option<(&ServiceName, &Service)> {
        self.services
            .get_key_value(name)
            .or_else(|| self.disabled_services.get_key_value(name))
    }

    fn unknown(&self, name: &ServiceName) -> GraphError {
        let all = self.services.keys().chain(self.disabled_services.keys());
        let suggestion = all
            .map(|other| {
                let distance = strsim::damerau_levenshtein(name.as_str(), other.as_str());
                (distance, other)
            })
            .filter(|(distance, _)| *distance <= 1 + name.as_str().len() / 5)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, other)| other.clone());
        GraphError::UnknownService {
            name: name.clone(),
            suggestion,
        }
    }

    fn keep(&self, wanted: &HashSet<&ServiceName>) -> Stack {
        let mut stack = self.clone();
        let all = stack.services.into_iter().chain(stack.disabled_services);
        (stack.services, stack.disabled_services) =
            all.partition(|(name, _)| wanted.contains(name));
        let used_networks: HashSet<NetworkKey> =
            stack.services.values().flat_map(network_keys).collect();
        let used_volumes: HashSet<VolumeKey> =
            stack.services.values().flat_map(volume_keys).collect();
        let networks = stack.networks.into_iter().chain(stack.unused_networks);
        (stack.networks, stack.unused_networks) =
            networks.partition(|(key, _)| used_networks.contains(key));
        let volumes = stack.volumes.into_iter().chain(stack.unused_volumes);
        (stack.volumes, stack.unused_volumes) =
            volumes.partition(|(key, _)| used_volumes.contains(key));
        stack
    }
}

fn network_keys(service: &Service) -> Vec<NetworkKey> {
    match &service.network {
        ServiceNetwork::Networks(networks) => networks.keys().cloned().collect(),
        _ => Vec::new(),
    }
}

fn volume_keys(service: &Service) -> Vec<VolumeKey> {
    let keys = service.volumes.iter().map(|mount| match &mount.source {
        MountSource::Volume { volume, .. } => Some(volume.clone()),
        _ => None,
    });
    keys.flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{Condition, Dependency};

    /// Services as `name: needed needed`; one on each line.
    fn services(text: &str) -> IndexMap<ServiceName, Service> {
        text.lines()
            .filter_map(|line| line.trim().split_once(':'))
            .map(|(name, needed)| {
                let dependency = Dependency {
                    condition: Condition::ServiceStarted,
                    restart: false,
                    required: true,
                };
                let needed = needed.split_whitespace();
                let service = Service {
                    depends_on: needed
                        .map(|other| (ServiceName::new(other), dependency))
                        .collect(),
                    ..Service::default()
                };
                (ServiceName::new(name), service)
            })
            .collect()
    }

    fn words(names: Vec<&ServiceName>) -> String {
        let names: Vec<&str> = names.into_iter().map(ServiceName::as_str).collect();
        names.join(" ")
    }

    const SHOP: &str = "web: api
        worker: db cache
        api: db cache
        db:
        cache:
        alone:";

    #[test]
    fn dependencies_come_first_and_the_file_decides_otherwise() {
        let graph = Graph::new(&services(SHOP)).unwrap();
        assert_eq!(words(graph.order()), "db cache worker api web alone");
        let levels: Vec<String> = graph.levels().into_iter().map(words).collect();
        assert_eq!(levels, ["db cache alone", "worker api", "web"]);
    }

    #[test]
    fn dependencies_and_dependents_are_found_at_any_distance() {
        let graph = Graph::new(&services(SHOP)).unwrap();
        assert_eq!(words(graph.dependencies_of("web")), "db cache api");
        assert_eq!(words(graph.dependents_of("db")), "worker api web");
        assert_eq!(words(graph.dependents_of("alone")), "");
        assert_eq!(words(graph.dependents_of("nobody")), "");
    }

    #[test]
    fn a_circle_is_told_with_its_whole_way() {
        let table = [
            ("a: a", "a -> a"),
            ("x: a\n a: b\n b: c\n c: a", "a -> b -> c -> a"),
            ("free:\n a: b free\n b: a", "a -> b -> a"),
        ];
        for (text, expected) in table {
            let error = Graph::new(&services(text)).unwrap_err();
            let expected = format!("services depend on each other in a circle: {expected}");
            assert_eq!(error.to_string(), expected);
        }
    }

    fn stack(on: &str, off: &str) -> Stack {
        let name = crate::compose::model::ProjectName::new("shop");
        Stack {
            services: services(on),
            disabled_services: services(off),
            ..Stack::new(name, "/shop")
        }
    }

    #[test]
    fn a_selection_brings_its_dependencies_and_switches_profiles_on() {
        let stack = stack(SHOP, "debug: web tools\n tools:");
        let select = |name: &str| {
            let selected = stack.select(&[ServiceName::new(name)]).unwrap();
            words(selected.services.keys().collect())
        };
        assert_eq!(select("api"), "api db cache");
        assert_eq!(select("debug"), "web api db cache debug tools");
        let all = stack.select(&[]).unwrap();
        assert_eq!(all, stack);
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let error = stack(SHOP, "").select(&[ServiceName::new("wroker")]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "no such service: wroker; did you mean `worker`?"
        );
    }
}
