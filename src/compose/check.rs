//! Checks that need the whole tree: what refers to what, and what excludes what.

mod build;
mod clashes;
mod cycles;

use indexmap::IndexMap;

use build::build;
pub(super) use clashes::shared_names;
use clashes::{targets, twins};
use cycles::cycles;

use super::diagnostic::{Problems, Span};
use super::members::{Service, map_of};
use super::tree::{Entry, Node, Value};

/// The services of a tree by name.
type Services<'a> = IndexMap<&'a str, &'a Entry>;

/// Checks a finished tree; only services that are on are looked at.
pub(super) fn check(tree: &Node, is_on: &dyn Fn(&str) -> bool, problems: &mut Problems) {
    names(tree, problems);
    obsolete(tree, problems);
    left_over(tree, problems);
    let all: Services<'_> = map_of(tree, "services")
        .iter()
        .map(|(name, entry)| (name.as_str(), entry))
        .collect();
    let on: Services<'_> = all
        .iter()
        .filter(|(name, _)| is_on(name))
        .map(|(name, entry)| (*name, *entry))
        .collect();
    for (name, entry) in &on {
        let service = Service::new(name, entry);
        image(&service, problems);
        dependencies(&service, &all, &on, problems);
        references(&service, tree, problems);
        network_mode(&service, problems);
        replicas(&service, problems);
        build(&service, &all, tree, problems);
        twins(&service, problems);
        targets(&service, problems);
        requests(&service, problems);
        watches(&service, problems);
    }
    contents(tree, problems);
    external(tree, problems);
    cycles(&on, problems);
}

/// Keys of services, networks, volumes, configs and secrets: `[a-zA-Z0-9._-]+`.
fn names(tree: &Node, problems: &mut Problems) {
    for kind in ["services", "networks", "volumes", "configs", "secrets"] {
        for (name, entry) in map_of(tree, kind) {
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
            if name.is_empty() || !name.chars().all(valid) {
                problems
                    .error(entry.key, format!("`{name}` cannot be a name in `{kind}`"))
                    .help("a name has letters, digits, `.`, `_` and `-`");
            }
        }
    }
}

fn obsolete(tree: &Node, problems: &mut Problems) {
    if let Some(version) = tree.as_map().and_then(|map| map.get("version")) {
        problems
            .warn(
                version.key,
                "the attribute `version` is obsolete, it will be ignored, please remove it to avoid potential confusion",
            )
            .label("ignored");
    }
}

/// What other files bring in must have been taken in by now.
fn left_over(tree: &Node, problems: &mut Problems) {
    let services = map_of(tree, "services").values();
    let extends = services.filter_map(|entry| entry.node.as_map()?.get("extends"));
    let include = tree.as_map().and_then(|map| map.get("include"));
    for entry in extends.chain(include) {
        problems.error(entry.key, "what other files bring in is not supported yet");
    }
}

fn image(service: &Service<'_>, problems: &mut Problems) {
    let name = service.name;
    let given = |key: &str| {
        service
            .node
            .get(key)
            .is_some_and(|node| node.value != Value::Null)
    };
    let has_image = service
        .text("image")
        .is_some_and(|(image, _)| !image.is_empty());
    // A mistake in the service may well be its misspelt image.
    if has_image || given("build") || given("provider") || problems.has_error_in(service.node.span)
    {
        return;
    }
    problems
        .error(service.key, format!("the service `{name}` has no image"))
        .help(format!(
            "add `image: NAME` to `{name}`, or `build: DIRECTORY`"
        ));
}

fn dependencies(
    service: &Service<'_>,
    all: &Services<'_>,
    on: &Services<'_>,
    problems: &mut Problems,
) {
    let name = service.name;
    for (other, entry) in service.map("depends_on") {
        let required = entry.node.get("required").and_then(Node::as_bool) != Some(false);
        if !on.contains_key(other.as_str()) {
            if let Some(found) = all.get(other.as_str()) {
                if required {
                    problems
                        .error(
                            entry.key,
                            format!("`{name}` depends on `{other}`, which no active profile switches on"),
                        )
                        .related(found.key, "has profiles")
                        .help("activate one of its profiles with `--profile`, or write `required: false`");
                }
                continue;
            }
            let others = all.keys().copied().filter(|known| *known != name);
            let meant = problems.suggestion(other, others);
            let diagnostic = problems.error(
                entry.key,
                format!("`{name}` depends on `{other}`, but there is no such service"),
            );
            match meant {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None => diagnostic.help(format!("add a service `{other}`, or take it out here")),
            };
        }
    }
}

fn references(service: &Service<'_>, tree: &Node, problems: &mut Problems) {
    for (network, entry) in service.map("networks") {
        undefined("network", "networks", network, (entry.key, tree), problems);
    }
    for mount in service.items("volumes") {
        if mount.get("type").and_then(Node::as_text) == Some("volume")
            && let Some(source) = mount.get("source")
            && let Some(volume) = source.as_text().filter(|text| !text.is_empty())
        {
            undefined("volume", "volumes", volume, (source.span, tree), problems);
        }
    }
    for (model, entry) in service.map("models") {
        undefined("model", "models", model, (entry.key, tree), problems);
    }
    for (kind, what) in [("configs", "config"), ("secrets", "secret")] {
        for item in service.items(kind) {
            if let Some(source) = item.get("source")
                && let Some(used) = source.as_text()
            {
                undefined(what, kind, used, (source.span, tree), problems);
            }
        }
    }
}

