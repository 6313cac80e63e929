//! Images by their digests.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Pinned;
use crate::compose::load::Loaded;
use crate::compose::tree::{Map, Node, Value};

/// The images of the services that are printed, each once.
pub(super) fn images(loaded: &Loaded) -> Vec<String> {
    let services = loaded.tree.get("services").and_then(Node::as_map);
    let images: BTreeSet<&str> = services
        .into_iter()
        .flatten()
        .filter(|(name, _)| is_printed(loaded, name))
        .filter_map(|(_, entry)| entry.node.get("image")?.as_text())
        .filter(|image| !image.is_empty())
        .collect();
    images.into_iter().map(str::to_owned).collect()
}

/// A tree whose variables are not filled in has no typed services, and all of it is printed.
fn is_printed(loaded: &Loaded, service: &str) -> bool {
    let stack = &loaded.stack;
    let is_raw = stack.services.is_empty() && stack.disabled_services.is_empty();
    is_raw || stack.services.contains_key(service)
}

fn services_mut(tree: &mut Node) -> impl Iterator<Item = &mut Node> {
    tree.as_map_mut()
        .and_then(|map| map.get_mut("services"))
        .and_then(|entry| entry.node.as_map_mut())
        .into_iter()
        .flat_map(|map| map.values_mut().map(|entry| &mut entry.node))
}

/// Names images by their digests.
pub(super) fn pin(loaded: &mut Loaded, pinned: &Pinned) {
    if pinned.is_empty() {
        return;
    }
    for service in services_mut(Arc::make_mut(&mut loaded.tree)) {
        let image = service.as_map_mut().and_then(|map| map.get_mut("image"));
        if let Some(Value::Text(image)) = image.map(|entry| &mut entry.node.value)
            && let Some(full) = pinned.get(image)
        {
            image.clone_from(full);
        }
    }
}

/// Takes everything out of the tree but the images of services.
pub(super) fn keep_images(loaded: &mut Loaded) {
    let tree = Arc::make_mut(&mut loaded.tree);
    if let Some(top) = tree.as_map_mut() {
        top.retain(|key, _| key == "services");
    }
    for service in services_mut(tree) {
        let map = service.as_map_mut().map(std::mem::take).unwrap_or_default();
        let image = map.into_iter().filter(|(key, _)| key == "image");
        service.value = Value::Map(image.collect::<Map>());
    }
}
