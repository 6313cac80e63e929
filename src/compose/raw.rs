//! The tree for `config --no-interpolate`: long forms, but every value as it is written.
//!
//! A value with a variable in it has no type yet, so nothing is converted and nothing that cannot be
//! split is split; what is wrong without any variable is still told.

use super::diagnostic::{Level, Problems};
use super::forms;
use super::schema::{self, Form, Shape};
use super::shape::{self, At};
use super::tree::{Directive, Entry, Map, Node, Value};

static TOP_SHAPE: Shape = Shape::Keys(&schema::TOP);

/// Tells what is wrong with a document, whatever its variables will be.
pub(super) fn check(document: &Node, problems: &mut Problems) {
    let mut copy = document.clone();
    let mut found = Problems::default();
    std::mem::swap(&mut found.sources, &mut problems.sources);
    // What cannot be brought to its shape is among the problems.
    let _ = shape::apply(&mut copy, &TOP_SHAPE, &At::ROOT, &mut found);
    std::mem::swap(&mut found.sources, &mut problems.sources);
    let diagnostics = found.finish();
    for item in diagnostics.iter() {
        let text = item.span.and_then(|span| problems.sources.text(span));
        let has_variable = text.is_some_and(|text| text.contains('$'));
        if item.level == Level::Warning || !has_variable {
            problems.record(item.clone());
        }
    }
}

/// Brings a document to its long forms.
pub(super) fn expand(document: &mut Node) {
    if let Some(map) = document.as_map_mut() {
        map.shift_remove("version");
    }
    for service in children(document, "services") {
        expand_service(service);
    }
    for kind in ["networks", "volumes", "secrets", "configs"] {
        for resource in children(document, kind) {
            external(resource);
        }
    }
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    node.as_map_mut()?.get_mut(key).map(|entry| &mut entry.node)
}

fn children<'a>(node: &'a mut Node, key: &str) -> impl Iterator<Item = &'a mut Node> {
    child(node, key)
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(|map| map.values_mut().map(|entry| &mut entry.node))
}

fn expand_service(service: &mut Node) {
    if let Some(build) = child(service, "build") {
        text_to_map(build, "context");
        pairs_to_map(child(build, "additional_contexts"));
        names_to_map(child(build, "ssh"));
        items(child(build, "secrets"), |item| text_to_map(item, "source"));
    }
    names_to_map(child(service, "networks"));
    depends_on(child(service, "depends_on"));
    for key in ["dns", "label_file", "env_file"] {
        text_to_list(child(service, key));
    }
    items(child(service, "env_file"), |item| {
        text_to_map(item, "path");
        default(item, "required", Value::Bool(true));
    });
    if let Some(gpus) = child(service, "gpus")
        && gpus.as_text() == Some("all")
    {
        text_to_map(gpus, "count");
        wrap(gpus);
    }
    for key in ["secrets", "configs"] {
        items(child(service, key), |item| text_to_map(item, "source"));
    }
    items(child(service, "secrets"), |item| {
        if let Some(source) = item.get("source").and_then(Node::as_text) {
            let target = format!("/run/secrets/{source}");
            default(item, "target", Value::Text(target));
        }
    });
    items(child(service, "volumes"), |item| {
        short_form(item, Form::Mount)
    });
    items(child(service, "devices"), |item| {
        short_form(item, Form::Device)
    });
    ports(child(service, "ports"));
}

fn items(list: Option<&mut Node>, change: impl Fn(&mut Node)) {
    if let Some(Value::List(items)) = list.map(|list| &mut list.value) {
        let changed = items.iter_mut();
        changed
            .filter(|item| item.directive != Directive::Reset)
            .for_each(change);
    }
}

fn wrap(node: &mut Node) {
    let inner = Node::new(std::mem::replace(&mut node.value, Value::Null), node.span);
    node.value = Value::List(vec![inner]);
}

fn text_to_list(node: Option<&mut Node>) {
    if let Some(node) = node.filter(|node| node.as_text().is_some()) {
        wrap(node);
    }
}

