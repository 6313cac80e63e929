//! Merging one file onto the ones before it, and making lists unique.
//!
//! Mappings merge key by key, lists append, everything else replaces; [`RULES`] has the exceptions
//! and says what makes an item of a list the same as another. Both trees are in their long forms.

use indexmap::IndexMap;

use super::tree::{Directive, Entry, Map, Node, Value};

/// How two values at one place become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// The later one replaces the earlier.
    Replace,
    /// As mappings, but the later one's `options` replace the earlier's when the drivers differ.
    SameDriver,
    /// Lists append; items that are the same keep the first place and the last value.
    Unique(Identity),
    /// Lists append; mappings that are the same merge.
    Together(Identity),
}

/// What makes two items of a list the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// The text.
    Text,
    /// The text before the first colon.
    BeforeColon,
    /// The values of these keys.
    Keys(&'static [&'static str]),
    /// The value of the first of these keys that is there.
    FirstOf(&'static [&'static str]),
}

struct Rule {
    path: &'static [&'static str],
    merge: Merge,
}

const fn rule(path: &'static [&'static str], merge: Merge) -> Rule {
    Rule { path, merge }
}

const TEXT: Merge = Merge::Unique(Identity::Text);

/// Exceptions from the general rule; `*` is any key.
static RULES: &[Rule] = &[
    rule(&["services", "*", "command"], Merge::Replace),
    rule(&["services", "*", "entrypoint"], Merge::Replace),
    rule(&["services", "*", "healthcheck", "test"], Merge::Replace),
    rule(&["services", "*", "logging"], Merge::SameDriver),
    rule(&["services", "*", "ulimits", "*"], Merge::Replace),
    rule(&["services", "*", "cap_add"], TEXT),
    rule(&["services", "*", "cap_drop"], TEXT),
    rule(&["services", "*", "device_cgroup_rules"], TEXT),
    rule(&["services", "*", "dns"], TEXT),
    rule(&["services", "*", "dns_opt"], TEXT),
    rule(&["services", "*", "dns_search"], TEXT),
    rule(&["services", "*", "expose"], TEXT),
    rule(&["services", "*", "external_links"], TEXT),
    rule(&["services", "*", "extra_hosts"], TEXT),
    rule(&["services", "*", "group_add"], TEXT),
    rule(&["services", "*", "label_file"], TEXT),
    rule(&["services", "*", "links"], TEXT),
    rule(&["services", "*", "networks", "*", "aliases"], TEXT),
    rule(&["services", "*", "profiles"], TEXT),
    rule(&["services", "*", "security_opt"], TEXT),
    rule(&["services", "*", "volumes_from"], TEXT),
    rule(
        &["services", "*", "tmpfs"],
        Merge::Unique(Identity::BeforeColon),
    ),
    rule(
        &["services", "*", "volumes"],
        Merge::Unique(Identity::Keys(&["target"])),
    ),
    rule(
        &["services", "*", "devices"],
        Merge::Unique(Identity::Keys(&["target"])),
    ),
    rule(
        &["services", "*", "env_file"],
        Merge::Unique(Identity::Keys(&["path"])),
    ),
    rule(
        &["services", "*", "ports"],
        Merge::Unique(Identity::Keys(&[
            "host_ip",
            "target",
            "published",
            "protocol",
        ])),
    ),
    rule(
        &["services", "*", "configs"],
        Merge::Unique(Identity::FirstOf(&["target", "source"])),
    ),
    rule(
        &["services", "*", "secrets"],
        Merge::Unique(Identity::FirstOf(&["target", "source"])),
    ),
    rule(
        &["networks", "*", "ipam", "config"],
        Merge::Together(Identity::Keys(&["subnet"])),
    ),
];

fn rule_for(path: &[String]) -> Option<Merge> {
    // The longest rule has six steps; deeper places follow the general rule.
    if path.len() < 3 || path.len() > 6 {
        return None;
    }
    RULES
        .iter()
        .find(|rule| {
            rule.path.len() == path.len()
                && rule
                    .path
                    .iter()
                    .zip(path)
                    .all(|(wanted, step)| *wanted == "*" || wanted == step)
        })
        .map(|rule| rule.merge)
}

/// Merges a file onto the ones before it. `!reset` and `!override` are done and gone afterwards.
pub(super) fn merge(base: &mut Node, over: Node) {
    merge_at(base, over, &mut Vec::new());
}

