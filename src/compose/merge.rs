//! Merging one tree onto another, and making lists unique.
//!
//! Mappings merge key by key, lists append what they do not have yet, everything else replaces, and
//! nothing (a key without a value) changes nothing. [`SERVICE`] and [`OTHERS`] have the exceptions;
//! [`super::unique`] says what makes an item of a list the same as another. Both trees are in their
//! long forms.
//!
//! The same merge lays a file over the files before it, a service over the one that it extends, and
//! a file over those that it includes. What was replaced is remembered in [`Node::earlier`].

use indexmap::IndexMap;

use super::diagnostic::Problems;
use super::tree::{Directive, Entry, Layer, Map, Node, Value, Written};

/// How two values at one place become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// The later one replaces the earlier, even when it is nothing.
    Replace,
    /// Keys replace keys, also those without a value. Either may be written as a list.
    Pairs,
    /// As mappings; either may be written in another form.
    Forms,
    /// As mappings, but the later one alone when the drivers differ.
    SameDriver,
    /// Lists append; one value may stand for a list of one.
    Texts,
    /// Lists append, also to what was written as one value.
    Lists,
    /// Address pools: see `pools`.
    Pools,
}

struct Rule {
    path: &'static [&'static str],
    merge: Merge,
}

const fn service(path: &'static [&'static str], merge: Merge) -> Rule {
    Rule { path, merge }
}

/// Exceptions from the general rule, below a service.
static SERVICE: &[Rule] = &[
    service(&["annotations"], Merge::Pairs),
    service(&["build"], Merge::Forms),
    service(&["build", "additional_contexts"], Merge::Pairs),
    service(&["build", "args"], Merge::Pairs),
    service(&["build", "extra_hosts"], Merge::Texts),
    service(&["build", "labels"], Merge::Pairs),
    service(&["command"], Merge::Replace),
    service(&["depends_on"], Merge::Forms),
    service(&["deploy", "labels"], Merge::Pairs),
    service(&["dns"], Merge::Texts),
    service(&["dns_opt"], Merge::Texts),
    service(&["dns_search"], Merge::Texts),
    service(&["entrypoint"], Merge::Replace),
    service(&["env_file"], Merge::Texts),
    service(&["environment"], Merge::Pairs),
    service(&["extra_hosts"], Merge::Texts),
    service(&["gpus"], Merge::Lists),
    service(&["healthcheck", "test"], Merge::Replace),
    service(&["label_file"], Merge::Texts),
    service(&["labels"], Merge::Pairs),
    service(&["logging"], Merge::SameDriver),
    service(&["models"], Merge::Forms),
    service(&["networks"], Merge::Forms),
    service(&["sysctls"], Merge::Pairs),
    service(&["tmpfs"], Merge::Texts),
    service(&["ulimits", "*"], Merge::Forms),
    service(&["x-stack", "exec"], Merge::Replace),
];

/// Exceptions from the general rule elsewhere; the name under the section is left out.
static OTHERS: &[(&str, Rule)] = &[
    ("configs", service(&["labels"], Merge::Pairs)),
    ("networks", service(&["ipam", "config"], Merge::Pools)),
    ("networks", service(&["labels"], Merge::Pairs)),
    ("secrets", service(&["labels"], Merge::Pairs)),
    ("volumes", service(&["labels"], Merge::Pairs)),
];

/// A place in the tree: the keys from the top.
type Path<'a> = [&'a str];

fn rule_for(path: &Path<'_>) -> Option<Merge> {
    let [section, _, below @ ..] = path else {
        return None;
    };
    let matches = |rule: &&Rule| {
        rule.path.len() == below.len()
            && rule
                .path
                .iter()
                .zip(below)
                .all(|(wanted, step)| *wanted == "*" || wanted == step)
    };
    if *section == "services" {
        return SERVICE.iter().find(matches).map(|rule| rule.merge);
    }
    OTHERS
        .iter()
        .filter(|(of, _)| of == section)
        .map(|(_, rule)| rule)
        .find(matches)
        .map(|rule| rule.merge)
}

/// Merges a file onto the ones before it. `!reset` and `!override` are done and gone afterwards.
pub(super) fn merge(base: &mut Node, over: Node) {
    let merging = Merging {
        layer: Layer::File,
        settles: true,
    };
    merging.merge(base, over, &[]);
}

/// Lays a value of a file that has others before it over one that comes from elsewhere: from the
/// service that it extends, or from a file that is included. `!reset` and `!override` are done, and
/// stay for the merge with the files before it.
pub(super) fn merge_below(base: &mut Node, over: Node, path: &[&str], layer: Layer) {
    let merging = Merging {
        layer,
        settles: false,
    };
    merging.merge(base, over, path);
}

struct Merging {
    layer: Layer,
    settles: bool,
}

