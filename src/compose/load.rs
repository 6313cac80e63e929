//! The way from files to model, as numbered phases.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::concerns::{Concern, Part};
use super::diagnostic::{Diagnostics, Location, Problems, Sources, Span};
use super::layers::{Documents, Loader, Scope};
use super::model::{
    FileObject, NetworkKey, ProjectName, Separator, ServiceName, ServiceNetwork, Stack, VolumeKey,
};
use super::paths::Bases;
use super::project::instance::{self, Instance};
use super::project::{self, Variables, display_path};
use super::source::Source;
use super::tree::{Map, Node, Value};
use super::{check, defaults, environment, paths, render, running, typed};

/// What to load. Values given here win over the `COMPOSE_*` variables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadOptions {
    /// Stack files (`-f`), `-` for standard input; none = `COMPOSE_FILE`, then a search.
    pub files: Vec<PathBuf>,
    /// Project name (`-p`).
    pub project_name: Option<String>,
    /// Which of several copies of the project (`--instance`) instead of `STACK_INSTANCE`; `auto` =
    /// named after the directory, empty = none. A given project name counts as it is, unless the
    /// instance is given too.
    pub instance: Option<String>,
    /// Variables that the program sets; the caller's own and those of files win over them.
    pub variables: IndexMap<String, String>,
    /// Project directory (`--project-directory`); `None` = that of the first file.
    pub project_directory: Option<PathBuf>,
    /// Active profiles (`--profile`) instead of those of `COMPOSE_PROFILES`; `*` = all.
    pub profiles: Vec<String>,
    /// Files for interpolation (`--env-file`) instead of `.env`.
    pub env_files: Vec<PathBuf>,
    /// The caller's directory, absolute.
    pub working_dir: PathBuf,
    /// Content of standard input, when one of the files is `-`.
    pub stdin: Option<Vec<u8>>,
    /// What is left out.
    pub skip: Skip,
    /// Keep what is needed to explain where values come from.
    pub trace: bool,
}

/// Phases that `config` can be told to leave out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skip {
    /// Variables stay as they are written (`--no-interpolate`).
    pub interpolation: bool,
    /// What is meant without being said is not filled in (`--no-normalize`).
    pub normalization: bool,
    /// Paths stay relative (`--no-path-resolution`).
    pub paths: bool,
    /// The whole is not checked (`--no-consistency`).
    pub consistency: bool,
    /// Containers of one name are not refused: who works with some services looks at those.
    pub shared_names: bool,
    /// Files with variables are not read (`--no-env-resolution`).
    pub environment: bool,
    /// What the hashes of services are made of is not worked out (`config`, but for `--hash`).
    pub hashes: bool,
    /// The model has no services, networks and volumes, and nothing is said about what running them
    /// would meet: who only wants to know whether the files are right (`config -q`) reads neither.
    pub model: bool,
}

/// A loaded stack.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The model.
    pub stack: Stack,
    /// Problems that did not stop the loading.
    pub warnings: Diagnostics,
    /// What is to be told before a part of it is run.
    pub concerns: Vec<Concern>,
    /// Which copy of its project the stack is; `None` = the only one.
    pub instance: Option<Instance>,
    /// Where each part was written.
    pub positions: Positions,
    /// Variables for interpolation besides the caller's, which win over them.
    pub variables: IndexMap<String, String>,
    /// Where each of them is written, when the load was traced.
    pub(super) variable_places: HashMap<String, Span>,
    /// The finished tree, for `render`.
    pub(in crate::compose) tree: Arc<Node>,
}

impl Loaded {
    /// The services of the file in its order, those that no profile switches on too.
    pub fn service_names(&self) -> Vec<ServiceName> {
        services(&self.tree)
            .map(|(name, _)| ServiceName::new(name))
            .collect()
    }

    /// Whether a service of the file, on or off, has this key.
    pub fn has_service_key(&self, key: &str) -> bool {
        services(&self.tree).any(|(_, service)| service.get(key).is_some())
    }
}

/// Where each part of the model was written.
#[derive(Debug, Clone)]
pub struct Positions {
    sources: Arc<Sources>,
    tree: Arc<Node>,
}

impl Positions {
    /// The place of a value by its dotted path (`services.web.image`, `services.web.ports[0]`): of
    /// its key, or of the nearest parent that is there when the value is not.
    pub fn of(&self, path: &str) -> Option<Location> {
        let (span, _) = self.walk(path);
        self.sources.locate(span?)
    }

    /// Whether a file has the value itself, not only a parent of it.
    pub fn has(&self, path: &str) -> bool {
        let (span, rest) = self.walk(path);
        span.is_some() && rest.is_empty()
    }

