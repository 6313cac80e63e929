//! The dependency graph of services: order, levels, cycles, who needs whom.

use indexmap::IndexMap;

use crate::compose::model::{Service, ServiceName, Stack};

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
pub struct Graph {}

impl Graph {
    /// The graph of these services; dependencies on others are left out.
    pub fn new(_services: &IndexMap<ServiceName, Service>) -> Result<Self, GraphError> {
        todo!()
    }

    /// All services, dependencies first; otherwise in the order of the file.
    pub fn order(&self) -> Vec<&ServiceName> {
        todo!()
    }

    /// The services in waves: each needs only services of earlier waves.
    pub fn levels(&self) -> Vec<Vec<&ServiceName>> {
        todo!()
    }

    /// Every service that this one needs, directly or not, in the order of [`Graph::order`].
    pub fn dependencies_of(&self, _service: &str) -> Vec<&ServiceName> {
        todo!()
    }

    /// Every service that needs this one, directly or not, in the order of [`Graph::order`].
    pub fn dependents_of(&self, _service: &str) -> Vec<&ServiceName> {
        todo!()
    }
}

impl Stack {
    /// The dependency graph of the services that are on.
    pub fn graph(&self) -> Result<Graph, GraphError> {
        Graph::new(&self.services)
    }

    /// The stack reduced to these services and what they need; naming a service activates its
    /// profiles. All others move to `disabled_services`. No name = the stack as it is.
    pub fn select(&self, _names: &[ServiceName]) -> Result<Stack, GraphError> {
        todo!()
    }
}
