//! What follows a set of changes.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use crate::compose::model::{ServiceName, WatchAction};
use crate::watch::change::Changes;
use crate::watch::sync::Mapping;

/// What follows a set of changes, by service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actions {
    /// Whose images are built, and whose containers are replaced.
    pub rebuild: BTreeSet<ServiceName>,
    /// What is copied, in the order of the paths, each place once.
    pub sync: BTreeMap<ServiceName, Vec<Mapping>>,
    /// Who is restarted after that.
    pub restart: BTreeSet<ServiceName>,
    /// The rules whose command runs after that, by their place in the list.
    pub exec: BTreeMap<ServiceName, BTreeSet<usize>>,
}

/// Holds changes against rules. Each path counts for every rule that it matches.
pub fn decide(rules: &[Rule], changes: &Changes) -> Actions {
    let mut actions = Actions::default();
    let mut copies: BTreeMap<&ServiceName, BTreeMap<String, Mapping>> = BTreeMap::new();
    for path in changes.paths() {
        for (index, rule) in rules.iter().enumerate() {
            if !rule.matches(path) {
                continue;
            }
            let service = &rule.service;
            if let Some(mapping) = rule.mapping(path) {
                // When two rules have the same place for different files, the last one counts.
                let places = copies.entry(service).or_default();
                places.insert(mapping.target.clone(), mapping);
            }
            match rule.action {
                WatchAction::Rebuild => drop(actions.rebuild.insert(service.clone())),
                WatchAction::Sync => {}
                WatchAction::Restart | WatchAction::SyncRestart => {
                    actions.restart.insert(service.clone());
                }
                WatchAction::SyncExec => {
                    let indexes = actions.exec.entry(service.clone()).or_default();
                    indexes.insert(index);
                }
            }
        }
    }
    for (service, places) in copies {
        let mut mappings: Vec<Mapping> = places.into_values().collect();
        mappings.sort();
        actions.sync.insert(service.clone(), mappings);
    }
    actions
}
