//! A loaded stack, and where its parts were written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;

use super::stack::services;
use crate::compose::concerns::Concern;
use crate::compose::diagnostic::{Diagnostics, Location, Sources, Span};
use crate::compose::model::{ServiceName, Stack};
use crate::compose::project::instance::Instance;
use crate::compose::tree::{Node, Value};

/// A loaded stack.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model.
    pub stack: Stack,
    /// Problems that did not stop the loading.
    pub warnings: Diagnostics,
    /// What is to be told before a part of it is run.
    pub concerns: Vec<Concern>,
    /// Which copy of its project the stack is; `None` = the only one.
    pub instance: Option<Instance>,
    /// Where each part was written.
    pub positions: Positions,
    /// Variables for interpolation besides the caller's, which win over them.
    pub variables: IndexMap<String, String>,
    /// Where each of them is written, when the load was traced.
    pub(in crate::compose) variable_places: HashMap<String, Span>,
    /// Services that no profile switches on.
    pub(super) off: HashSet<String>,
    /// The finished tree, for `render`.
    pub(in crate::compose) tree: Arc<Node>,
}

impl Loaded {
    /// Whether a service of the file is switched on.
    pub fn is_on(&self, service: &ServiceName) -> bool {
        !self.off.contains(service.as_str())
    }

    /// The services of the file in its order, those that no profile switches on too.
    pub fn service_names(&self) -> Vec<ServiceName> {
        services(&self.tree)
            .map(|(name, _)| ServiceName::new(name))
            .collect()
    }

    /// Whether a service of the file, on or off, has this key.
    pub fn has_service_key(&self, key: &str) -> bool {
        services(&self.tree).any(|(_, service)| service.get(key).is_some())
    }
}

/// Where each part of the model was written.
#[derive(Debug, Clone)]
pub struct Positions {
    sources: Arc<Sources>,
    tree: Arc<Node>,
}

impl Positions {
    pub(super) fn new(sources: &Arc<Sources>, tree: &Arc<Node>) -> Self {
        Self {
            sources: Arc::clone(sources),
            tree: Arc::clone(tree),
        }
    }

    /// The place of a value by its dotted path (`services.web.image`, `services.web.ports[0]`): of
    /// its key, or of the nearest parent that is there when the value is not.
    pub fn of(&self, path: &str) -> Option<Location> {
        let (span, _) = self.walk(path);
        self.sources.locate(span?)
    }

    /// Whether a file has the value itself, not only a parent of it.
    pub fn has(&self, path: &str) -> bool {
        let (span, rest) = self.walk(path);
        span.is_some() && rest.is_empty()
    }

    /// The place of the last step of a path that is there, and what is left of the path behind it.
    fn walk<'p>(&self, path: &'p str) -> (Option<Span>, &'p str) {
        let mut node = self.tree.as_ref();
        let mut span: Option<Span> = None;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((found, next, after)) = step(node, rest) else {
                break;
            };
            span = Some(found);
            node = next;
            rest = after;
        }
        (span, rest)
    }
}

/// Goes one step along a path. A name may have dots in it, so the tree says where a step ends.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(Span, &'n Node, &'p str)> {
    match &node.value {
        Value::Map(map) => map
            .iter()
            .filter_map(|(key, entry)| {
                let after = path.strip_prefix(key.as_str())?;
                let ends = after.is_empty() || after.starts_with(['.', '[']);
                ends.then(|| (key.len(), entry, after.strip_prefix('.').unwrap_or(after)))
            })
            .max_by_key(|(length, ..)| *length)
            .map(|(_, entry, after)| (entry.key, &entry.node, after)),
        Value::List(items) => {
            let (index, after) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some((item.span, item, after.strip_prefix('.').unwrap_or(after)))
        }
        _ => None,
    }
}