/// Text becomes a mapping with it under this key.
fn text_to_map(node: &mut Node, key: &str) {
    if node.as_text().is_some() {
        let inner = Node::new(std::mem::replace(&mut node.value, Value::Null), node.span);
        node.value = Value::Map(Map::default());
        node.set(key, inner);
    }
}

fn default(node: &mut Node, key: &str, value: Value) {
    if node.as_map().is_some() && node.get(key).is_none() {
        node.set(key, Node::new(value, node.span));
    }
}

/// A list of names becomes a mapping of nothing.
fn names_to_map(node: Option<&mut Node>) {
    list_to_map(node, |text| (text.to_owned(), Value::Null));
}

/// A list of `NAME=VALUE` becomes a mapping.
fn pairs_to_map(node: Option<&mut Node>) {
    list_to_map(node, |text| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Value::Text(value.to_owned())),
        None => (text.to_owned(), Value::Null),
    });
}

fn list_to_map(node: Option<&mut Node>, pair: impl Fn(&str) -> (String, Value)) {
    let Some(node) = node else {
        return;
    };
    let Value::List(items) = &node.value else {
        return;
    };
    let mut map = Map::default();
    for item in items {
        let Some(text) = item.as_text() else {
            return;
        };
        let (name, value) = pair(text);
        let mut node = Node::new(value, item.span);
        node.directive = item.directive;
        let key = item.span;
        map.insert(name, Entry { key, node });
    }
    node.value = Value::Map(map);
}

fn depends_on(node: Option<&mut Node>) {
    let Some(node) = node else {
        return;
    };
    let listed = node.as_list().is_some();
    names_to_map(Some(&mut *node));
    for entry in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        let dependency = &mut entry.node;
        if listed {
            dependency.value = Value::Map(Map::default());
            default(
                dependency,
                "condition",
                Value::Text("service_started".to_owned()),
            );
        }
        default(dependency, "required", Value::Bool(true));
    }
}

/// The long form of an item, if it can be told.
fn long_forms(item: &Node, form: Form) -> Option<Vec<Node>> {
    let mut list = Node::new(Value::List(vec![item.clone()]), item.span);
    let mut unheard = Problems::default();
    forms::list(&mut list, form, &At::ROOT, &mut unheard).ok()?;
    match list.value {
        Value::List(items) if !unheard.has_errors() => Some(items),
        _ => None,
    }
}

fn short_form(item: &mut Node, form: Form) {
    if item.as_text().is_some()
        && let Some(long) = long_forms(item, form).and_then(|mut long| long.pop())
    {
        let directive = item.directive;
        *item = long;
        item.directive = directive;
        if let Some(bind) = child(item, "bind") {
            default(bind, "create_host_path", Value::Bool(true));
        }
    }
}

/// Ports stay as they are written when one of them cannot be told.
fn ports(node: Option<&mut Node>) {
    let Some(Value::List(ports)) = node.map(|node| &mut node.value) else {
        return;
    };
    let long = |port: &Node| match port.value {
        Value::Map(_) => Some(vec![port.clone()]),
        _ => long_forms(port, Form::Port),
    };
    let expanded: Option<Vec<Vec<Node>>> = ports.iter().map(long).collect();
    if let Some(expanded) = expanded {
        *ports = expanded.into_iter().flatten().collect();
    }
    for port in ports {
        default(port, "mode", Value::Text("ingress".to_owned()));
        default(port, "protocol", Value::Text("tcp".to_owned()));
    }
}

/// The old `external: {name: x}`.
fn external(resource: &mut Node) {
    let Some(external) = child(resource, "external") else {
        return;
    };
    if let Value::Map(inner) = &mut external.value {
        let name = inner.shift_remove("name");
        external.value = Value::Bool(true);
        if let Some(name) = name
            && resource.get("name").is_none()
        {
            resource.set("name", name.node);
        }
    }
}
