//! Volumes that exist with another configuration than the stack file has, and what a person says to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::cleaning::users_besides;
use crate::cli::context::Context;
use crate::cli::drive::warn;
use crate::cli::error::Result;
use crate::cli::prompt::confirm;
use crate::compose::model::{MountSource, ServiceName, Stack, VolumeKey};
use crate::engine::native::objects::volume;
use crate::plan::volume_hash;

/// A volume that is not what the stack file says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Changed {
    key: VolumeKey,
    name: String,
    /// Hash of the configuration that it would get.
    hash: String,
}

/// What is done without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Answer {
    /// A person is asked.
    Asked,
    /// All of them are made anew (`--yes`).
    Yes,
    /// They stay, and that is said.
    No,
}

/// Which of the volumes of these services may be made anew, with the configuration that was agreed to.
/// What is used by anybody else stays.
pub(in crate::cli) fn agreed(
    context: &Context,
    (stack, services): (&Stack, &[ServiceName]),
    answer: Answer,
) -> Result<BTreeMap<VolumeKey, String>> {
    let mut agreed = BTreeMap::new();
    for changed in changed(context, stack, services)? {
        let name = &changed.name;
        let differs =
            format!("Volume \"{name}\" exists but doesn't match configuration in compose file");
        if let Some(user) = other_user(context, stack, name)? {
            let message = format!("{differs}, and stays: {user} uses it");
            warn(&message, context.terminal.stderr);
            continue;
        }
        let yes = match answer {
            Answer::Yes => true,
            Answer::Asked => confirm(
                context,
                &format!("{differs}. Recreate (data will be lost)?"),
            )?,
            Answer::No => {
                let message = format!(
                    "{differs}, and stays: `stack up -d -y` makes it anew, and what is in it is lost"
                );
                warn(&message, context.terminal.stderr);
                false
            }
        };
        if yes {
            agreed.insert(changed.key, changed.hash);
        }
    }
    Ok(agreed)
}

/// Own volumes of the services whose configuration is known and another one.
fn changed(context: &Context, stack: &Stack, services: &[ServiceName]) -> Result<Vec<Changed>> {
    let models = services.iter().filter_map(|name| stack.services.get(name));
    let used: BTreeSet<&VolumeKey> = models
        .flat_map(|service| &service.volumes)
        .filter_map(|mount| match &mount.source {
            MountSource::Volume { volume, .. } => Some(volume),
            _ => None,
        })
        .collect();
    let mut all = Vec::new();
    for key in used {
        let Some(model) = stack.volumes.get(key).filter(|model| !model.external) else {
            continue;
        };
        let hash = volume_hash(model);
        let found = volume(&context.paths, &model.name)?;
        let differs = found.is_some_and(|found| {
            let own = found.project == stack.name.as_str();
            own && !found.config_hash.is_empty() && found.config_hash != hash
        });
        if differs {
            all.push(Changed {
                key: key.clone(),
                name: model.name.clone(),
                hash,
            });
        }
    }
    Ok(all)
}

/// A container that has the volume and is no replica of the project's services.
fn other_user(context: &Context, stack: &Stack, volume: &str) -> Result<Option<String>> {
    let users = users_besides(context, &[])?;
    let mut others = users.of_volume(volume);
    let other = others.find(|user| user.one_off || user.project != stack.name.as_str());
    Ok(other.map(|user| format!("container {} (project {})", user.name, user.project)))
}