fn undefined(
    what: &str,
    kind: &str,
    name: &str,
    (span, tree): (Span, &Node),
    problems: &mut Problems,
) {
    let known = map_of(tree, kind);
    if known.contains_key(name) {
        return;
    }
    let meant = problems.suggestion(name, known.keys().map(String::as_str));
    let diagnostic = problems.error(span, format!("there is no {what} `{name}`"));
    match meant {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None if what == "volume" && name.contains('/') => {
            diagnostic.help(format!("a path starts with `./`: `./{name}`"))
        }
        None => diagnostic.help(format!("add `{name}:` to the top-level `{kind}:`")),
    };
}

fn network_mode(service: &Service<'_>, problems: &mut Problems) {
    let name = service.name;
    let Some((_, span)) = service.text("network_mode") else {
        return;
    };
    let given = service.node.get("networks").and_then(Node::as_map);
    if let Some(networks) = given.filter(|networks| !networks.is_empty()) {
        let first = networks.values().next().map(|entry| entry.key);
        let diagnostic = problems.error(
            span,
            format!("`{name}` has both `network_mode` and `networks`"),
        );
        if let Some(first) = first {
            diagnostic.related(first, "the networks");
        }
        diagnostic.help("keep one of them");
    }
}

/// The number of containers a service asks for, and where it says so.
pub(super) fn replica_count(service: &Node) -> (i128, Option<Span>) {
    let found = service
        .at(&["deploy", "replicas"])
        .or_else(|| service.get("scale"));
    match found {
        Some(node) => (node.as_int().unwrap_or(1), Some(node.span)),
        None => (1, None),
    }
}

fn replicas(service: &Service<'_>, problems: &mut Problems) {
    let name = service.name;
    let (count, count_span) = replica_count(service.node);
    let Some(span) = count_span.filter(|_| count > 1) else {
        return;
    };
    if let Some((container, name_span)) = service.text("container_name") {
        problems
            .error(
                name_span,
                format!("{count} containers of `{name}` cannot all be called `{container}`"),
            )
            .related(span, "more than one")
            .help("take `container_name` out");
    }
}

/// A volume that exists already is not made, so nothing can be said of how.
fn external(tree: &Node, problems: &mut Problems) {
    for (name, entry) in map_of(tree, "volumes") {
        let node = &entry.node;
        if node.get("external").and_then(Node::as_bool) != Some(true) {
            continue;
        }
        for (key, other) in node.as_map().into_iter().flatten() {
            if !matches!(key.as_str(), "external" | "name") && !key.starts_with("x-") {
                problems
                    .error(
                        other.key,
                        format!("`volumes.{name}` exists already, so `{key}` means nothing"),
                    )
                    .help(format!("take `external` or `{key}` out"));
            }
        }
    }
}

/// Where the content of configs and secrets comes from: one place, unless they are kept elsewhere.
fn contents(tree: &Node, problems: &mut Problems) {
    let kinds: [(&str, &[&str]); 2] = [
        ("configs", &["file", "environment", "content"]),
        ("secrets", &["file", "environment"]),
    ];
    for (kind, places) in kinds {
        for (name, entry) in map_of(tree, kind) {
            let node = &entry.node;
            let external = node.get("external").and_then(Node::as_bool);
            // Docker Compose asks a config for nothing more once it says whether it is external.
            if external == Some(true) || (kind == "configs" && external.is_some()) {
                continue;
            }
            let given: Vec<&Node> = places.iter().filter_map(|place| node.get(place)).collect();
            match given.as_slice() {
                [_] => {}
                [] => {
                    let places: Vec<String> =
                        places.iter().map(|place| format!("`{place}`")).collect();
                    problems
                        .error(entry.key, format!("`{kind}.{name}` has no content"))
                        .help(format!("give it one of {}", places.join(", ")));
                }
                [first, second, ..] => {
                    problems
                        .error(
                            second.span,
                            format!("`{kind}.{name}` has its content twice"),
                        )
                        .related(first.span, "the first")
                        .help("keep one of them");
                }
            }
        }
    }
}

fn requests(service: &Service<'_>, problems: &mut Problems) {
    let path = ["deploy", "resources", "reservations", "devices"];
    let reserved = service.node.at(&path).and_then(Node::as_list);
    let gpus = service.items("gpus");
    for device in reserved.unwrap_or_default().iter().chain(gpus) {
        if let (Some(count), Some(ids)) = (device.get("count"), device.get("device_ids")) {
            problems
                .error(ids.span, "`count` and `device_ids` exclude each other")
                .related(count.span, "the count")
                .help("keep one of them");
        }
    }
}

fn watches(service: &Service<'_>, problems: &mut Problems) {
    let rules = service.node.at(&["develop", "watch"]);
    for rule in rules.and_then(Node::as_list).unwrap_or_default() {
        let action = rule.get("action").and_then(Node::as_text);
        if !matches!(action, Some("rebuild" | "restart")) && rule.get("target").is_none() {
            problems
                .error(rule.span, "files are copied nowhere: there is no `target`")
                .help("add `target: PATH`, a path in the container");
        }
    }
}