    /// The place of the last step of a path that is there, and what is left of the path behind it.
    fn walk<'p>(&self, path: &'p str) -> (Option<Span>, &'p str) {
        let mut node = self.tree.as_ref();
        let mut span: Option<Span> = None;
        let mut rest = path;
        while !rest.is_empty() {
            let Some((found, next, after)) = step(node, rest) else {
                break;
            };
            span = Some(found);
            node = next;
            rest = after;
        }
        (span, rest)
    }
}

/// Goes one step along a path. A name may have dots in it, so the tree says where a step ends.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(Span, &'n Node, &'p str)> {
    match &node.value {
        Value::Map(map) => map
            .iter()
            .filter_map(|(key, entry)| {
                let after = path.strip_prefix(key.as_str())?;
                let ends = after.is_empty() || after.starts_with(['.', '[']);
                ends.then(|| (key.len(), entry, after.strip_prefix('.').unwrap_or(after)))
            })
            .max_by_key(|(length, ..)| *length)
            .map(|(_, entry, after)| (entry.key, &entry.node, after)),
        Value::List(items) => {
            let (index, after) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some((item.span, item, after.strip_prefix('.').unwrap_or(after)))
        }
        _ => None,
    }
}

/// Loads a stack: finds its files, reads, merges and checks them.
///
/// Errors hold every problem that was found, warnings too.
pub fn load(source: &dyn Source, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let mut problems = Problems::default();
    problems.trace = options.trace;
    let built = build(source, options, &mut problems);
    let failed = problems.has_errors();
    let diagnostics = problems.finish();
    match built {
        Some(Built {
            stack,
            tree,
            variables,
            concerns,
            instance,
            variable_places,
        }) if !failed => {
            let tree = Arc::new(tree);
            Ok(Loaded {
                stack,
                concerns,
                instance,
                positions: Positions {
                    sources: Arc::clone(&diagnostics.sources),
                    tree: Arc::clone(&tree),
                },
                warnings: diagnostics,
                variables,
                variable_places,
                tree,
            })
        }
        _ => Err(diagnostics),
    }
}

/// What the phases make.
struct Built {
    stack: Stack,
    tree: Node,
    variables: Variables,
    concerns: Vec<Concern>,
    instance: Option<Instance>,
    variable_places: HashMap<String, Span>,
}

fn build(source: &dyn Source, options: &LoadOptions, problems: &mut Problems) -> Option<Built> {
    // 1. Which files, and the variables that may stand in them.
    let (files, mut variables) = project::find(source, options, problems).ok()?;

    // 2. The project's name; it can be used as a variable.
    let mut loader = Loader::new(source, options, problems);
    let documents = loader.documents(&files.paths);
    let name = project_name(
        source,
        options,
        &documents,
        (&files.directory, &variables),
        loader.problems,
    )?;
    drop(documents);
    let place = (name.as_str(), files.directory.as_path());
    let instance = which_instance(source, options, place, (&variables, loader.problems))?;
    let name = instance.as_ref().map_or(name, Instance::project);
    variables.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    if let Some(instance) = &instance {
        variables.insert(instance::VARIABLE.to_owned(), instance.name.clone());
    }
    for (variable, value) in &options.variables {
        let new = || value.clone();
        variables.entry(variable.clone()).or_insert_with(new);
    }
    let asked_for_instance = Cell::new(false);
    let lookup = |variable: &str| match (variable, &instance) {
        ("COMPOSE_PROJECT_NAME", _) => Some(name.clone()),
        (instance::VARIABLE, Some(instance)) => {
            asked_for_instance.set(true);
            Some(instance.name.clone())
        }
        _ => project::variable(source, &variables, variable),
    };

    // 3. Each file: YAML, variables, keys and types, long forms, `include`, `extends`.
    // 4. Later files are merged onto earlier ones; lists become unique.
    let raw = options.skip.interpolation;
    let scope = Scope::project(&files.directory, &lookup);
    let mut tree = loader.load(&files.paths, scope, None)?;
    if tree.as_map().is_none_or(Map::is_empty) {
        if !problems.has_errors() {
            say_empty(&files.paths, options, problems);
        }
        return None;
    }
    let span = tree.span;
    let name_span = tree.get("name").map_or(span, |node| node.span);
    if tree.get("services").is_none() {
        tree.set("services", Node::new(Value::Map(Map::default()), span));
    }
    if !(raw && options.skip.normalization) {
        tree.set("name", Node::text(name.as_str(), name_span));
    }

    // 5. Relative paths.
    let bases = Bases {
        project: files.directory.clone(),
        home: source.home(),
    };
    if !options.skip.paths {
        paths::resolve(&mut tree, &bases);
    }

    // 6. What is meant without being said.
    if !raw {
        defaults::complete(&mut tree);
    }
    let renamed = match &instance {
        Some(instance) => defaults::own_names(&mut tree, |name| {
            instance::own_name(name, instance, asked_for_instance.get())
        }),
        None => Vec::new(),
    };
    if !options.skip.normalization {
        defaults::fill(&mut tree, &name);
    }

    let mut stack = Stack {
        name: ProjectName::new(name.as_str()),
        working_dir: files.directory,
        files: files.paths,
        services: IndexMap::new(),
        disabled_services: IndexMap::new(),
        networks: IndexMap::new(),
        volumes: IndexMap::new(),
        unused_networks: IndexMap::new(),
        unused_volumes: IndexMap::new(),
        configs: file_objects(&tree, "configs", (&lookup, problems)),
        secrets: file_objects(&tree, "secrets", (&lookup, problems)),
        models: named(&tree, "models")
            .map(|(key, node)| (key.clone(), typed::model(node)))
            .collect(),
        separator: Separator::default(),
    };
    let mut concerns = Vec::new();
    if raw {
        return Some(Built {
            stack,
            tree,
            variables,
            concerns,
            instance,
            variable_places: std::mem::take(&mut problems.variable_places),
        });
    }

    // 7. Which services are on; the variables and labels that come from files.
    let profiles = profiles(options, &lookup);
    let disabled = disabled_services(&tree, &profiles);
    resolve_files(&mut tree, (source, options), &disabled, &lookup, problems);

    // 8. What needs the whole picture.
    if !options.skip.consistency {
        let is_on = |service: &str| !disabled.contains(service);
        check::check(&tree, &is_on, problems);
        if !options.skip.shared_names {
            check::shared_names(&tree, &is_on, problems);
        }
    }

    // 9. The typed model, and what has to be told before it is run.
    if !options.skip.model {
        running::check(&tree, &mut concerns);
        fill_stack(&mut stack, &tree, &disabled, &mut concerns);
        keep_reachable(&mut stack, renamed);
        if !options.skip.hashes {
            fill_hashes(&mut stack, &tree);
        }
    }
    Some(Built {
        stack,
        tree,
        variables,
        concerns,
        instance,
        variable_places: std::mem::take(&mut problems.variable_places),
    })
}

