//! `include`: other files as models of their own, laid below the file that names them.
//!
//! Each entry has its own project directory and `.env`; the variables of the including files win.
//! What both sides define is merged, the including file over the included, and of two entries the
//! first over the second. (compose-go, `loader/include.go`)

use std::path::{Path, PathBuf};

use super::circle::{self, Step};
use super::{Document, Loader, Scope, empty, section};
use crate::compose::diagnostic::{Span, Through, suggestion};
use crate::compose::dotenv;
use crate::compose::merge;
use crate::compose::paths::{self, Bases};
use crate::compose::project::{self, Variables, absolute, display_path};
use crate::compose::tree::{Directive, Entry, Layer, Map, Node, Value, Written};

/// What is taken over from an included file.
const SECTIONS: [&str; 6] = [
    "services", "volumes", "networks", "secrets", "configs", "models",
];

/// Includes that no stack comes near; a few files that include each other twice at each level would
/// make billions.
const MAX_INCLUDES: usize = 10_000;

/// A step of a chain of includes.
pub(super) struct Link<'a> {
    /// The file that was included, without symbolic links.
    file: PathBuf,
    /// Where it is named.
    span: Span,
    /// The file that names it.
    by: PathBuf,
    parent: Option<&'a Link<'a>>,
}

/// An entry, in its long form.
struct Included {
    files: Vec<PathBuf>,
    directory: PathBuf,
    /// Relative paths of what is mounted or built start here.
    paths_from: PathBuf,
    env_files: Option<Vec<(PathBuf, Span)>>,
    span: Span,
}

/// Takes the section out of a document.
pub(super) fn take(tree: &mut Node) -> Option<Node> {
    let entry = tree.as_map_mut()?.shift_remove("include")?;
    let given = entry.node.value != Value::Null && entry.node.directive != Directive::Reset;
    given.then_some(entry.node)
}

/// Lays what a document includes below it.
pub(super) fn include(
    loader: &mut Loader<'_>,
    document: &mut Document,
    entries: &Node,
    scope: Scope<'_>,
) {
    let Some(items) = entries.as_list() else {
        let message = format!("`include` must be a list, not {}", entries.kind());
        loader
            .problems
            .error(entries.span, message)
            .help("put a `-` before each file");
        return;
    };
    for item in items {
        let Some(included) = entry(loader, item, scope) else {
            continue;
        };
        if let Some(tree) = load(loader, &document.path, &included, scope) {
            import(&mut document.tree, tree);
        }
    }
}

/// Reads an entry: a path, or `{path, project_directory, env_file}`.
fn entry(loader: &mut Loader<'_>, item: &Node, scope: Scope<'_>) -> Option<Included> {
    let paths = match &item.value {
        Value::Text(_) => vec![item.clone()],
        Value::Map(map) => {
            for (key, entry) in map {
                unknown_key(loader, key, entry);
            }
            texts(loader, item.get("path"))?
        }
        _ => {
            let message = format!("an entry of `include` is a path, not {}", item.kind());
            loader.problems.error(item.span, message);
            return None;
        }
    };
    let Some(first) = paths.first() else {
        loader
            .problems
            .warn(item.span, "this entry of `include` has no `path`")
            .label("nothing is included");
        return None;
    };
    let span = first.span;
    let mut files = Vec::new();
    for path in &paths {
        files.push(local(loader, path, scope.directory, "included")?);
    }
    let (directory, paths_from) = match item.get("project_directory") {
        Some(node) if node.scalar_text().is_some_and(|text| !text.is_empty()) => {
            project_directory(loader, node, scope)
        }
        _ => {
            let directory = files.first()?.parent()?.to_path_buf();
            (directory.clone(), directory)
        }
    };
    let env_files = texts(loader, item.get("env_file"))?
        .into_iter()
        .filter_map(|file| {
            let path = absolute(scope.directory, Path::new(file.as_text()?));
            Some((path, file.span))
        })
        .collect::<Vec<_>>();
    Some(Included {
        files,
        directory,
        paths_from,
        env_files: Some(env_files).filter(|files| !files.is_empty()),
        span,
    })
}

