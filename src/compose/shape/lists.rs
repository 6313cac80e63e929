//! Lists, and the mappings that can be written as lists.

use std::collections::HashMap;

use super::scalars::{text, to_text};
use super::{At, Shaped, apply, finite, wrong};
use crate::compose::diagnostic::{Problems, Span};
use crate::compose::schema::{ListItem, NoValue, Shape};
use crate::compose::tree::{self, Directive, Entry, Map, Node, Value, Written};

pub(super) fn wrap(node: &mut Node) {
    let item = Node::new(std::mem::replace(&mut node.value, Value::Null), node.span);
    node.value = Value::List(vec![item]);
    node.written = Written::Single;
}

pub(super) fn list(
    node: &mut Node,
    item: &'static Shape,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    each(node, at, problems, |node, at, problems| {
        apply(node, item, at, problems)
    })
}

/// Brings every item of a list into its shape; those that cannot be are told of and left out.
pub(in crate::compose) fn each(
    node: &mut Node,
    at: &At<'_>,
    problems: &mut Problems,
    one: impl Fn(&mut Node, &At<'_>, &mut Problems) -> Shaped,
) -> Shaped {
    let Value::List(items) = &mut node.value else {
        return wrong(node, "a list", at, problems);
    };
    let mut index = 0;
    items.retain_mut(|item| {
        let kept = one(item, &at.index(index), problems).is_ok();
        index += 1;
        kept
    });
    Ok(())
}

/// Says which items of a list stand in it twice.
pub(in crate::compose) fn unique(node: &Node, at: &At<'_>, problems: &mut Problems) {
    let items = node.as_list().unwrap_or_default();
    let mut seen: HashMap<(&str, String), Span> = HashMap::with_capacity(items.len());
    for item in items {
        let Some(text) = item.scalar_text() else {
            continue;
        };
        // `1` and `"1"` are two things.
        if let Some(first) = seen.insert((item.kind(), text), item.span) {
            let text = item.scalar_text().unwrap_or_default();
            problems
                .error(item.span, format!("`{at}` has `{text}` twice"))
                .related(first, "first given here")
                .help("take one of them out");
        }
    }
}

pub(super) fn names(
    node: &mut Node,
    inner: &'static Shape,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    let Value::Map(map) = &mut node.value else {
        return wrong(node, "a mapping", at, problems);
    };
    map.retain(|name, entry| apply(&mut entry.node, inner, &at.key(name), problems).is_ok());
    Ok(())
}

pub(super) fn names_of_list(
    node: &mut Node,
    item: ListItem,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    let Value::List(items) = std::mem::replace(&mut node.value, Value::Null) else {
        return Ok(());
    };
    let mut map = tree::map_for(items.len());
    for (index, mut name) in items.into_iter().enumerate() {
        if text(&mut name, &at.index(index), problems).is_err() {
            continue;
        }
        let span = name.span;
        let mut value = Node::new(Value::Null, span);
        value.directive = name.directive;
        if item == ListItem::Dependency {
            value.value = Value::Map(Map::default());
            value.set("condition", Node::text("service_started", span));
            value.set("required", Node::new(Value::Bool(true), span));
        }
        let key = name.as_text().unwrap_or_default().to_owned();
        let entry = Entry {
            key: span,
            node: value,
        };
        map.insert(key, entry);
    }
    node.value = Value::Map(map);
    Ok(())
}

pub(in crate::compose) fn pairs(
    node: &mut Node,
    no_value: NoValue,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    match &mut node.value {
        Value::List(_) => pairs_of_list(node, at, problems),
        Value::Map(_) => {}
        _ => {
            return wrong(node, "a mapping or a list of `KEY=value`", at, problems);
        }
    }
    let listed = node.written == Written::List;
    let Value::Map(map) = &mut node.value else {
        return Ok(());
    };
    map.retain(|key, entry| {
        let node = &mut entry.node;
        if key.is_empty() && !listed {
            problems.error(entry.key, format!("`{at}` has a key without a name"));
            return false;
        }
        match (&node.value, no_value) {
            (Value::Null, NoValue::Inherit) => true,
            (Value::List(_) | Value::Map(_), _) if node.directive != Directive::Reset => {
                let _ = wrong(node, "text, a number or a boolean", &at.key(key), problems);
                false
            }
            _ => finite(node, &at.key(key), problems)
                .and_then(|()| to_text(node))
                .is_ok(),
        }
    });
    Ok(())
}

fn pairs_of_list(node: &mut Node, at: &At<'_>, problems: &mut Problems) {
    let Value::List(items) = std::mem::replace(&mut node.value, Value::Null) else {
        return;
    };
    let mut map = tree::map_for(items.len());
    for (index, mut item) in items.into_iter().enumerate() {
        if text(&mut item, &at.index(index), problems).is_err() {
            continue;
        }
        let span = item.span;
        let line = item.as_text().unwrap_or_default();
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Value::Text(value.to_owned())),
            None => (line, Value::Null),
        };
        let mut value = Node::new(value, span);
        value.directive = item.directive;
        map.insert(
            key.to_owned(),
            Entry {
                key: span,
                node: value,
            },
        );
    }
    node.value = Value::Map(map);
    node.written = Written::List;
}
