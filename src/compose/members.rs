//! What a finished tree has, for those who look at the whole.

use std::sync::LazyLock;

use super::diagnostic::Span;
use super::tree::{Entry, Map, Node};

/// A service of the tree.
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) key: Span,
    pub(super) node: &'a Node,
}

impl<'a> Service<'a> {
    pub(super) fn new(name: &'a str, entry: &'a Entry) -> Self {
        Self {
            name,
            key: entry.key,
            node: &entry.node,
        }
    }

    /// A text, and where it stands.
    pub(super) fn text(&self, key: &str) -> Option<(&'a str, Span)> {
        let node = self.node.get(key)?;
        Some((node.as_text()?, node.span))
    }

    /// The items of a list; none when it is not there.
    pub(super) fn items(&self, key: &str) -> &'a [Node] {
        self.node
            .get(key)
            .and_then(Node::as_list)
            .unwrap_or_default()
    }

    /// The entries of a mapping; none when it is not there.
    pub(super) fn map(&self, key: &str) -> impl Iterator<Item = (&'a String, &'a Entry)> + use<'a> {
        self.node
            .get(key)
            .and_then(Node::as_map)
            .into_iter()
            .flatten()
    }
}

static EMPTY: LazyLock<Map> = LazyLock::new(Map::default);

/// A mapping of the tree's top (`services`, `networks`, …); empty when it is not there.
pub(super) fn map_of<'a>(tree: &'a Node, key: &str) -> &'a Map {
    tree.get(key).and_then(Node::as_map).unwrap_or(&EMPTY)
}