/// The directory that an entry names, and where relative paths start: when a relative one is not
/// there, Docker Compose takes it for the name of a file, and starts beside it.
fn project_directory(loader: &mut Loader<'_>, node: &Node, scope: Scope<'_>) -> (PathBuf, PathBuf) {
    let text = node.scalar_text().unwrap_or_default();
    let directory = absolute(scope.directory, Path::new(&text));
    if loader.source.is_dir(&directory) || Path::new(&text).is_absolute() {
        return (directory.clone(), directory);
    }
    let paths_from = match directory.parent() {
        Some(parent) => parent.to_path_buf(),
        None => directory.clone(),
    };
    let shown = display_path(&paths_from, &loader.options.working_dir);
    loader
        .problems
        .warn(
            node.span,
            format!("the project directory `{text}` is not there"),
        )
        .label(format!("relative paths start at {}", shown.display()));
    (directory, paths_from)
}

/// Docker Compose reads over a key that it does not know here: so it is a warning.
fn unknown_key(loader: &mut Loader<'_>, key: &str, entry: &Entry) {
    const KEYS: [&str; 3] = ["path", "project_directory", "env_file"];
    if KEYS.contains(&key) || key.starts_with("x-") {
        return;
    }
    let diagnostic = loader
        .problems
        .warn(entry.key, format!("there is no key `{key}` in `include`"))
        .label("ignored");
    if let Some(meant) = suggestion(key, KEYS) {
        diagnostic.help(format!("did you mean `{meant}`?"));
    }
}