/// The copy of the project that the caller asks for: by the option, or by the variable where the
/// project's name is not given.
fn which_instance(
    source: &dyn Source,
    options: &LoadOptions,
    place: (&str, &Path),
    (variables, problems): (&Variables, &mut Problems),
) -> Option<Option<Instance>> {
    let text = match (&options.instance, &options.project_name) {
        (Some(given), _) => given.clone(),
        (None, Some(_)) => return Some(None),
        (None, None) => {
            project::variable(source, variables, instance::VARIABLE).unwrap_or_default()
        }
    };
    instance::found(source, &text, place, problems).ok()
}

fn say_empty(paths: &[PathBuf], options: &LoadOptions, problems: &mut Problems) {
    let names: Vec<String> = paths
        .iter()
        .map(|path| {
            display_path(path, &options.working_dir)
                .display()
                .to_string()
        })
        .collect();
    let names = names.join(", ");
    problems
        .error(None, format!("the stack file {names} is empty"))
        .help("it needs at least `services:` with one service");
}

fn project_name(
    source: &dyn Source,
    options: &LoadOptions,
    documents: &[Documents],
    (directory, variables): (&Path, &Variables),
    problems: &mut Problems,
) -> Option<String> {
    let lookup = |name: &str| project::variable(source, variables, name);
    let given = [options.project_name.clone(), lookup("COMPOSE_PROJECT_NAME")];
    match project::chosen(&given, problems) {
        Some(name) => name.ok(),
        None => project::written(documents, directory, &lookup, problems),
    }
}

/// The active profiles: those of the options, else those of `COMPOSE_PROFILES`. When nobody names any,
/// that is one without a name, as in Docker Compose.
fn profiles(options: &LoadOptions, lookup: &dyn Fn(&str) -> Option<String>) -> HashSet<String> {
    if !options.profiles.is_empty() {
        return options.profiles.iter().cloned().collect();
    }
    let listed = lookup("COMPOSE_PROFILES").unwrap_or_default();
    let listed = listed.split(',').map(|profile| profile.trim().to_owned());
    listed.collect()
}

fn services(tree: &Node) -> impl Iterator<Item = (&String, &Node)> {
    tree.get("services")
        .and_then(Node::as_map)
        .into_iter()
        .flatten()
        .map(|(name, entry)| (name, &entry.node))
}

fn disabled_services(tree: &Node, profiles: &HashSet<String>) -> HashSet<String> {
    let is_on = |service: &Node| {
        let own = service
            .get("profiles")
            .and_then(Node::as_list)
            .unwrap_or_default();
        own.is_empty()
            || profiles.contains("*")
            || own
                .iter()
                .filter_map(Node::as_text)
                .any(|profile| profiles.contains(profile))
    };
    services(tree)
        .filter(|(_, service)| !is_on(service))
        .map(|(name, _)| name.clone())
        .collect()
}

