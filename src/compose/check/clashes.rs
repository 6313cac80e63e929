//! Two of one kind where only one can be.

use std::collections::HashMap;

use crate::compose::diagnostic::{Problems, Span};
use crate::compose::members::{Service, map_of};
use crate::compose::tree::{Node, Value};

/// Old keys and their `deploy` twins must agree. Where `limits` is there and has no twin, Docker Compose
/// takes the twin for 0.
pub(super) fn twins(service: &Service<'_>, problems: &mut Problems) {
    let pairs: [(&str, &[&str], &str); 5] = [
        ("scale", &["deploy"], "replicas"),
        ("cpus", &["deploy", "resources", "limits"], "cpus"),
        ("mem_limit", &["deploy", "resources", "limits"], "memory"),
        ("pids_limit", &["deploy", "resources", "limits"], "pids"),
        (
            "mem_reservation",
            &["deploy", "resources", "reservations"],
            "memory",
        ),
    ];
    for (old, path, new) in pairs {
        let (Some(first), Some(parent)) = (service.node.get(old), service.node.at(path)) else {
            continue;
        };
        if parent.as_map().is_none() {
            continue;
        }
        let number = |node: &Node| match &node.value {
            Value::Int(number) => *number as f64,
            Value::Float(number) => *number,
            Value::Text(text) => text.parse().unwrap_or(0.0),
            _ => 0.0,
        };
        let second = parent.get(new);
        let twin = second.map_or(0.0, number);
        let differ = match old {
            "scale" => second.is_some() && number(first) != twin,
            _ => number(first) != 0.0 && number(first) != twin,
        };
        if differ {
            let at = format!("{}.{new}", path.join("."));
            let message = format!("`{old}` and `{at}` of `{}` differ", service.name);
            problems
                .error(second.unwrap_or(parent).span, message)
                .related(first.span, format!("`{old}`"))
                .help("keep one of them");
        }
    }
}

/// A mount and a file system in memory cannot have the same path.
pub(super) fn targets(service: &Service<'_>, problems: &mut Problems) {
    let tmpfs = service.items("tmpfs").iter().filter_map(|node| {
        let target = node.as_text()?.split(':').next()?;
        Some((target, node.span))
    });
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (target, span) in tmpfs {
        if let Some(first) = seen.insert(target, span) {
            problems
                .error(span, format!("two things are mounted at `{target}`"))
                .related(first, "the first");
        }
    }
    for mount in service.items("volumes") {
        let Some(target) = mount.get("target").and_then(Node::as_text) else {
            continue;
        };
        if let Some(first) = seen.get(target) {
            problems
                .error(mount.span, format!("two things are mounted at `{target}`"))
                .related(*first, "the first");
        }
    }
}

/// Refuses containers of one name among the services that are on.
pub(in crate::compose) fn shared_names(
    tree: &Node,
    is_on: &dyn Fn(&str) -> bool,
    problems: &mut Problems,
) {
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (service, entry) in map_of(tree, "services") {
        if !is_on(service) {
            continue;
        }
        let Some(node) = entry.node.get("container_name") else {
            continue;
        };
        let Some(name) = node.as_text() else {
            continue;
        };
        if let Some(first) = seen.insert(name, node.span) {
            problems
                .error(node.span, format!("two containers are called `{name}`"))
                .related(first, "the first");
        }
    }
}
