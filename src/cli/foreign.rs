//! Networks and volumes that have the names of a stack's own, and were made for something else.

use super::context::Context;
use super::drive::warn;
use super::error::Result;
use crate::compose::model::Stack;
use crate::state::read_json;
use crate::state::records::{NetworkRecord, VolumeRecord};

/// Says of what is not declared external and is another one's that it is used all the same, in Docker
/// Compose's words.
pub(super) fn warn_of_foreign(context: &Context, stack: &Stack) -> Result<()> {
    let project = stack.name.as_str();
    let paint = context.terminal.stderr;
    for network in stack.networks.values().filter(|network| !network.external) {
        let path = context.paths.network(&network.name).join("network.json");
        let found: Option<NetworkRecord> = read_json(&path)?;
        if let Some(message) = found.and_then(|found| of_network(&found, project)) {
            warn(&message, paint);
        }
    }
    for volume in stack.volumes.values().filter(|volume| !volume.external) {
        let path = context.paths.volume(&volume.name).join("volume.json");
        let found: Option<VolumeRecord> = read_json(&path)?;
        if let Some(message) = found.and_then(|found| of_volume(&found, project)) {
            warn(&message, paint);
        }
    }
    Ok(())
}

fn of_network(found: &NetworkRecord, project: &str) -> Option<String> {
    let why = match found.project.as_str() {
        own if own == project => return None,
        "" => "by compose".to_owned(),
        _ => format!("for project {project:?}"),
    };
    let name = &found.name;
    Some(format!(
        "a network with name {name} exists but was not created {why}. Set `external: true` to use an existing network"
    ))
}

fn of_volume(found: &VolumeRecord, project: &str) -> Option<String> {
    let why = match found.project.as_str() {
        own if own == project => return None,
        "" => "was not created by Docker Compose".to_owned(),
        other => format!("was created for project {other:?} (expected {project:?})"),
    };
    let name = &found.name;
    Some(format!(
        "volume {name:?} already exists but {why}. Use `external: true` to use an existing volume"
    ))
}