fn resolve_files(
    tree: &mut Node,
    (source, options): (&dyn Source, &LoadOptions),
    disabled: &HashSet<String>,
    lookup: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    let Some(services) = tree
        .as_map_mut()
        .and_then(|map| map.get_mut("services"))
        .and_then(|entry| entry.node.as_map_mut())
    else {
        return;
    };
    let mut files = HashMap::new();
    for (name, entry) in services {
        // The files of a service that is off need not be there; what is wrong with them is told
        // when it is switched on.
        if problems.budget.is_spent() {
            break;
        }
        let mark = problems.mark();
        let mut context = environment::Context {
            source,
            lookup,
            working_dir: &options.working_dir,
            problems,
            files: &mut files,
            keep_env_files: options.skip.environment,
        };
        environment::resolve(&mut entry.node, &mut context);
        if disabled.contains(name) {
            problems.forget_since(mark);
        }
    }
}

fn fill_stack(
    stack: &mut Stack,
    tree: &Node,
    disabled: &HashSet<String>,
    found: &mut Vec<Concern>,
) {
    let mut used_networks: HashSet<&str> = HashSet::new();
    let mut used_volumes: HashSet<&str> = HashSet::new();
    for (name, node) in services(tree) {
        let key = ServiceName::new(name);
        let service = noted(Part::Service(key.clone()), found, |problems| {
            typed::service(&key, node, problems)
        });
        if disabled.contains(name) {
            stack.disabled_services.insert(key, service);
            continue;
        }
        stack.services.insert(key, service);
        let networks = node.get("networks").and_then(Node::as_map);
        used_networks.extend(
            networks
                .into_iter()
                .flatten()
                .map(|(name, _)| name.as_str()),
        );
        let mounts = node.get("volumes").and_then(Node::as_list);
        used_volumes.extend(mounts.unwrap_or_default().iter().filter_map(volume_of));
    }
    for (name, node) in named(tree, "networks") {
        let key = NetworkKey::new(name);
        let network = noted(Part::Network(key.clone()), found, |problems| {
            typed::network(name, node, problems)
        });
        let list = match used_networks.contains(name.as_str()) {
            true => &mut stack.networks,
            false => &mut stack.unused_networks,
        };
        list.insert(key, network);
    }
    for (name, node) in named(tree, "volumes") {
        let key = VolumeKey::new(name);
        let volume = typed::volume(name, node);
        let list = match used_volumes.contains(name.as_str()) {
            true => &mut stack.volumes,
            false => &mut stack.unused_volumes,
        };
        list.insert(key, volume);
    }
}

/// Others of the project go on to reach a container by the name that the file gives it.
fn keep_reachable(stack: &mut Stack, renamed: Vec<(String, String)>) {
    for (service, old) in renamed {
        let list = [&mut stack.services, &mut stack.disabled_services];
        let found = list
            .into_iter()
            .find_map(|list| list.get_mut(service.as_str()));
        if let Some(ServiceNetwork::Networks(networks)) = found.map(|found| &mut found.network) {
            for attachment in networks.values_mut() {
                attachment.aliases.push(old.clone());
            }
        }
    }
}

fn fill_hashes(stack: &mut Stack, tree: &Node) {
    for (name, node) in services(tree) {
        let key = ServiceName::new(name);
        let service = match stack.services.get_mut(&key) {
            Some(service) => Some(service),
            None => stack.disabled_services.get_mut(&key),
        };
        if let Some(service) = service {
            service.hash_input = render::hash_input(node);
        }
    }
}

/// Does something and keeps the problems it has with a part of the stack for those who run it.
fn noted<T>(part: Part, found: &mut Vec<Concern>, work: impl FnOnce(&mut Problems) -> T) -> T {
    let mut problems = Problems::default();
    let made = work(&mut problems);
    found.extend(Concern::all(&part, problems));
    made
}

/// The values of variables.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

fn file_objects(
    tree: &Node,
    kind: &str,
    (lookup, problems): (Lookup<'_>, &mut Problems),
) -> IndexMap<String, FileObject> {
    named(tree, kind)
        .map(|(key, node)| {
            let at = format!("{kind}.{key}");
            (
                key.clone(),
                typed::file_object((node, at), lookup, problems),
            )
        })
        .collect()
}

fn volume_of(mount: &Node) -> Option<&str> {
    (mount.get("type")?.as_text()? == "volume")
        .then(|| mount.get("source")?.as_text())
        .flatten()
}

fn named<'a>(tree: &'a Node, kind: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
    tree.get(kind)
        .and_then(Node::as_map)
        .into_iter()
        .flatten()
        .map(|(name, entry)| (name, &entry.node))
}
