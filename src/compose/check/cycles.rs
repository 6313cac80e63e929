//! Services that need each other in a circle.

use std::collections::HashSet;

use super::Services;
use crate::compose::diagnostic::{Problems, Span};
use crate::compose::tree::Node;

/// One message for each circle, with the whole way round.
pub(super) fn cycles(on: &Services<'_>, problems: &mut Problems) {
    let edges = |name: &str| {
        on.get(name)
            .and_then(|entry| entry.node.get("depends_on"))
            .and_then(Node::as_map)
            .into_iter()
            .flatten()
    };
    let mut done: HashSet<&str> = HashSet::new();
    for start in on.keys() {
        // An explicit stack: a chain may have thousands of services.
        let mut path: Vec<(&str, Vec<(&str, Span)>)> = Vec::new();
        let mut on_path: HashSet<&str> = HashSet::new();
        let enter = |name: &'_ str| -> Vec<(&str, Span)> {
            edges(name)
                .filter_map(|(other, entry)| {
                    on.get_key_value(other.as_str())
                        .map(|(other, _)| (*other, entry.key))
                })
                .collect()
        };
        if done.contains(start) {
            continue;
        }
        path.push((start, enter(start)));
        on_path.insert(start);
        while let Some((name, rest)) = path.last_mut() {
            let name = *name;
            let Some((next, span)) = rest.pop() else {
                path.pop();
                on_path.remove(name);
                done.insert(name);
                continue;
            };
            if on_path.contains(next) {
                if problems.is_full() {
                    return;
                }
                let from = path.iter().position(|(name, _)| *name == next).unwrap_or(0);
                let mut names: Vec<&str> = path[from..].iter().map(|(name, _)| *name).collect();
                names.push(next);
                problems
                    .error(
                        span,
                        format!(
                            "services depend on each other in a circle: {}",
                            names.join(" -> ")
                        ),
                    )
                    .label("closes the circle");
            } else if !done.contains(next) {
                on_path.insert(next);
                path.push((next, enter(next)));
            }
        }
    }
}
