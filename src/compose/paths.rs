//! Relative paths of a merged tree, made absolute against the project directory.

use std::path::{Path, PathBuf};

use super::mounts::is_windows_path;
use super::project::{absolute, clean};
use super::tree::{Node, Value};

/// What relative paths start from.
pub(super) struct Bases {
    pub(super) project: PathBuf,
    pub(super) home: Option<PathBuf>,
}

impl Bases {
    fn resolve(&self, written: &str) -> String {
        let home = self.home.as_deref().filter(|_| written.starts_with('~'));
        let path = match (home, written.strip_prefix('~')) {
            // Docker Compose takes `~name` for a path below the caller's home, too.
            (Some(home), Some(rest)) => clean(&home.join(rest.trim_start_matches('/'))),
            _ => PathBuf::from(written),
        };
        if path.is_absolute() {
            return path.to_string_lossy().into_owned();
        }
        absolute(&self.project, &path)
            .to_string_lossy()
            .into_owned()
    }

    fn text(&self, node: Option<&mut Node>) {
        if let Some(Node {
            value: Value::Text(text),
            ..
        }) = node
            && !text.is_empty()
        {
            *text = self.resolve(text);
        }
    }
}

fn child<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    node.as_map_mut()?.get_mut(key).map(|entry| &mut entry.node)
}

fn items<'a>(node: &'a mut Node, key: &str) -> &'a mut [Node] {
    match child(node, key).map(|node| &mut node.value) {
        Some(Value::List(items)) => items,
        _ => &mut [],
    }
}

fn children<'a>(node: &'a mut Node, key: &str) -> impl Iterator<Item = &'a mut Node> {
    child(node, key)
        .and_then(Node::as_map_mut)
        .into_iter()
        .flat_map(|map| map.values_mut().map(|entry| &mut entry.node))
}

/// Makes every path absolute.
pub(super) fn resolve(tree: &mut Node, bases: &Bases) {
    for service in children(tree, "services") {
        for file in items(service, "env_file") {
            bases.text(child(file, "path"));
        }
        for file in items(service, "label_file") {
            bases.text(Some(file));
        }
        for mount in items(service, "volumes") {
            let source = mount.get("source").and_then(Node::as_text);
            let of_windows = source.is_some_and(is_windows_path);
            if mount.get("type").and_then(Node::as_text) == Some("bind") && !of_windows {
                bases.text(child(mount, "source"));
            }
        }
        if let Some(build) = child(service, "build") {
            build_paths(build, bases);
        }
        if let Some(develop) = child(service, "develop") {
            for rule in items(develop, "watch") {
                bases.text(child(rule, "path"));
            }
        }
    }
    for key in ["configs", "secrets"] {
        for file in children(tree, key) {
            bases.text(child(file, "file"));
        }
    }
    for volume in children(tree, "volumes") {
        let is_local = volume.get("driver").and_then(Node::as_text) == Some("local");
        let Some(options) = child(volume, "driver_opts").filter(|_| is_local) else {
            continue;
        };
        if options.get("o").and_then(Node::as_text) == Some("bind")
            && let Some(Value::Text(device)) = child(options, "device").map(|node| &mut node.value)
        {
            // Also an empty one, which is what a variable that is not set leaves.
            *device = bases.resolve(device);
        }
    }
}

fn build_paths(build: &mut Node, bases: &Bases) {
    if build.as_map().is_some() && build.get("context").is_none() {
        let span = build.span;
        build.set("context", Node::text(".", span));
    }
    context(child(build, "context"), bases);
    for named in children(build, "additional_contexts") {
        context(Some(named), bases);
    }
    for key in children(build, "ssh") {
        bases.text(Some(key));
    }
}

/// A context is a directory, unless it is elsewhere: a URL, a Git repository, another service.
fn context(node: Option<&mut Node>, bases: &Bases) {
    let is_elsewhere = |text: &str| {
        text.contains("://")
            || text.starts_with("git@")
            || text.starts_with("github.com/")
            || text.starts_with("service:")
    };
    let written = node.as_deref().and_then(Node::as_text);
    if written.is_some_and(|text| !is_elsewhere(text)) {
        bases.text(node);
    }
}

/// A path inside of a container, without `.`, `..` and a slash at the end.
pub(super) fn clean_target(target: &str) -> String {
    super::project::clean(Path::new(target))
        .to_string_lossy()
        .into_owned()
}
