//! The variables and labels that services take from files and from the caller.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Problems, Span};
use super::dotenv::{self, Scope};
use super::project::{self, EnvFile, display_path};
use super::source::Source;
use super::template::Lookup;
use super::tree::{Entry, Layer, Map, Node, Value};

/// What the phase needs besides the tree.
pub(super) struct Context<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) lookup: &'a Lookup<'a>,
    pub(super) working_dir: &'a Path,
    pub(super) problems: &'a mut Problems,
    /// Files that were read before: many services may name the same one.
    pub(super) files: &'a mut HashMap<PathBuf, Arc<[u8]>>,
    /// `env_file` is neither read nor taken out.
    pub(super) keep_env_files: bool,
}

/// Fills `environment` from `env_file` and the caller, and `labels` from `label_file`.
pub(super) fn resolve(service: &mut Node, context: &mut Context<'_>) {
    let files = service
        .as_map_mut()
        .filter(|_| !context.keep_env_files)
        .and_then(|map| map.shift_remove("env_file"))
        .map(|entry| entry.node);
    let own = service.get("environment").and_then(Node::as_map);
    let mut from_files = Map::default();
    for file in files.as_ref().and_then(Node::as_list).unwrap_or_default() {
        env_file(file, own, &mut from_files, context);
    }
    let (given, place) = take_map(service, "environment");
    fill(&mut from_files, given, |name| (context.lookup)(name));
    put_map(service, "environment", from_files, place);
    build_args(service, context);

    let mut labels = Map::default();
    let files = service.get("label_file").and_then(Node::as_list);
    for file in files.unwrap_or_default().to_vec() {
        let path = file.as_text().unwrap_or_default();
        // As in Compose, labels know no variables but the labels of earlier files and those above.
        let earlier = texts(Some(&labels));
        let scope = Scope {
            first: &|name| earlier.get(name).cloned(),
            last: &|_| None,
        };
        if let Some(read) = read(&file, path, &scope, context) {
            add(&mut labels, read, &file, context.problems);
        }
    }
    let (given, place) = take_map(service, "labels");
    fill(&mut labels, given, |_| None);
    put_map(service, "labels", labels, place);
}

/// An argument of a build without a value has the caller's, or is not given.
fn build_args(service: &mut Node, context: &Context<'_>) {
    let build = service
        .as_map_mut()
        .and_then(|map| map.get_mut("build"))
        .map(|entry| &mut entry.node);
    let Some(args) = build.and_then(|build| build.as_map_mut()?.get_mut("args")) else {
        return;
    };
    let Some(args) = args.node.as_map_mut() else {
        return;
    };
    args.retain(|name, entry| {
        if entry.node.value == Value::Null {
            entry.node.value = match (context.lookup)(name) {
                Some(value) => Value::Text(value),
                None => return false,
            };
        }
        true
    });
}

fn texts(map: Option<&Map>) -> HashMap<String, String> {
    map.into_iter()
        .flatten()
        .filter_map(|(name, entry)| Some((name.clone(), entry.node.as_text()?.to_owned())))
        .collect()
}

/// A mapping, and where its key and it are written; both where the service is when it has none.
fn take_map(service: &mut Node, key: &str) -> (Map, (Span, Span)) {
    let nowhere = (service.span, service.span);
    let entry = service.as_map_mut().and_then(|map| map.shift_remove(key));
    match entry {
        Some(Entry { key, node }) => match node.value {
            Value::Map(map) => (map, (key, node.span)),
            _ => (Map::default(), nowhere),
        },
        None => (Map::default(), nowhere),
    }
}

fn put_map(service: &mut Node, name: &str, map: Map, (key, span): (Span, Span)) {
    if let Some(keys) = service.as_map_mut()
        && !map.is_empty()
    {
        let node = Node::new(Value::Map(map), span);
        keys.insert(name.to_owned(), Entry { key, node });
    }
}