impl Merging {
    fn merge(&self, base: &mut Node, mut over: Node, path: &Path<'_>) {
        if over.directive == Directive::Override {
            return self.replace(base, over);
        }
        let rule = rule_for(path);
        if rule == Some(Merge::Replace) {
            return self.replace(base, over);
        }
        if over.value == Value::Null {
            return;
        }
        match (&mut base.value, over.value) {
            (Value::Map(earlier), Value::Map(later)) => match rule {
                Some(Merge::Pairs) => {
                    self.pairs(earlier, later, base.written == Written::List);
                    base.written = Written::List;
                }
                Some(Merge::SameDriver) if drivers_differ(earlier, &later) => {
                    over.value = Value::Map(later);
                    self.replace(base, over);
                }
                _ => self.maps(earlier, later, path),
            },
            // Compose leaves one value as it is where it has no rule: it is replaced, not a list.
            (Value::List(_), Value::List(later))
                if rule.is_none() && base.written == Written::Single =>
            {
                over.value = Value::List(later);
                self.replace(base, over);
            }
            (Value::List(earlier), Value::List(mut later)) => {
                if self.settles {
                    settle_items(&mut later);
                }
                match rule {
                    Some(Merge::Pools) => self.pools(earlier, later, path),
                    _ => append(earlier, later),
                }
            }
            (_, value) => {
                over.value = value;
                self.replace(base, over);
            }
        }
    }

    fn replace(&self, base: &mut Node, mut over: Node) {
        if self.settles {
            settle(&mut over);
        }
        if base.value != Value::Null {
            over.shadow(base, self.layer);
        }
        *base = over;
    }

    fn maps(&self, earlier: &mut Map, later: Map, path: &Path<'_>) {
        for (key, entry) in later {
            let Some(found) = earlier.get_mut(&key) else {
                self.insert(earlier, key, entry);
                continue;
            };
            if entry.node.directive == Directive::Reset {
                self.reset(earlier, key, entry);
                continue;
            }
            found.key = entry.key;
            let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            self.merge(&mut found.node, entry.node, &path);
        }
        self.take_out(earlier);
    }

    /// Takes out what [`reset`](Self::reset) marked.
    fn take_out(&self, map: &mut Map) {
        let is_marked = |entry: &Entry| entry.node.directive == Directive::Reset;
        if self.settles && map.values().any(is_marked) {
            map.retain(|_, entry| !is_marked(entry));
        }
    }

    /// Keys replace keys. One key of what is a list cannot be taken away.
    fn pairs(&self, earlier: &mut Map, later: Map, listed: bool) {
        for (key, entry) in later {
            match earlier.get_mut(&key) {
                Some(_) if entry.node.directive == Directive::Reset => {
                    if !listed {
                        self.reset(earlier, key, entry);
                    }
                }
                Some(found) => {
                    found.key = entry.key;
                    self.replace(&mut found.node, entry.node);
                }
                None => self.insert(earlier, key, entry),
            }
        }
        self.take_out(earlier);
    }

    fn insert(&self, map: &mut Map, key: String, mut entry: Entry) {
        if self.settles {
            if entry.node.directive == Directive::Reset {
                return;
            }
            settle(&mut entry.node);
        }
        map.insert(key, entry);
    }

    fn reset(&self, map: &mut Map, key: String, entry: Entry) {
        if !self.settles {
            map.shift_remove(&key);
            map.insert(key, entry);
        } else if let Some(found) = map.get_mut(&key) {
            // Taken out with all others: each removal by itself moves everything after it.
            found.node.directive = Directive::Reset;
        }
    }

    /// Address pools, as Compose merges them: what the later file says about the subnet of an earlier
    /// pool is merged with it; another subnet takes the place of all that were there, and what they
    /// say besides it goes to the next one that is found. (`override/merge.go`, `mergeIPAMConfig`)
    fn pools(&self, earlier: &mut Vec<Node>, later: Vec<Node>, path: &Path<'_>) {
        let later: Vec<(Option<String>, Node)> = later
            .into_iter()
            .map(|pool| (subnet_of(&pool), pool))
            .collect();
        // A pool of each subnet, so that thousands are found at once.
        let mut pools: IndexMap<Option<String>, Node> = IndexMap::new();
        for mut original in std::mem::take(earlier) {
            for (subnet, over) in &later {
                if *subnet != subnet_of(&original) && !pools.contains_key(subnet) {
                    pools.insert(subnet.clone(), over.clone());
                    continue;
                }
                self.merge(&mut original, over.clone(), path);
                pools.insert(subnet_of(&original), original.clone());
            }
        }
        *earlier = pools.into_values().collect();
    }
}

/// Appends what is not there yet.
fn append(earlier: &mut Vec<Node>, later: Vec<Node>) {
    for item in later {
        if !earlier.iter().any(|found| found.same_value(&item)) {
            earlier.push(item);
        }
    }
}

