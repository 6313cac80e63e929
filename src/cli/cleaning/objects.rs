//! Networks and volumes.

use super::{Cleaned, Ended, Only};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::inspect::size_of;
use crate::control::Command;
use crate::engine::native::objects::{
    ANONYMOUS, Users, mountpoint, remove_network, remove_volume, volumes,
};
use crate::engine::native::{networks, observe};
use crate::state::records::VolumeRecord;

/// Which volumes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Volumes {
    /// Those without a name.
    Anonymous,
    /// All.
    All,
}

/// Who would use networks and volumes without the containers in `ended`.
pub(in crate::cli) fn users_besides(context: &Context, ended: &[Ended]) -> Result<Users> {
    let mut observed = observe(&context.paths, None)?;
    let mut desired = context.all_desired()?;
    for project in ended {
        let gone = &project.removal.containers;
        observed.containers.retain(|id, _| !gone.contains(id));
        if let Some(desired) = desired.get_mut(&project.project) {
            let command = Command::Remove(project.removal.clone());
            command.apply(desired, jiff::Timestamp::now());
        }
    }
    let desired: Vec<_> = desired.into_values().collect();
    Ok(Users::of(&observed, &desired))
}

/// Names of the networks that neither a container nor a project needs.
pub(in crate::cli) fn unused_networks(
    context: &Context,
    users: &Users,
    only: &Only,
) -> Result<Vec<String>> {
    let unused = networks(&context.paths)?.into_iter().filter(|record| {
        only.means(record.created, &record.labels) && !users.need_network(&record.name)
    });
    Ok(unused.map(|record| record.name).collect())
}

/// The same of volumes.
pub(in crate::cli) fn unused_volumes(
    context: &Context,
    users: &Users,
    (which, only): (Volumes, &Only),
) -> Result<Vec<String>> {
    let is_meant = |record: &VolumeRecord| {
        let anonymous = record.labels.contains_key(ANONYMOUS);
        (anonymous || which == Volumes::All) && only.means(record.created, &record.labels)
    };
    let all = volumes(&context.paths)?.into_iter();
    let unused = all.filter(|record| is_meant(record) && !users.need_volume(&record.name));
    Ok(unused.map(|record| record.name).collect())
}

/// Removes networks.
pub(in crate::cli) fn remove_networks(
    context: &Context,
    names: Vec<String>,
    cleaned: &mut Cleaned,
) -> Result<()> {
    for name in names {
        remove_network(&context.paths, &name)?;
        cleaned.networks_deleted.push(name);
    }
    Ok(())
}

/// Removes volumes and what is in them.
pub(in crate::cli) fn remove_volumes(
    context: &Context,
    names: Vec<String>,
    cleaned: &mut Cleaned,
) -> Result<()> {
    for name in names {
        let bytes = size_of(&mountpoint(&context.paths, &name));
        remove_volume(&context.paths, &name)?;
        cleaned.space_reclaimed += bytes;
        cleaned.volumes_deleted.push(name);
    }
    Ok(())
}
