//! Lists whose items are the same when a part of them is: the last one stays, at the place of the
//! first.

use indexmap::IndexMap;

use super::tree::{Entry, Layer, Node, Value, Written};

/// What makes two items of a list the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// The text.
    Text,
    /// The text before the first `=`.
    Key,
    /// The value of this key.
    Of(&'static str),
    /// Address, both ports and protocol.
    Port,
    /// The target, which is in this directory when only the source is given.
    Mounted(&'static str),
}

struct Rule {
    path: &'static [&'static str],
    identity: Identity,
}

const fn rule(path: &'static [&'static str], identity: Identity) -> Rule {
    Rule { path, identity }
}

/// The lists, `*` is any key. (`override/uncity.go`)
static RULES: &[Rule] = &[
    rule(&["services", "*", "build", "tags"], Identity::Key),
    rule(&["services", "*", "cap_add"], Identity::Key),
    rule(&["services", "*", "cap_drop"], Identity::Key),
    rule(&["services", "*", "configs"], Identity::Mounted("/")),
    rule(&["services", "*", "devices"], Identity::Of("target")),
    rule(&["services", "*", "dns"], Identity::Key),
    rule(&["services", "*", "dns_opt"], Identity::Key),
    rule(&["services", "*", "dns_search"], Identity::Key),
    rule(&["services", "*", "env_file"], Identity::Of("path")),
    rule(&["services", "*", "expose"], Identity::Text),
    rule(&["services", "*", "extra_hosts"], Identity::Text),
    rule(&["services", "*", "links"], Identity::Key),
    rule(
        &["services", "*", "networks", "*", "aliases"],
        Identity::Key,
    ),
    rule(
        &["services", "*", "networks", "*", "link_local_ips"],
        Identity::Key,
    ),
    rule(&["services", "*", "ports"], Identity::Port),
    rule(&["services", "*", "profiles"], Identity::Key),
    rule(
        &["services", "*", "secrets"],
        Identity::Mounted("/run/secrets/"),
    ),
    rule(&["services", "*", "tmpfs"], Identity::Key),
    rule(&["services", "*", "volumes"], Identity::Of("target")),
];

/// Makes the lists of a tree unique.
pub(super) fn unify(tree: &mut Node) {
    for rule in RULES {
        unify_at(tree, rule.path, rule.identity);
    }
}

fn unify_at(node: &mut Node, path: &[&str], identity: Identity) {
    let Some((step, rest)) = path.split_first() else {
        if let Value::List(items) = &mut node.value {
            unify_items(items, identity);
        }
        return;
    };
    let Some(map) = node.as_map_mut() else {
        return;
    };
    let descend = |entry: &mut Entry| unify_at(&mut entry.node, rest, identity);
    if *step == "*" {
        map.values_mut().for_each(descend);
    } else if let Some(entry) = map.get_mut(*step) {
        descend(entry);
    }
}

fn unify_items(items: &mut Vec<Node>, identity: Identity) {
    if items.len() < 2 {
        return;
    }
    let mut kept: IndexMap<String, Node> = IndexMap::with_capacity(items.len());
    for (index, mut item) in std::mem::take(items).into_iter().enumerate() {
        // An item that has no identity is only the same as itself.
        let key = identity_of(&item, identity).unwrap_or_else(|| format!("\0{index}"));
        match kept.get_mut(&key) {
            Some(first) => {
                item.shadow(first, Layer::Item);
                *first = item;
            }
            None => {
                kept.insert(key, item);
            }
        }
    }
    items.extend(kept.into_values());
}

fn identity_of(item: &Node, identity: Identity) -> Option<String> {
    match identity {
        Identity::Text => item.scalar_text(),
        Identity::Key => {
            let text = item.scalar_text()?;
            Some(match text.split_once('=') {
                Some((key, _)) => key.to_owned(),
                None => text,
            })
        }
        Identity::Of(key) => Some(item.get(key)?.as_text()?.to_owned()),
        Identity::Port => Some(port(item)),
        Identity::Mounted(directory) => match item.get("target").and_then(Node::scalar_text) {
            Some(target) => Some(target),
            None => Some(format!(
                "{directory}{}",
                item.get("source").and_then(Node::scalar_text)?
            )),
        },
    }
}

/// Compose compares a host port that was written as a number with no text.
fn port(item: &Node) -> String {
    let text = |key, default: &str| {
        let text = item.get(key).and_then(Node::scalar_text);
        text.unwrap_or_else(|| default.to_owned())
    };
    let number = item
        .get("published")
        .is_some_and(|node| node.written == Written::Number);
    let sign = if number { "=" } else { "" };
    format!(
        "{}:{sign}{}:{}/{}",
        text("host_ip", "0.0.0.0"),
        text("published", ""),
        text("target", ""),
        text("protocol", "tcp")
    )
}
