//! The way from files to model, as numbered phases.
//!
//! Owns the order of the phases, which is that of Docker Compose, and what of them can be left out
//! ([`Skip`]); what a phase does lies in the folders and files that it calls. A phase that fails records
//! why and lets the next one go on wherever something is left to look at: all problems are told at once.

mod identity;
mod loaded;
mod options;
mod selection;
mod stack;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::concerns::Concern;
use super::diagnostic::{Diagnostics, Problems, Span};
use super::layers::{Loader, Scope};
use super::model::Stack;
use super::paths::Bases;
use super::project::instance::{self, Instance};
use super::project::{self, Variables, display_path};
use super::source::Source;
use super::tree::{Map, Node, Value};
use super::{check, defaults, paths, running};
use identity::Identity;
use selection::{disabled_services, profiles, resolve_files};
use stack::{fill_hashes, fill_stack, keep_reachable};

pub use loaded::{Loaded, Positions};
pub use options::{LoadOptions, Skip};

/// The values of variables.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

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
            off,
            variable_places,
        }) if !failed => {
            let tree = Arc::new(tree);
            Ok(Loaded {
                stack,
                concerns,
                instance,
                positions: Positions::new(&diagnostics.sources, &tree),
                warnings: diagnostics,
                off,
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
    off: HashSet<String>,
    variable_places: HashMap<String, Span>,
}

fn build(source: &dyn Source, options: &LoadOptions, problems: &mut Problems) -> Option<Built> {
    let skip = options.skip;
    let raw = skip.interpolation;

    // 1. Which files, and the variables that may stand in them.
    let (files, mut variables) = project::find(source, options, problems).ok()?;

    // 2. The project's name, and which copy of it; both can be used as variables.
    let mut loader = Loader::new(source, options, problems);
    let identity = Identity::find((source, options), &files, &variables, &mut loader)?;
    identity.declare(&mut variables, options);
    let Identity { name, instance } = identity;
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
    let scope = Scope::project(&files.directory, &lookup);
    let mut tree = loader.load(&files.paths, scope, None)?;
    if tree.as_map().is_none_or(Map::is_empty) {
        if !problems.has_errors() {
            say_empty(&files.paths, options, problems);
        }
        return None;
    }
    complete_top(
        &mut tree,
        Some(name.as_str()).filter(|_| !(raw && skip.normalization)),
    );

    // 5. Relative paths.
    if !skip.paths {
        let bases = Bases {
            project: files.directory.clone(),
            home: source.home(),
        };
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
    if !skip.normalization {
        defaults::fill(&mut tree, &name);
    }
    let mut stack = stack::bare((&name, files), &tree, (&lookup, problems));
    let mut concerns = Vec::new();
    let mut off = HashSet::new();

    if !raw {
        // 7. Which services are on; the variables and labels that come from files.
        let profiles = profiles(options, &lookup);
        let disabled = disabled_services(&tree, &profiles);
        resolve_files(&mut tree, (source, options), &disabled, &lookup, problems);

        // 8. What needs the whole picture.
        check_whole(&tree, &disabled, skip, problems);

        // 9. The typed model, and what has to be told before it is run.
        if !skip.model {
            running::check(&tree, &mut concerns);
            fill_stack(&mut stack, &tree, &disabled, &mut concerns);
            keep_reachable(&mut stack, renamed);
            if !skip.hashes {
                fill_hashes(&mut stack, &tree);
            }
        }
        off = disabled;
    }
    Some(Built {
        stack,
        tree,
        variables,
        concerns,
        instance,
        off,
        variable_places: std::mem::take(&mut problems.variable_places),
    })
}

/// The keys that every stack has: its services, and its name when that is to be said.
fn complete_top(tree: &mut Node, name: Option<&str>) {
    let span = tree.span;
    let name_span = tree.get("name").map_or(span, |node| node.span);
    if tree.get("services").is_none() {
        tree.set("services", Node::new(Value::Map(Map::default()), span));
    }
    if let Some(name) = name {
        tree.set("name", Node::text(name, name_span));
    }
}

fn check_whole(tree: &Node, disabled: &HashSet<String>, skip: Skip, problems: &mut Problems) {
    if skip.consistency {
        return;
    }
    let is_on = |service: &str| !disabled.contains(service);
    check::check(tree, &is_on, problems);
    if !skip.shared_names {
        check::shared_names(tree, &is_on, problems);
    }
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
