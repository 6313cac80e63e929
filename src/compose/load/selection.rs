//! Which services are on, and what they take from files of their own.

use std::collections::{HashMap, HashSet};

use super::stack::services;
use super::{LoadOptions, Lookup};
use crate::compose::diagnostic::Problems;
use crate::compose::environment;
use crate::compose::source::Source;
use crate::compose::tree::Node;

/// The active profiles: those of the options, else those of `COMPOSE_PROFILES`. When nobody names any,
/// that is one without a name, as in Docker Compose.
pub(super) fn profiles(options: &LoadOptions, lookup: Lookup<'_>) -> HashSet<String> {
    if !options.profiles.is_empty() {
        return options.profiles.iter().cloned().collect();
    }
    let listed = lookup("COMPOSE_PROFILES").unwrap_or_default();
    let listed = listed.split(',').map(|profile| profile.trim().to_owned());
    listed.collect()
}

/// The services that no active profile switches on.
pub(super) fn disabled_services(tree: &Node, profiles: &HashSet<String>) -> HashSet<String> {
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

/// Reads the files of variables and labels that services name.
pub(super) fn resolve_files(
    tree: &mut Node,
    (source, options): (&dyn Source, &LoadOptions),
    disabled: &HashSet<String>,
    lookup: Lookup<'_>,
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
