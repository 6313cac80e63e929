//! Short forms of values, brought to their long ones.

mod entries;
mod words;

use super::diagnostic::Problems;
use super::schema::{self, Keys, NoValue};
use super::shape::{self, At, Misshapen, Shaped, text, wrong};
use super::tree::{Map, Node, Value};

pub(super) use entries::list;
pub(super) use words::{health_test, words};

/// Permission bits of a file: a number or octal digits, brought to text with a leading zero.
pub(super) fn file_mode(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let bits = match &node.value {
        Value::Int(bits) => Some(*bits),
        Value::Text(text) => i64::from_str_radix(text, 8).ok().map(i128::from),
        _ => None,
    };
    let Some(bits) = bits else {
        return wrong(node, "permission bits such as `0440`", at, problems);
    };
    let sign = if bits < 0 { "-" } else { "" };
    node.value = Value::Text(format!("0{sign}{:o}", bits.unsigned_abs()));
    Ok(())
}

/// `default` or `ID=PATH`: a list or a mapping, brought to a mapping.
pub(super) fn ssh_keys(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    shape::unique(node, at, problems);
    shape::pairs(node, NoValue::Inherit, at, problems)?;
    for (id, entry) in node.as_map().into_iter().flatten() {
        let path = entry.node.as_text().unwrap_or_default();
        if path.is_empty() && id != "default" {
            problems
                .error(entry.key, format!("the SSH key `{id}` has no path"))
                .help(format!("write `{id}=PATH`, or `default` for the agent"));
            return Err(Misshapen);
        }
    }
    Ok(())
}

/// `all`, or a list of requests.
pub(super) fn gpus(
    node: &mut Node,
    known: &'static Keys,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    let span = node.span;
    if node.as_text() == Some("all") {
        let mut all = Node::new(Value::Map(Map::default()), span);
        all.set("count", Node::new(Value::Int(-1), span));
        node.value = Value::List(vec![all]);
        return Ok(());
    }
    mappings(node, known, at, problems)
}

/// A list of mappings with known keys.
pub(super) fn mappings(
    node: &mut Node,
    known: &'static Keys,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    shape::each(node, at, problems, |item, at, problems| {
        shape::keys(item, known, at, problems)
    })
}

/// A number of devices; `all` is -1.
pub(super) fn device_count(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if node
        .as_text()
        .is_some_and(|text| text.eq_ignore_ascii_case("all"))
    {
        node.value = Value::Int(-1);
    }
    shape::integer(node, (i64::MIN, i64::MAX), at, problems)
}

/// One limit for both, or `{soft, hard}`.
pub(super) fn ulimit(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if node.as_map().is_none() {
        let of_build = at.keys().contains(&"build");
        if matches!(node.value, Value::Float(_)) || (of_build && node.as_text().is_some()) {
            return wrong(node, "a whole number", at, problems);
        }
        shape::integer(node, (i64::MIN, i64::MAX), at, problems)?;
        // Docker Compose cannot tell one limit of 0 from two.
        if node.as_int() == Some(0) {
            let span = node.span;
            node.value = Value::Map(Map::default());
            for key in ["soft", "hard"] {
                node.set(key, Node::new(Value::Int(0), span));
            }
        }
        return Ok(());
    }
    shape::keys(node, &schema::ULIMIT, at, problems)
}

/// `name=address` for each host; both `=` and `:` may part them.
pub(super) fn hosts(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    shape::unique(node, at, problems);
    let mut lines: Vec<Node> = Vec::new();
    match std::mem::replace(&mut node.value, Value::Null) {
        Value::List(items) => {
            for (index, mut item) in items.into_iter().enumerate() {
                let at = at.index(index);
                if text(&mut item, &at, problems).is_err() {
                    continue;
                }
                let line = item.as_text().unwrap_or_default();
                match line.split_once('=').or_else(|| line.split_once(':')) {
                    Some(("", _)) => {
                        problems.error(item.span, format!("`{at}` has no name: `{line}`"));
                    }
                    Some((name, address)) => {
                        lines.push(host(name, address, &item));
                    }
                    None => {
                        problems
                            .error(item.span, format!("`{at}` has no address: `{line}`"))
                            .help("a host is written `NAME=ADDRESS`");
                    }
                }
            }
        }
        Value::Map(map) => {
            for (name, entry) in map {
                if name.is_empty() || name.contains('=') {
                    let message = format!("`{at}` has a host that cannot be called `{name}`");
                    problems.error(entry.key, message);
                    continue;
                }
                let at = at.key(&name);
                let addresses = match entry.node.value {
                    Value::List(items) => items,
                    _ => vec![entry.node],
                };
                for mut address in addresses {
                    if text(&mut address, &at, problems).is_ok() {
                        let value = address.as_text().unwrap_or_default().to_owned();
                        lines.push(host(&name, &value, &address));
                    }
                }
            }
        }
        other => {
            node.value = other;
            return wrong(node, "a list or a mapping", at, problems);
        }
    }
    node.value = Value::List(lines);
    Ok(())
}

fn host(name: &str, address: &str, node: &Node) -> Node {
    let address = address
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'))
        .unwrap_or(address);
    Node::text(format!("{name}={address}"), node.span)
}
