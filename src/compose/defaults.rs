//! What a stack file means without saying it: the default network, full names, dependencies.

use super::diagnostic::Span;
use super::tree::{Entry, Map, Node, Value};

/// Completes what is only half said. The tree is merged, its paths are absolute.
pub(super) fn complete(tree: &mut Node) {
    for (_, entry) in entries(tree, "services") {
        completed_service(&mut entry.node);
    }
    for kind in ["networks", "volumes", "secrets", "configs"] {
        for (_, entry) in entries(tree, kind) {
            if entry.node.value == Value::Null {
                entry.node.value = Value::Map(Map::default());
            }
        }
    }
}

/// Fills in what is implied (what Compose calls normalisation).
pub(super) fn fill(tree: &mut Node, project: &str) {
    let mut needs_default = None;
    for (_, entry) in entries(tree, "services") {
        let span = entry.key;
        service(&mut entry.node, span);
        let on_default = entry.node.at(&["networks", "default"]).is_some();
        if on_default && needs_default.is_none() {
            needs_default = Some(span);
        }
    }
    if let Some(span) = needs_default {
        ensure_default_network(tree, span);
    }
    for kind in ["networks", "volumes", "secrets", "configs"] {
        for (key, entry) in entries(tree, kind) {
            full_name(&mut entry.node, key, project);
        }
    }
}

/// Gives what the file names, and makes, a name of its own: containers, networks and volumes. What is
/// external stays what it is. The containers that have another name now: service and old name.
pub(super) fn own_names(tree: &mut Node, own: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let names = [
        ("services", "container_name"),
        ("networks", "name"),
        ("volumes", "name"),
    ];
    let mut renamed = Vec::new();
    for (kind, key) in names {
        for (owner, entry) in entries(tree, kind) {
            if entry.node.get("external").and_then(Node::as_bool) == Some(true) {
                continue;
            }
            let given = child(&mut entry.node, key).map(|node| &mut node.value);
            if let Some(Value::Text(name)) = given
                && !name.is_empty()
            {
                let old = std::mem::replace(name, own(name));
                if kind == "services" && old != *name {
                    renamed.push((owner.clone(), old));
                }
            }
        }
    }
    renamed
}

fn entries<'a>(tree: &'a mut Node, key: &str) -> impl Iterator<Item = (&'a String, &'a mut Entry)> {
    tree.as_map_mut()
        .and_then(|map| map.get_mut(key))
        .and_then(|entry| entry.node.as_map_mut())
        .into_iter()
        .flatten()
}

fn mapping(span: Span) -> Node {
    Node::new(Value::Map(Map::default()), span)
}

fn ensure_default_network(tree: &mut Node, span: Span) {
    if tree.get("networks").is_none() {
        tree.set("networks", mapping(span));
    }
    if let Some(map) = tree.as_map_mut()
        && let Some(networks) = map.get_mut("networks")
        && networks.node.get("default").is_none()
    {
        networks.node.set("default", mapping(span));
    }
}

fn full_name(node: &mut Node, key: &str, project: &str) {
    let span = node.span;
    if node.value == Value::Null {
        node.value = Value::Map(Map::default());
    }
    let named = node
        .get("name")
        .and_then(Node::as_text)
        .is_some_and(|name| !name.is_empty());
    if named {
        return;
    }
    let external = node.get("external").and_then(Node::as_bool) == Some(true);
    let name = match external {
        true => key.to_owned(),
        false => format!("{project}_{key}"),
    };
    node.set("name", Node::text(name, span));
}

fn completed_service(service: &mut Node) {
    if let Some(dependencies) = child(service, "depends_on").and_then(Node::as_map_mut) {
        for entry in dependencies.values_mut() {
            let span = entry.node.span;
            if entry.node.get("condition").is_none() {
                let condition = Node::text("service_started", span);
                entry.node.set("condition", condition);
            }
            if entry.node.get("required").is_none() {
                let required = Node::new(Value::Bool(true), span);
                entry.node.set("required", required);
            }
        }
    }
    devices(service);
    zeros(service);
    replicas(service);
    list(service, "extra_hosts").sort_by(|a, b| a.as_text().cmp(&b.as_text()));
    if let Some(build) = child(service, "build") {
        list(build, "extra_hosts").sort_by(|a, b| a.as_text().cmp(&b.as_text()));
    }
}

fn service(service: &mut Node, span: Span) {
    let networks = service.get("networks").and_then(Node::as_map);
    let has_mode = service.get("network_mode").is_some();
    let is_provided = service.get("provider").is_some();
    if !has_mode && !is_provided && networks.is_none_or(Map::is_empty) {
        let mut networks = mapping(span);
        networks.set("default", Node::new(Value::Null, span));
        service.set("networks", networks);
    }
    implied_dependencies(service);
    if let Some(build) = child(service, "build") {
        let span = build.span;
        if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
            build.set("dockerfile", Node::text("Dockerfile", span));
        }
    }
    let policy = child(service, "pull_policy").map(|node| &mut node.value);
    if let Some(Value::Text(policy)) = policy
        && policy == "if_not_present"
    {
        "missing".clone_into(policy);
    }
    pre_start(service);
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    node.as_map_mut()?.get_mut(key).map(|entry| &mut entry.node)
}