fn subnet_of(pool: &Node) -> Option<String> {
    pool.get("subnet").and_then(Node::scalar_text)
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

/// Takes out what is marked `!reset` in a tree that has nothing before it.
pub(super) fn settle(node: &mut Node) {
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

/// Takes the keys without a value out of a tree that others lie below: they say nothing about what
/// may be there. What is nowhere below has to be put back with [`restore_nothings`].
///
/// Returns a tree of them, or `None`.
pub(super) fn take_nothings(node: &mut Node, path: &Path<'_>) -> Option<Node> {
    let rule = rule_for(path);
    if matches!(rule, Some(Merge::Pairs | Merge::Texts)) || node.directive != Directive::Merge {
        return None;
    }
    let span = node.span;
    let map = node.as_map_mut()?;
    let mut taken = Map::default();
    map.retain(|key, entry| {
        let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
        let nothing = match entry.node.value {
            Value::Null if entry.node.directive != Directive::Merge => None,
            Value::Null if rule_for(&path) == Some(Merge::Replace) => None,
            Value::Null => {
                taken.insert(key.clone(), entry.clone());
                return false;
            }
            _ => take_nothings(&mut entry.node, &path),
        };
        if let Some(node) = nothing {
            let key_span = entry.key;
            taken.insert(
                key.clone(),
                Entry {
                    key: key_span,
                    node,
                },
            );
        }
        true
    });
    (!taken.is_empty()).then(|| Node::new(Value::Map(taken), span))
}

/// Takes out of a tree of keys without a value those in whose place something came to lie.
pub(super) fn keep_missing(tree: &Node, nothings: &mut Node) {
    let (Some(map), Some(nothings)) = (tree.as_map(), nothings.as_map_mut()) else {
        return;
    };
    nothings.retain(|key, entry| match map.get(key) {
        Some(_) if entry.node.value == Value::Null => false,
        Some(found) => {
            keep_missing(&found.node, &mut entry.node);
            true
        }
        None => entry.node.value == Value::Null,
    });
}

/// Puts keys without a value back where nothing came to lie in their place.
pub(super) fn restore_nothings(tree: &mut Node, nothings: Node) {
    let (Some(map), Value::Map(nothings)) = (tree.as_map_mut(), nothings.value) else {
        return;
    };
    for (key, entry) in nothings {
        match map.get_mut(&key) {
            Some(found) => restore_nothings(&mut found.node, entry.node),
            None if entry.node.value == Value::Null => {
                map.insert(key, entry);
            }
            None => {}
        }
    }
}

/// Refuses what would put a value of another kind in the place of a mapping or list. The later tree
/// is as it was written; short forms are no other kind where the rules say so.
pub(super) fn refuse_other_kinds(
    base: &Node,
    over: &Node,
    path: &Path<'_>,
    problems: &mut Problems,
) {
    if over.directive != Directive::Merge {
        return;
    }
    if over.value == Value::Null {
        // Nothing changes nothing, but for this one.
        if rule_for(path) == Some(Merge::SameDriver) && base.value != Value::Null {
            problems
                .error(over.span, format!("`{}` has no value", path.join(".")))
                .related(base.span, "before")
                .help("take the key out, or write `!reset` to take away what is before");
        }
        return;
    }
    match (&base.value, &over.value) {
        (Value::Map(earlier), Value::Map(later)) => {
            for (key, entry) in later {
                let Some(found) = earlier.get(key) else {
                    continue;
                };
                let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                refuse_other_kinds(&found.node, &entry.node, &path, problems);
            }
        }
        (Value::Map(_), _) | (Value::List(_), _)
            if matches!(rule_for(path), None | Some(Merge::Lists))
                && base.kind() != over.kind() =>
        {
            problems
                .error(
                    over.span,
                    format!(
                        "`{}` is {} here and {} before: they cannot be merged",
                        path.join("."),
                        over.kind(),
                        base.kind()
                    ),
                )
                .related(base.span, "before")
                .help("write it in the same form, or replace it with `!override`");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compose::diagnostic::Span;
    use crate::compose::reader;

    fn read(text: &str) -> Node {
        let mut problems = Problems::default();
        let file = problems.sources.add("x.yaml".into(), text.into()).unwrap();
        reader::read(text, file, &mut problems).remove(0)
    }

    /// What is left when each text is merged onto those before it.
    fn merged(texts: &[&str]) -> Node {
        let mut tree = Node::new(Value::Map(Map::default()), Span::default());
        for text in texts {
            merge(&mut tree, read(text));
        }
        tree
    }

    #[test]
    fn every_rule_does_what_its_name_says() {
        // Earlier, later, and what comes of them, below a service.
        let table = [
            ("{user: a}", "{user: b}", "{user: b}"),
            ("{user: a}", "{user: }", "{user: a}"),
            (
                "{cap_add: [a, b]}",
                "{cap_add: [b, c, c]}",
                "{cap_add: [a, b, c]}",
            ),
            ("{cap_add: [1]}", "{cap_add: ['1']}", "{cap_add: [1, '1']}"),
            ("{command: [a]}", "{command: [b]}", "{command: [b]}"),
            ("{command: [a]}", "{command: }", "{command: }"),
            (
                "{labels: {a: 1, b: 1}}",
                "{labels: {a: 2}}",
                "{labels: {a: 2, b: 1}}",
            ),
            (
                "{environment: {a: 1}}",
                "{environment: {a: }}",
                "{environment: {a: }}",
            ),
            (
                "{logging: {driver: a, options: {x: 1}}}",
                "{logging: {options: {y: 1}}}",
                "{logging: {driver: a, options: {x: 1, y: 1}}}",
            ),
            (
                "{logging: {driver: a, options: {x: 1}}}",
                "{logging: {driver: b}}",
                "{logging: {driver: b}}",
            ),
            (
                "{ulimits: {a: {soft: 1}}}",
                "{ulimits: {a: 5}}",
                "{ulimits: {a: 5}}",
            ),
            ("{user: a, tty: true}", "{user: !reset null}", "{tty: true}"),
            (
                "{cap_add: [a]}",
                "{cap_add: !override [b]}",
                "{cap_add: [b]}",
            ),
            (
                "{cap_add: [a]}",
                "{cap_add: [!reset a, b]}",
                "{cap_add: [a, b]}",
            ),
            (
                "{labels: {a: 1}}",
                "{labels: {a: !reset 1}}",
                "{labels: {}}",
            ),
            ("{}", "{user: !reset a, tty: !override true}", "{tty: true}"),
        ];
        for (earlier, later, expected) in table {
            let below = |service: &str| format!("services: {{a: {service}}}");
            let tree = merged(&[&below(earlier), &below(later)]);
            let expected = read(&below(expected));
            assert!(tree.same_value(&expected), "{earlier} + {later}: {tree:?}");
        }
    }

    #[test]
    fn pools_of_addresses_replace_one_another_as_in_compose() {
        let table = [
            (
                "[{subnet: a, gateway: g}]",
                "[{subnet: b}]",
                "[{subnet: b}]",
            ),
            (
                "[{subnet: a, gateway: g}]",
                "[{subnet: a, ip_range: r}]",
                "[{subnet: a, gateway: g, ip_range: r}]",
            ),
            (
                "[{subnet: a}, {subnet: b, gateway: g}]",
                "[{subnet: c}]",
                "[{subnet: c, gateway: g}]",
            ),
        ];
        for (earlier, later, expected) in table {
            let below = |config: &str| format!("networks: {{n: {{ipam: {{config: {config}}}}}}}");
            let tree = merged(&[&below(earlier), &below(later)]);
            assert!(
                tree.same_value(&read(&below(expected))),
                "{earlier} + {later}: {tree:?}"
            );
        }
    }

    fn services() -> impl Strategy<Value = String> {
        let value = prop::sample::select(vec![
            "user: a",
            "user: b",
            "cap_add: [a, b]",
            "cap_add: [b, c]",
            "labels: {a: 1, b: 2}",
            "labels: {b: 3, c: 4}",
            "command: [x]",
            "healthcheck: {test: [CMD], interval: 1s}",
            "healthcheck: {test: [NONE], retries: 3}",
            "depends_on: {b: {condition: c}}",
            "build: {context: ., args: {A: 1}}",
            "build: {args: {A: 2}, target: t}",
        ]);
        let key = |text: &&str| text.split(':').next().unwrap_or_default().to_owned();
        prop::collection::vec(value, 0..6).prop_map(move |values| {
            let unique: std::collections::BTreeMap<_, _> =
                values.iter().map(|value| (key(value), *value)).collect();
            let values: Vec<&str> = unique.into_values().collect();
            format!("services: {{a: {{{}}}}}", values.join(", "))
        })
    }

    proptest! {
        #[test]
        fn merging_is_associative(a in services(), b in services(), c in services()) {
            let left = merged(&[&a, &b, &c]);
            let mut right = read(&b);
            merge(&mut right, read(&c));
            let mut all = read(&a);
            merge(&mut all, right);
            prop_assert!(left.same_value(&all), "{:?}\n{:?}", left, all);
        }

        #[test]
        fn merging_nothing_changes_nothing(a in services()) {
            let alone = read(&a);
            let nothing = merged(&[&a, "services: {a: }"]);
            prop_assert!(nothing.same_value(&alone), "{:?}", nothing);
            let twice = merged(&[&a, &a]);
            prop_assert!(twice.same_value(&alone), "{:?}", twice);
        }
    }
}