/// A text or a list of texts; `None` when it is something else, which was recorded.
fn texts(loader: &mut Loader<'_>, node: Option<&Node>) -> Option<Vec<Node>> {
    let Some(node) = node else {
        return Some(Vec::new());
    };
    let items = match &node.value {
        Value::Null => &[],
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    match items.iter().find(|item| item.as_text().is_none()) {
        Some(other) => {
            let message = format!("a path is text, not {}", other.kind());
            loader.problems.error(other.span, message);
            None
        }
        None => Some(items.to_vec()),
    }
}

/// The absolute path of a file of this machine; others are refused.
pub(super) fn local(
    loader: &mut Loader<'_>,
    node: &Node,
    directory: &Path,
    what: &str,
) -> Option<PathBuf> {
    let text = node.as_text()?;
    let remote = if text.starts_with("oci://") {
        Some("a registry")
    } else if is_git(text) {
        Some("a git repository")
    } else {
        None
    };
    if let Some(place) = remote {
        loader
            .problems
            .error(
                node.span,
                format!("files that are {what} from {place} are not supported: `{text}`"),
            )
            .help("fetch it, and name the local file");
        return None;
    }
    Some(absolute(directory, Path::new(text)))
}

/// What Docker Compose takes for a git repository.
fn is_git(text: &str) -> bool {
    const SCHEMES: [&str; 5] = ["git://", "ssh://", "https://", "http://", "git+"];
    text.starts_with("git@")
        || text.starts_with("github.com/")
        || SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

fn load(loader: &mut Loader<'_>, by: &Path, included: &Included, scope: Scope<'_>) -> Option<Node> {
    let first = included.files.first()?;
    let link = Link {
        file: loader.source.canonical(first),
        span: included.span,
        by: by.to_path_buf(),
        parent: scope.included,
    };
    if is_circle(loader, &link) {
        return None;
    }
    loader.includes += 1;
    if loader.includes > MAX_INCLUDES {
        if loader.includes == MAX_INCLUDES + 1 {
            let message = format!("more than {MAX_INCLUDES} files are included");
            loader.problems.error(included.span, message);
        }
        return None;
    }
    let variables = variables(loader, included, scope)?;
    let lookup = |name: &str| (scope.lookup)(name).or_else(|| variables.get(name).cloned());
    let inner = Scope {
        directory: &included.directory,
        lookup: &lookup,
        included: Some(&link),
    };
    let through = Through {
        span: included.span,
        what: "included here",
    };
    let mut tree = loader.load(&included.files, inner, Some(through))?;
    // Also when paths are to stay relative: they would start at another directory.
    let bases = Bases {
        project: included.paths_from.clone(),
        home: loader.source.home(),
    };
    paths::resolve(&mut tree, &bases);
    inherit(&mut tree, &lookup);
    Some(tree)
}

/// Whether a chain comes back to a file that it went through; then it is recorded.
fn is_circle(loader: &mut Loader<'_>, link: &Link<'_>) -> bool {
    let chain: Vec<&Link<'_>> = std::iter::successors(Some(link), |link| link.parent).collect();
    let source = loader.source;
    let Some(start) = chain
        .iter()
        .position(|step| source.canonical(&step.by) == link.file)
    else {
        return false;
    };
    // Found: the chain is the way from there to here, backwards.
    let shown = |path: &Path| {
        display_path(path, &loader.options.working_dir)
            .display()
            .to_string()
    };
    let steps: Vec<Step> = chain[..=start]
        .iter()
        .rev()
        .map(|step| Step {
            span: step.span,
            to: shown(&step.file),
        })
        .collect();
    circle::report(
        "files include each other in a circle",
        &steps,
        loader.problems,
    );
    true
}

/// The variables of an entry's own files; those of the including file come first.
fn variables(loader: &mut Loader<'_>, included: &Included, scope: Scope<'_>) -> Option<Variables> {
    let mut variables = Variables::new();
    let default = [(included.directory.join(".env"), included.span)];
    let (files, optional) = match &included.env_files {
        Some(files) => (files.as_slice(), false),
        None => (default.as_slice(), true),
    };
    for (path, span) in files {
        if path == Path::new("/dev/null") {
            continue;
        }
        let bytes = match loader.source.read(path) {
            Ok(bytes) => bytes,
            Err(error) if optional && project::is_absent(&error) => continue,
            Err(error) => {
                let shown = display_path(path, &loader.options.working_dir);
                let message = format!("the file {} cannot be read: {error}", shown.display());
                loader.problems.error(*span, message);
                return None;
            }
        };
        let shown = display_path(path, &loader.options.working_dir);
        let earlier = |name: &str| variables.get(name).cloned();
        let scope = dotenv::Scope {
            first: scope.lookup,
            last: &earlier,
        };
        let read = project::read_env_file(&bytes, shown, &scope, loader.problems)?;
        variables.extend(project::given_values(read.variables));
    }
    Some(variables)
}

/// Variables that are listed without a value take that of the scope. Those of a mapping do not:
/// Docker Compose leaves them to the project's own variables.
fn inherit(tree: &mut Node, lookup: &dyn Fn(&str) -> Option<String>) {
    for service in section(tree, "services").into_iter().flatten() {
        let environment = service.1.node.as_map_mut();
        let Some(entry) = environment.and_then(|map| map.get_mut("environment")) else {
            continue;
        };
        if entry.node.written != Written::List {
            continue;
        }
        for (name, entry) in entry.node.as_map_mut().into_iter().flatten() {
            if entry.node.value == Value::Null
                && let Some(value) = lookup(name)
            {
                entry.node.value = Value::Text(value);
            }
        }
    }
}

/// Lays the resources of an included tree below those of a document.
fn import(tree: &mut Node, mut included: Node) {
    for name in SECTIONS {
        let taken = included.as_map_mut().and_then(|map| map.shift_remove(name));
        let Some(from) = taken else { continue };
        let Value::Map(resources) = from.node.value else {
            continue;
        };
        if resources.is_empty() {
            continue;
        }
        let Some(target) = own_section(tree, name, from.key) else {
            continue;
        };
        for (key, below) in resources {
            import_resource(target, &[name, &key], below);
        }
    }
}

/// A section of a document that takes the resources: what `!reset` asks of the files before it is
/// kept as `!override`.
fn own_section<'n>(tree: &'n mut Node, name: &str, span: Span) -> Option<&'n mut Map> {
    let own = tree.get(name);
    let reset = own.is_some_and(|node| node.directive == Directive::Reset);
    if reset || own.is_none_or(|node| node.as_map().is_none()) {
        let mut fresh = empty(span);
        if reset {
            fresh.directive = Directive::Override;
        }
        tree.set(name, fresh);
    }
    section(tree, name)
}

fn import_resource(map: &mut Map, path: &[&str; 2], mut below: Entry) {
    let [_, key] = path;
    let Some(own) = map.get_mut(*key) else {
        map.insert((*key).to_owned(), below);
        return;
    };
    if own.node.directive == Directive::Reset {
        // There is none of its own; what `!reset` asks is asked of the files before it.
        below.node.directive = Directive::Override;
        *own = below;
        return;
    }
    // The same file, included on two ways.
    if own.node.same_value(&below.node) {
        return;
    }
    let span = own.key;
    let over = std::mem::replace(&mut own.node, below.node);
    merge::merge_below(&mut own.node, over, path, Layer::Include);
    own.key = span;
}