/// Lays what the service itself says over what the files say.
fn fill(map: &mut Map, given: Map, lookup: impl Fn(&str) -> Option<String>) {
    for (name, mut entry) in given {
        if entry.node.value == Value::Null
            && let Some(value) = lookup(&name)
        {
            entry.node.value = Value::Text(value);
        }
        if let Some(below) = map.get(&name) {
            entry.node.shadow(&below.node, Layer::EnvFile);
        }
        map.insert(name, entry);
    }
}

fn add(map: &mut Map, read: EnvFile, file: &Node, problems: &mut Problems) {
    // Every service has its own copy.
    let texts = read.variables.iter();
    let bytes = texts.map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
    if let Err(error) = problems.budget.take(read.variables.len(), bytes.sum()) {
        problems.error(file.span, error.to_string());
        return;
    }
    for (name, value) in read.variables {
        // Named without a value, and nobody has one: not set at all.
        let Some(value) = value else {
            continue;
        };
        let span = read.places.get(&name).copied().unwrap_or(file.span);
        let mut node = Node::text(value, span);
        if let Some(below) = map.get(&name) {
            node.shadow(&below.node, Layer::EnvFile);
        }
        map.insert(name, Entry { key: span, node });
    }
}

fn env_file(file: &Node, own: Option<&Map>, earlier: &mut Map, context: &mut Context<'_>) {
    let Some(path_node) = file.get("path") else {
        return;
    };
    let path = path_node.as_text().unwrap_or_default();
    let required = file.get("required").and_then(Node::as_bool) != Some(false);
    let absolute = project::absolute(context.working_dir, Path::new(path));
    if !required && !context.source.is_file(&absolute) {
        return;
    }
    let raw = file.get("format").and_then(Node::as_text) == Some("raw");
    let read = {
        let caller = context.lookup;
        let last = |name: &str| {
            let text = |map: &Map| Some(map.get(name)?.node.as_text()?.to_owned());
            own.and_then(text).or_else(|| text(earlier))
        };
        let scope = Scope {
            first: &|name| caller(name),
            last: &last,
        };
        if raw {
            read_raw(path_node, path, context)
        } else {
            read(path_node, path, &scope, context)
        }
    };
    if let Some(read) = read {
        add(earlier, read, path_node, context.problems);
    }
}

fn bytes(node: &Node, path: &str, context: &mut Context<'_>) -> Option<Arc<[u8]>> {
    // Relative only when paths are not to be resolved.
    let absolute = project::absolute(context.working_dir, Path::new(path));
    let found = match context.files.get(&absolute) {
        Some(bytes) => Ok(Arc::clone(bytes)),
        None => context.source.read(&absolute).map(Arc::from),
    };
    match found {
        Ok(bytes) => match context.problems.budget.take(0, bytes.len()) {
            Ok(()) => {
                context
                    .files
                    .entry(absolute)
                    .or_insert_with(|| Arc::clone(&bytes));
                Some(bytes)
            }
            Err(error) => {
                context.problems.error(node.span, error.to_string());
                None
            }
        },
        Err(error) => {
            let diagnostic = context.problems.error(
                node.span,
                format!("the file {path} cannot be read: {error}"),
            );
            if error.kind() == std::io::ErrorKind::NotFound {
                diagnostic.help("make the file; one that may be missing is written `{path: FILE, required: false}`");
            }
            None
        }
    }
}

fn read(node: &Node, path: &str, scope: &Scope<'_>, context: &mut Context<'_>) -> Option<EnvFile> {
    let bytes = bytes(node, path, context)?;
    let shown = display_path(Path::new(path), context.working_dir);
    project::read_env_file(&bytes, shown, scope, context.problems)
}

fn read_raw(node: &Node, path: &str, context: &mut Context<'_>) -> Option<EnvFile> {
    let bytes = bytes(node, path, context)?;
    match super::decode::decode(&bytes) {
        Ok(text) => {
            let shown = display_path(Path::new(path), context.working_dir);
            let read = dotenv::parse_raw(&text, context.lookup);
            EnvFile::read(read, &text, shown, context.problems)
        }
        Err(why) => {
            context.problems.error(node.span, format!("{path}: {why}"));
            None
        }
    }
}
