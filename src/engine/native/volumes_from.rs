//! `volumes_from`: what another container has mounted is mounted here, too.

use std::path::Path;

use super::{Native, observe};
use crate::compose::model::{Mount, MountSource, VolumesFrom, VolumesSource};
use crate::engine::EngineError;
use crate::plan::Desired;
use crate::state::records::{ContainerRecord, MountRecord};

impl Native {
    /// The mounts, and those of the containers that `from` names; an own mount goes before one that is
    /// taken over to the same place, a later container before an earlier one (Docker's order).
    pub(super) fn with_taken_over(
        &self,
        desired: &Desired,
        mut mounts: Vec<Mount>,
        from: &[VolumesFrom],
    ) -> Result<Vec<Mount>, EngineError> {
        for taken in from.iter().rev() {
            let record = self.owner_of_volumes(&taken.source)?;
            for mount in &record.mounts {
                let target = &mount.destination;
                if mounts.iter().any(|own| is_same_place(&own.target, target)) {
                    continue;
                }
                if let Some(source) = source_of(desired, mount) {
                    mounts.push(Mount {
                        target: target.clone(),
                        read_only: taken.read_only || !mount.writable,
                        source,
                    });
                }
            }
        }
        Ok(mounts)
    }

    /// The first container of the service, or the one of that name.
    fn owner_of_volumes(&self, source: &VolumesSource) -> Result<ContainerRecord, EngineError> {
        let mut found: Option<ContainerRecord> = None;
        for id in observe::objects(&self.paths.containers())? {
            let Some(record) = observe::container_record(&self.paths, &id)? else {
                continue;
            };
            let matches = match source {
                VolumesSource::Service(service) => {
                    record.project == self.project && record.service == *service && !record.one_off
                }
                VolumesSource::Container(name) => {
                    record.name == *name || (name.len() >= 12 && record.id.starts_with(name))
                }
            };
            if matches
                && found
                    .as_ref()
                    .is_none_or(|first| record.number < first.number)
            {
                found = Some(record);
            }
        }
        found.ok_or_else(|| EngineError::NoOwner {
            what: "volumes",
            owner: match source {
                VolumesSource::Service(service) => format!("service:{service}"),
                VolumesSource::Container(name) => format!("container:{name}"),
            },
        })
    }
}

fn is_same_place(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

/// A volume of this project by its name, all else by its directory: what belongs to another container
/// must not go away with this one. A tmpfs is nobody else's.
fn source_of(desired: &Desired, mount: &MountRecord) -> Option<MountSource> {
    let is_named = |volume: &&crate::compose::model::VolumeKey| {
        let found = desired.volumes.get(*volume);
        found.is_some_and(|found| found.name == mount.name)
    };
    match mount.kind.as_str() {
        "volume" if let Some(key) = desired.volumes.keys().find(is_named) => {
            Some(MountSource::Volume {
                volume: key.clone(),
                nocopy: true,
                subpath: None,
            })
        }
        "volume" | "bind" if mount.source != Path::new("") => Some(MountSource::Bind {
            path: mount.source.clone(),
            create_host_path: false,
            propagation: None,
            recursive: true,
        }),
        _ => None,
    }
}