fn merge_at(base: &mut Node, mut over: Node, path: &mut Vec<String>) {
    if over.directive == Directive::Override {
        settle(&mut over);
        *base = over;
        return;
    }
    let rule = rule_for(path);
    if rule == Some(Merge::Replace) {
        settle(&mut over);
        *base = over;
        return;
    }
    match (&mut base.value, over.value) {
        (Value::Map(earlier), Value::Map(later)) => {
            if rule == Some(Merge::SameDriver) && drivers_differ(earlier, &later) {
                earlier.shift_remove("options");
            }
            merge_maps(earlier, later, path);
        }
        (Value::List(earlier), Value::List(later)) => {
            earlier.extend(later);
            settle_items(earlier);
            apply_identity(earlier, rule, path);
        }
        // `networks: {front: }` says nothing about what is known of `front`.
        (Value::Map(_), Value::Null) => {}
        (_, value) => {
            over.value = value;
            settle(&mut over);
            *base = over;
        }
    }
}

fn drivers_differ(earlier: &Map, later: &Map) -> bool {
    let driver = |map: &Map| {
        map.get("driver")
            .and_then(|entry| entry.node.as_text().map(str::to_owned))
    };
    match (driver(earlier), driver(later)) {
        (Some(earlier), Some(later)) => earlier != later,
        _ => false,
    }
}

fn merge_maps(earlier: &mut Map, later: Map, path: &mut Vec<String>) {
    for (key, entry) in later {
        if entry.node.directive == Directive::Reset {
            earlier.shift_remove(&key);
            continue;
        }
        match earlier.get_mut(&key) {
            Some(found) => {
                found.key = entry.key;
                path.push(key);
                merge_at(&mut found.node, entry.node, path);
                path.pop();
            }
            None => {
                let Entry {
                    key: span,
                    mut node,
                } = entry;
                settle(&mut node);
                earlier.insert(key, Entry { key: span, node });
            }
        }
    }
}

/// Takes out what is marked `!reset` in a tree that has nothing before it.
fn settle(node: &mut Node) {
    node.directive = Directive::Merge;
    match &mut node.value {
        Value::Map(map) => {
            map.retain(|_, entry| entry.node.directive != Directive::Reset);
            map.values_mut().for_each(|entry| settle(&mut entry.node));
        }
        Value::List(items) => settle_items(items),
        _ => {}
    }
}

fn settle_items(items: &mut Vec<Node>) {
    items.retain(|item| item.directive != Directive::Reset);
    items.iter_mut().for_each(settle);
}

fn apply_identity(items: &mut Vec<Node>, rule: Option<Merge>, path: &mut Vec<String>) {
    let (identity, merges) = match rule {
        Some(Merge::Unique(identity)) => (identity, false),
        Some(Merge::Together(identity)) => (identity, true),
        _ => return,
    };
    let mut kept: IndexMap<String, Node> = IndexMap::with_capacity(items.len());
    for (index, item) in std::mem::take(items).into_iter().enumerate() {
        // An item that has no identity is only the same as itself.
        let key = identity_of(&item, identity).unwrap_or_else(|| format!("\0{index}"));
        match kept.get_mut(&key) {
            Some(first) if merges => merge_at(first, item, path),
            Some(first) => *first = item,
            None => {
                kept.insert(key, item);
            }
        }
    }
    items.extend(kept.into_values());
}

fn identity_of(item: &Node, identity: Identity) -> Option<String> {
    match identity {
        Identity::Text => item.as_text().map(str::to_owned),
        Identity::BeforeColon => {
            let text = item.as_text()?;
            Some(text.split(':').next().unwrap_or(text).to_owned())
        }
        Identity::Keys(keys) => {
            let map = item.as_map()?;
            let mut identity = String::new();
            for key in keys {
                let value = map.get(*key).and_then(|entry| entry.node.scalar_text());
                identity.push_str(value.as_deref().unwrap_or_default());
                identity.push('\0');
            }
            Some(identity)
        }
        Identity::FirstOf(keys) => keys.iter().find_map(|key| item.get(key)?.scalar_text()),
    }
}

/// Makes the lists of a merged tree unique, those too that came from one file only.
pub(super) fn unify(tree: &mut Node) {
    let mut path = Vec::new();
    for rule in RULES {
        if matches!(rule.merge, Merge::Unique(_) | Merge::Together(_)) {
            unify_at(tree, rule, &mut path);
        }
    }
}

fn unify_at(node: &mut Node, rule: &Rule, path: &mut Vec<String>) {
    let Some(step) = rule.path.get(path.len()) else {
        if let Value::List(items) = &mut node.value {
            apply_identity(items, Some(rule.merge), path);
        }
        return;
    };
    let Some(map) = node.as_map_mut() else {
        return;
    };
    let mut descend = |key: &str, entry: &mut Entry| {
        path.push(key.to_owned());
        unify_at(&mut entry.node, rule, path);
        path.pop();
    };
    if *step == "*" {
        for (key, entry) in map.iter_mut() {
            descend(key, entry);
        }
    } else if let Some(entry) = map.get_mut(*step) {
        descend(step, entry);
    }
}
