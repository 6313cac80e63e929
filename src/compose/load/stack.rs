//! The typed model of a finished tree.

use std::collections::HashSet;
use std::path::Path;

use indexmap::IndexMap;

use super::Lookup;
use crate::compose::concerns::{Concern, Part};
use crate::compose::diagnostic::Problems;
use crate::compose::model::{
    FileObject, NetworkKey, ProjectName, ServiceName, ServiceNetwork, Stack, VolumeKey,
};
use crate::compose::project::Files;
use crate::compose::tree::Node;
use crate::compose::{render, typed};

/// The stack without services, networks and volumes.
pub(super) fn bare(
    (name, files): (&str, Files),
    tree: &Node,
    (lookup, problems): (Lookup<'_>, &mut Problems),
) -> Stack {
    Stack {
        files: files.paths,
        configs: file_objects(tree, "configs", (lookup, problems)),
        secrets: file_objects(tree, "secrets", (lookup, problems)),
        models: named(tree, "models")
            .map(|(key, node)| (key.clone(), typed::model(node)))
            .collect(),
        ..Stack::new(ProjectName::new(name), files.directory)
    }
}

/// The services of a tree, on or off.
pub(super) fn services(tree: &Node) -> impl Iterator<Item = (&String, &Node)> {
    tree.get("services")
        .and_then(Node::as_map)
        .into_iter()
        .flatten()
        .map(|(name, entry)| (name, &entry.node))
}

/// A seccomp profile is a file of the project, unless it is a word or the profile itself.
fn find_profile(option: &mut String, directory: &Path) {
    let profile = ["seccomp:", "seccomp="]
        .iter()
        .find_map(|key| option.strip_prefix(key));
    if let Some(path) = profile
        && !matches!(path, "unconfined" | "builtin")
        && !path.starts_with('{')
    {
        *option = format!("seccomp={}", directory.join(path).display());
    }
}

/// Fills in services, networks and volumes, each where it is used or where it is not.
pub(super) fn fill_stack(
    stack: &mut Stack,
    tree: &Node,
    disabled: &HashSet<String>,
    found: &mut Vec<Concern>,
) {
    let mut used_networks: HashSet<&str> = HashSet::new();
    let mut used_volumes: HashSet<&str> = HashSet::new();
    for (name, node) in services(tree) {
        let key = ServiceName::new(name);
        let mut service = noted(Part::Service(key.clone()), found, |problems| {
            typed::service(&key, node, problems)
        });
        for option in &mut service.security_opt {
            find_profile(option, &stack.working_dir);
        }
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
pub(super) fn keep_reachable(stack: &mut Stack, renamed: Vec<(String, String)>) {
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

/// What the hashes of services are made of.
pub(super) fn fill_hashes(stack: &mut Stack, tree: &Node) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seccomp_profile_is_a_file_of_the_project_unless_it_is_a_word_or_the_profile_itself() {
        for (option, expected) in [
            ("seccomp:./a.json", "seccomp=/p/./a.json"),
            ("seccomp=a.json", "seccomp=/p/a.json"),
            ("seccomp:/b/a.json", "seccomp=/b/a.json"),
            ("seccomp:unconfined", "seccomp:unconfined"),
            ("seccomp=builtin", "seccomp=builtin"),
            ("seccomp={}", "seccomp={}"),
            ("label:disable", "label:disable"),
        ] {
            let mut found = option.to_owned();
            find_profile(&mut found, Path::new("/p"));
            assert_eq!(found, expected);
        }
    }
}