/// Services whose namespaces are shared or that are linked must be there first.
fn implied_dependencies(service: &mut Node) {
    let mut implied: Vec<(String, Span)> = Vec::new();
    // A service whose mounts are taken over need not be restarted with.
    let mut shared: Vec<(String, Span)> = Vec::new();
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(key)
            && let Some(other) = node
                .as_text()
                .and_then(|text| text.strip_prefix("service:"))
        {
            implied.push((other.to_owned(), node.span));
        }
    }
    for link in service
        .get("links")
        .and_then(Node::as_list)
        .unwrap_or_default()
    {
        let other = link.as_text().and_then(|link| link.split(':').next());
        implied.extend(other.map(|other| (other.to_owned(), link.span)));
    }
    for item in items(service, "volumes_from") {
        let other = item.as_text().and_then(|text| text.split(':').next());
        if let Some(other) = other.filter(|other| *other != "container") {
            shared.push((other.to_owned(), item.span));
        }
    }
    if implied.is_empty() && shared.is_empty() {
        return;
    }
    if service.get("depends_on").is_none() {
        let span = service.span;
        service.set("depends_on", mapping(span));
    }
    let Some(dependencies) = child(service, "depends_on") else {
        return;
    };
    let implied = implied.into_iter().map(|(other, span)| (other, span, true));
    let shared = shared.into_iter().map(|(other, span)| (other, span, false));
    for (other, span, restart) in implied.chain(shared) {
        if dependencies.get(&other).is_none() {
            let mut dependency = mapping(span);
            dependency.set("condition", Node::text("service_started", span));
            if restart {
                dependency.set("restart", Node::new(Value::Bool(true), span));
            }
            dependency.set("required", Node::new(Value::Bool(true), span));
            dependencies.set(&other, dependency);
        }
    }
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_list).unwrap_or_default()
}

fn list<'a>(node: &'a mut Node, key: &str) -> &'a mut [Node] {
    match child(node, key).map(|node| &mut node.value) {
        Some(Value::List(items)) => items,
        _ => &mut [],
    }
}

/// A request for devices that says neither how many nor which means all of them.
fn devices(service: &mut Node) {
    let fill = |device: &mut Node| {
        if device.get("count").is_none() && device.get("device_ids").is_none() {
            let span = device.span;
            device.set("count", Node::new(Value::Int(-1), span));
        }
    };
    list(service, "gpus").iter_mut().for_each(fill);
    if let Some(reservations) = reservations(service) {
        list(reservations, "devices").iter_mut().for_each(fill);
    }
}

/// What Docker Compose prints as nothing or zero when it is not given.
fn zeros(service: &mut Node) {
    let zero = |node: &mut Node, key: &str, value: Value| {
        if node.get(key).is_none() {
            let span = node.span;
            node.set(key, Node::new(value, span));
        }
    };
    let text = |text: &str| Value::Text(text.to_owned());
    if let Some(limits) = child(service, "blkio_config") {
        for (key, entry) in limits.as_map_mut().into_iter().flatten() {
            let Value::List(items) = &mut entry.node.value else {
                continue;
            };
            for item in items {
                zero(item, "path", text(""));
                match key.as_str() {
                    "weight_device" => zero(item, "weight", Value::Int(0)),
                    _ => zero(item, "rate", text("0")),
                }
            }
        }
    }
    if let Some(reservations) = reservations(service) {
        for item in list(reservations, "generic_resources") {
            if let Some(spec) = child(item, "discrete_resource_spec") {
                zero(spec, "kind", text(""));
                zero(spec, "value", Value::Int(0));
            }
        }
    }
}

fn reservations(service: &mut Node) -> Option<&mut Node> {
    let resources = child(child(service, "deploy")?, "resources")?;
    child(resources, "reservations")
}

/// Where there is a `deploy`, it has the number of containers, too.
fn replicas(service: &mut Node) {
    let scale = service.get("scale").cloned();
    if let Some(scale) = scale
        && let Some(deploy) = child(service, "deploy")
        && deploy.as_map().is_some()
        && deploy.get("replicas").is_none()
    {
        deploy.set("replicas", scale);
    }
}

/// The steps before the start take over what describes the service's container, but for its mounts.
fn pre_start(service: &mut Node) {
    if items(service, "pre_start").is_empty() {
        return;
    }
    let Some(map) = service.as_map() else {
        return;
    };
    let taken: Vec<(&str, Entry)> = super::schema::container_fields()
        .iter()
        .filter(|field| field.key != "volumes")
        .filter_map(|field| Some((field.key, map.get(field.key)?.clone())))
        .collect();
    for step in list(service, "pre_start") {
        let Some(step) = step.as_map_mut() else {
            continue;
        };
        for (key, entry) in &taken {
            match step.get_mut(*key) {
                None => {
                    step.insert((*key).to_owned(), entry.clone());
                }
                Some(own) if *key == "environment" => {
                    let mut variables = entry.node.clone();
                    if let (Some(all), Some(own)) = (variables.as_map_mut(), own.node.as_map()) {
                        all.extend(own.clone());
                    }
                    own.node = variables;
                }
                Some(_) => {}
            }
        }
    }
}
