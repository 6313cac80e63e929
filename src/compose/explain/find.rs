//! From a path to a value of the tree.

use super::ExplainError;
use crate::compose::diagnostic::{Span, suggestion};
use crate::compose::tree::{Node, Value};

/// A value, and what stands above it.
#[derive(Debug, Clone)]
pub(super) struct Found<'a> {
    /// The whole path.
    pub(super) path: String,
    /// The last step: a key, or an index.
    pub(super) step: Step<'a>,
    pub(super) node: &'a Node,
    /// The values above it, the nearest last, each with its own step.
    pub(super) above: Vec<(Step<'a>, &'a Node)>,
}

/// One step of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// The top.
    Top,
    /// A key of a mapping, and where it is written.
    Key(&'a str, Span),
    /// An item of a list.
    Item(usize),
}

impl<'a> Found<'a> {
    fn top(tree: &'a Node) -> Self {
        Self {
            path: String::new(),
            step: Step::Top,
            node: tree,
            above: Vec::new(),
        }
    }

    /// The values right below this one.
    pub(super) fn parts(&self) -> Vec<Found<'a>> {
        match &self.node.value {
            Value::Map(map) => map
                .iter()
                .map(|(key, entry)| self.down(Step::Key(key, entry.key), &entry.node))
                .collect(),
            Value::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.down(Step::Item(index), item))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn down(&self, step: Step<'a>, node: &'a Node) -> Found<'a> {
        let mut above = self.above.clone();
        above.push((self.step, self.node));
        let path = match step {
            Step::Top => String::new(),
            Step::Key(key, _) if self.path.is_empty() => key.to_owned(),
            Step::Key(key, _) => format!("{}.{key}", self.path),
            Step::Item(index) => format!("{}[{index}]", self.path),
        };
        Found {
            path,
            step,
            node,
            above,
        }
    }
}

/// Finds a value. A name may have dots in it, so the tree says where a step ends; an index is written
/// `[0]` or `.0`.
pub(super) fn find<'a>(tree: &'a Node, path: &str) -> Result<Found<'a>, ExplainError> {
    let path = path.trim();
    let first = path.split(['.', '[']).next().unwrap_or(path);
    let is_service = tree
        .get("services")
        .and_then(Node::as_map)
        .is_some_and(|services| services.keys().any(|name| starts_with(path, name)));
    let full = match tree.get(first).is_none() && is_service {
        true => format!("services.{path}"),
        false => path.to_owned(),
    };
    let mut found = Found::top(tree);
    let mut rest = full.as_str();
    while !rest.is_empty() {
        let step = found
            .parts()
            .into_iter()
            .filter_map(|part| Some((after(rest, &part.step)?.len(), part)))
            .min_by_key(|(left, _)| *left);
        let Some((left, part)) = step else {
            return Err(no_such_path(&found, rest));
        };
        rest = &rest[rest.len() - left..];
        found = part;
    }
    Ok(found)
}

fn starts_with(path: &str, name: &str) -> bool {
    path.strip_prefix(name)
        .is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']))
}

/// What is left of a path after a step; `None` when the path does not take it.
fn after<'p>(path: &'p str, step: &Step<'_>) -> Option<&'p str> {
    let rest = match step {
        Step::Top => return None,
        Step::Key(key, _) => path.strip_prefix(key)?,
        Step::Item(index) => {
            let index = index.to_string();
            match path.strip_prefix('[') {
                Some(inner) => inner.strip_prefix(index.as_str())?.strip_prefix(']')?,
                None => path.strip_prefix(index.as_str())?,
            }
        }
    };
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        return None;
    }
    Some(rest.strip_prefix('.').unwrap_or(rest))
}

fn no_such_path(found: &Found<'_>, rest: &str) -> ExplainError {
    let end = match rest.strip_prefix('[') {
        Some(inner) => inner.find(']').map_or(rest.len(), |at| at + 2),
        None => rest.find(['.', '[']).unwrap_or(rest.len()),
    };
    let missing = &rest[..end];
    let known: Vec<String> = found
        .parts()
        .iter()
        .map(|part| match part.step {
            Step::Key(key, _) => key.to_owned(),
            Step::Item(index) => format!("[{index}]"),
            Step::Top => String::new(),
        })
        .collect();
    // The first step may be the name of a service.
    let services = match found.step {
        Step::Top => found.node.get("services").and_then(Node::as_map),
        _ => None,
    };
    let services = services.into_iter().flat_map(|map| map.keys());
    let alike = services.chain(&known).map(String::as_str);
    ExplainError::NoSuchPath {
        parent: found.path.clone(),
        suggestion: suggestion(missing, alike).map(str::to_owned),
        missing: missing.to_owned(),
        known,
    }
}
