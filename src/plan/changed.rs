//! What is another one about a service.

use serde_json::{Map, Value};

use crate::compose::model::Service;

/// Parts that make no other container.
const LEFT_OUT: [&str; 7] = [
    "hash_input",
    "has_build",
    "build",
    "pull_policy",
    "replicas",
    "depends_on",
    "profiles",
];
/// More names than this are counted.
const NAMES_MAX: usize = 4;

/// The names of the parts of a service that differ, with what differs of those that have names or targets
/// themselves: `command`, `environment (DEBUG, PORT)`, `volumes (/etc/app.conf)`.
pub(super) fn changed_parts(old: &Service, new: &Service) -> Vec<String> {
    let (Ok(Value::Object(old)), Ok(Value::Object(new))) =
        (serde_json::to_value(old), serde_json::to_value(new))
    else {
        return Vec::new();
    };
    new.iter()
        .filter(|(key, value)| !LEFT_OUT.contains(&key.as_str()) && old.get(*key) != Some(value))
        .map(|(key, value)| {
            let names = old.get(key).and_then(|old| changed_names(old, value));
            let shown = key.replace('_', "-");
            let shown = if key == "x_stack" { &shown } else { key };
            match names {
                Some(names) if !names.is_empty() => format!("{shown} ({})", listed(&names)),
                _ => shown.clone(),
            }
        })
        .collect()
}

/// The names of what differs between two maps, the targets of what differs between two lists.
fn changed_names(old: &Value, new: &Value) -> Option<Vec<String>> {
    let differing = |old: &Map<String, Value>, new: &Map<String, Value>| {
        let mut names: Vec<String> = new
            .iter()
            .filter(|(name, value)| old.get(*name) != Some(value))
            .map(|(name, _)| name)
            .chain(old.keys().filter(|name| !new.contains_key(*name)))
            .cloned()
            .collect();
        names.sort();
        names
    };
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => Some(differing(old, new)),
        (Value::Array(old), Value::Array(new)) => {
            Some(differing(&by_target(old)?, &by_target(new)?))
        }
        _ => None,
    }
}

fn by_target(list: &[Value]) -> Option<Map<String, Value>> {
    let named = list.iter().map(|item| {
        let target = match item.get("target")? {
            Value::String(text) => text.clone(),
            number @ Value::Number(_) => number.to_string(),
            _ => return None,
        };
        Some((target, item.clone()))
    });
    named.collect()
}

fn listed(names: &[String]) -> String {
    let shown = &names[..names.len().min(NAMES_MAX)];
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_has_its_name() {
        for (old, new, names) in [
            (
                json!({"A": 1, "B": 1}),
                json!({"A": 2, "C": 1}),
                Some("A, B, C"),
            ),
            (
                json!([{"target": "/a", "x": 1}, {"target": "/b"}]),
                json!([{"target": "/a", "x": 2}, {"target": "/b"}]),
                Some("/a"),
            ),
            (
                json!([{"target": 80}]),
                json!([{"target": 81}]),
                Some("80, 81"),
            ),
            (json!(["a"]), json!(["b"]), None),
            (json!(null), json!({"A": 1}), None),
            (
                json!({}),
                json!({"A": 1, "B": 1, "C": 1, "D": 1, "E": 1, "F": 1}),
                Some("A, B, C, D and 2 more"),
            ),
        ] {
            let found = changed_names(&old, &new).map(|names| listed(&names));
            assert_eq!(found.as_deref(), names, "{old} {new}");
        }
    }
}
