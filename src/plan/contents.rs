//! Contents of configs and secrets that are put in place in a container that runs
//! (`x-stack.reload`): no reason to replace it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{DesiredService, ObservedContainer};
use crate::compose::model::{FileObject, FileSource, Reload, Service, Stack};

/// The content of one config or secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Hash of it.
    pub hash: String,
    /// How a program that has it is told.
    pub reload: Reload,
}

/// How the programs of a service are told that an object has another content; `None`: its containers
/// are replaced.
pub fn reload_of<'a>(service: &'a Service, object: &'a FileObject) -> Option<&'a Reload> {
    object.reload.as_ref().or(service.x_stack.reload.as_ref())
}

/// SHA-256 of an object's content; of what is not there, of nothing.
pub(super) fn digest(object: &FileObject) -> Vec<u8> {
    let content = match &object.source {
        FileSource::File(_) => object.content_hash.as_deref(),
        FileSource::Environment { value, .. } => value.as_deref(),
        FileSource::Content(text) => Some(text.as_str()),
        FileSource::External => None,
    };
    content.map_or_else(Vec::new, |content| {
        Sha256::digest(content.as_bytes()).to_vec()
    })
}

/// What a service is given that is put in place, by `config NAME` or `secret NAME`.
pub fn contents(stack: &Stack, service: &Service) -> BTreeMap<String, Content> {
    let kinds = [
        ("config", &stack.configs, &service.configs),
        ("secret", &stack.secrets, &service.secrets),
    ];
    let given = kinds.into_iter().flat_map(|(kind, objects, uses)| {
        let of_kind = move |key: &String| Some((format!("{kind} {key}"), objects.get(key)?));
        uses.iter().filter_map(move |used| of_kind(&used.source))
    });
    given
        .filter_map(|(name, object)| {
            let content = Content {
                hash: super::desired::hex(&digest(object)),
                reload: reload_of(service, object)?.clone(),
            };
            Some((name, content))
        })
        .collect()
}

impl DesiredService {
    /// The hashes of what its containers are given.
    pub fn content_hashes(&self) -> BTreeMap<String, String> {
        let contents = self.contents.iter();
        contents
            .map(|(name, content)| (name.clone(), content.hash.clone()))
            .collect()
    }

    /// What a container was given that has another content by now, and how its program is told.
    pub(super) fn renewed(&self, container: &ObservedContainer) -> Vec<(&String, &Reload)> {
        let has = &container.status.contents;
        let contents = self.contents.iter();
        contents
            .filter(|(name, content)| has.get(*name) != Some(&content.hash))
            .map(|(name, content)| (name, &content.reload))
            .collect()
    }
}
