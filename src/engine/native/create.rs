//! Making a container: its directory and its record. Nothing runs yet and nothing is taken yet.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use jiff::Timestamp;

use super::files::{self, GivenFile};
use super::labels::{self, Labelled};
use super::settle::unfinished;
use super::{Native, new_id, observe, template, volume};
use crate::compose::model::{Mount, MountSource, Service, ServiceName, ServiceNetwork};
use crate::engine::EngineError;
use crate::image::Image;
use crate::plan::{Desired, ObservedContainer, Phase, config_hash};
use crate::runtime::bundle::Bundle;
use crate::state::journal::{Entry, note};
use crate::state::records::{ContainerRecord, ContainerStatus, MountRecord, NetworkRequest};
use crate::state::{StateError, write_json};

/// A container to be made.
pub(super) struct NewContainer<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) model: &'a Service,
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) hash: String,
    pub(super) image: Arc<Image>,
    /// Anonymous volumes of the container that it takes the place of: target → volume.
    pub(super) inherited: BTreeMap<String, String>,
    /// Id of the container that it takes the place of.
    pub(super) replaces: Option<&'a str>,
    pub(super) one_off: Option<OneOffTraits>,
}

/// What sets a one-off container apart.
#[derive(Debug, Clone)]
pub(super) struct OneOffTraits {
    pub(super) auto_remove: bool,
    pub(super) use_aliases: bool,
    /// What Docker Compose's label calls a run by; a step before a start has none.
    pub(super) slug: Option<String>,
}

impl Native {
    /// Makes the container; on an error nothing of it is left.
    pub(super) fn create(
        &self,
        desired: &Desired,
        new: NewContainer<'_>,
    ) -> Result<ObservedContainer, EngineError> {
        self.check_name(&new)?;
        let mut made_volumes = Vec::new();
        let result = self.create_with(desired, &new, &mut made_volumes);
        match &result {
            Ok(made) => note(&self.paths, &Entry::of(&made.record, "create")),
            Err(_) => {
                for name in made_volumes {
                    let _ = volume::remove(&self.paths, &name);
                }
            }
        }
        result
    }

    fn create_with(
        &self,
        desired: &Desired,
        new: &NewContainer<'_>,
        made_volumes: &mut Vec<String>,
    ) -> Result<ObservedContainer, EngineError> {
        check_health(new.model)?;
        let id = new_id();
        let command = template::command(new.model, &new.image);
        if command.is_empty() {
            return Err(EngineError::NoCommand(self.image_name(new.model)));
        }
        check_sources(&new.model.volumes)?;
        let given = files::given(desired, new.model, &self.paths.container(&id))?;
        let mut model = new.model.clone();
        model.volumes.extend(given.mounts);
        model.volumes = self.with_taken_over(desired, model.volumes, &new.model.volumes_from)?;
        let mounts = with_image_volumes(&model, &new.image);
        let anonymous = self.anonymous_volumes(&mounts, &new.inherited, made_volumes)?;
        let image_id = new.image.id.to_string();
        let one_off = new.one_off.clone();
        let record = ContainerRecord {
            version: 1,
            name: new.name.clone(),
            project: self.project.clone(),
            service: new.service.clone(),
            number: new.number,
            one_off: one_off.is_some(),
            auto_remove: one_off.as_ref().is_some_and(|one_off| one_off.auto_remove),
            made_alone: desired
                .services
                .get(new.service)
                .is_some_and(|service| service.no_deps),
            created: Timestamp::now(),
            config_hash: new.hash.clone(),
            image: self.image_name(new.model),
            labels: labels::of_container(
                desired,
                Labelled {
                    service: new.service,
                    model: new.model,
                    number: new.number,
                    one_off: one_off.is_some(),
                    slug: one_off.as_ref().and_then(|one_off| one_off.slug.as_deref()),
                    replaces: new.replaces,
                    hash: &config_hash(new.model),
                    image_id: &image_id,
                    image_labels: template::image_labels(&new.image),
                },
            ),
            image_id,
            mounts: self.mount_records(desired, &mounts, &anonymous),
            anonymous_volumes: anonymous,
            command,
            health: template::health(new.model, &new.image),
            stop_signal: template::stop_signal(new.model, &new.image)?,
            stop_grace: template::stop_grace(new.model),
            networks: network_requests(desired, new, &id),
            exposed: template::image_ports(&new.image),
            template: model,
            id,
        };
        self.write_container(&record, &given.files)?;
        Ok(ObservedContainer {
            record: Arc::new(record),
            status: ContainerStatus::default(),
            phase: Phase::Created,
        })
    }

    /// A volume without a name for each mount that wants one: that of the container which is replaced, or a
    /// new one, which is noted in `made`.
    fn anonymous_volumes(
        &self,
        mounts: &[Mount],
        inherited: &BTreeMap<String, String>,
        made: &mut Vec<String>,
    ) -> Result<BTreeMap<String, String>, EngineError> {
        let mut anonymous = BTreeMap::new();
        for mount in mounts {
            if mount.source != MountSource::Anonymous {
                continue;
            }
            let name = match inherited.get(&mount.target) {
                Some(name) => name.clone(),
                None => {
                    let name = volume::create_anonymous(&self.paths, &self.project)?;
                    made.push(name.clone());
                    name
                }
            };
            anonymous.insert(mount.target.clone(), name);
        }
        Ok(anonymous)
    }

    fn write_container(
        &self,
        record: &ContainerRecord,
        files: &[GivenFile],
    ) -> Result<(), EngineError> {
        let path = self.paths.container(&record.id);
        let temporary = self
            .paths
            .containers()
            .join(unfinished(&record.project, &record.id));
        let bundle = Bundle::new(&temporary);
        for dir in [
            bundle.rootfs(),
            temporary.join("upper"),
            temporary.join("work"),
        ] {
            fs::create_dir_all(&dir).map_err(|error| StateError::io("make", &dir, error))?;
        }
        files::write(files, &temporary)?;
        write_json(&temporary.join("container.json"), record)?;
        fs::rename(&temporary, &path).map_err(|error| StateError::io("make", &path, error))?;
        Ok(())
    }

    fn image_name(&self, model: &Service) -> String {
        model.image.clone().unwrap_or_default()
    }

    /// Only a name that somebody chose can clash: the others carry the project's name.
    fn check_name(&self, new: &NewContainer<'_>) -> Result<(), EngineError> {
        let one_off = new.one_off.as_ref();
        let is_chosen = match one_off {
            Some(one_off) => {
                let slug = one_off.slug.as_deref();
                slug.is_some_and(|slug| !new.name.ends_with(&slug[..12]))
            }
            None => new.model.container_name.is_some(),
        };
        if !is_chosen {
            return Ok(());
        }
        match observe::names(&self.paths)?.remove(&new.name) {
            // A replica may take the place of one that has the same name.
            Some(project) if project != self.project || one_off.is_some() => {
                Err(EngineError::NameTaken {
                    name: new.name.clone(),
                    project,
                })
            }
            _ => Ok(()),
        }
    }

    fn mount_records(
        &self,
        desired: &Desired,
        mounts: &[Mount],
        anonymous: &BTreeMap<String, String>,
    ) -> Vec<MountRecord> {
        let volume_source = |name: &str| match volume::backing(&self.paths, name) {
            Ok(volume::Backing::Directory(path)) => path,
            _ => self.paths.volume(name).join("data"),
        };
        let record = |mount: &Mount| {
            let (kind, name, source) = match &mount.source {
                MountSource::Bind { path, .. } => ("bind", String::new(), path.clone()),
                MountSource::Volume { volume, .. } => {
                    let name = desired
                        .volumes
                        .get(volume)
                        .map(|volume| volume.name.clone());
                    let name = name.unwrap_or_default();
                    ("volume", name.clone(), volume_source(&name))
                }
                MountSource::Anonymous => {
                    let name = anonymous.get(&mount.target).cloned().unwrap_or_default();
                    ("volume", name.clone(), volume_source(&name))
                }
                MountSource::Image { image, .. } => {
                    ("image", image.clone(), std::path::PathBuf::new())
                }
                MountSource::Tmpfs { .. } => ("tmpfs", String::new(), std::path::PathBuf::new()),
            };
            MountRecord {
                kind: kind.to_owned(),
                name,
                source,
                destination: mount.target.clone(),
                writable: !mount.read_only,
            }
        };
        mounts.iter().map(record).collect()
    }
}

/// Docker's condition, in its words: without the period the interval would never be used.
fn check_health(model: &Service) -> Result<(), EngineError> {
    match &model.healthcheck {
        Some(check) if check.start_interval.is_some() && check.start_period.is_none() => {
            let message = "healthcheck.start_interval requires healthcheck.start_period to be set";
            Err(EngineError::Value(message.to_owned()))
        }
        _ => Ok(()),
    }
}

/// Refuses what will not be there to be mounted, before anything is made of it (Docker, too).
fn check_sources(mounts: &[Mount]) -> Result<(), EngineError> {
    let missing = mounts.iter().find_map(|mount| match &mount.source {
        MountSource::Bind {
            path,
            create_host_path: false,
            ..
        } => (!path.exists()).then(|| path.clone()),
        _ => None,
    });
    missing.map_or(Ok(()), |path| Err(EngineError::NoBindSource(path)))
}

/// The service's mounts, and a volume without a name for each path that the image declares and the
/// service does not cover; parents before what is mounted below them.
pub(super) fn with_image_volumes(model: &Service, image: &Image) -> Vec<Mount> {
    let mut mounts = model.volumes.clone();
    for target in template::image_volumes(image) {
        if !mounts
            .iter()
            .any(|mount| mount.target.trim_end_matches('/') == target.trim_end_matches('/'))
        {
            mounts.push(Mount {
                target,
                read_only: false,
                source: MountSource::Anonymous,
            });
        }
    }
    mounts.sort_by_key(|mount| {
        mount
            .target
            .split('/')
            .filter(|part| !part.is_empty())
            .count()
    });
    mounts
}

/// What the container asks of each of its networks.
fn network_requests(desired: &Desired, new: &NewContainer<'_>, id: &str) -> Vec<NetworkRequest> {
    let ServiceNetwork::Networks(networks) = &new.model.network else {
        return Vec::new();
    };
    let with_aliases = new
        .one_off
        .as_ref()
        .is_none_or(|one_off| one_off.use_aliases);
    // Docker: the highest `gw_priority` gives the default route; then the first one connected.
    let default = networks
        .iter()
        .enumerate()
        .filter(|(_, (key, _))| {
            desired
                .networks
                .get(*key)
                .is_some_and(|network| !network.internal)
        })
        .max_by_key(|(index, (_, attachment))| (attachment.gw_priority, std::cmp::Reverse(*index)))
        .map(|(index, _)| index);
    let request = |(index, (key, attachment)): (
        usize,
        (
            &crate::compose::model::NetworkKey,
            &crate::compose::model::Attachment,
        ),
    )| {
        let mut aliases = vec![new.name.clone()];
        if with_aliases {
            aliases.push(new.service.as_str().to_owned());
            aliases.extend(attachment.aliases.iter().cloned());
        }
        aliases.extend(new.model.hostname.clone());
        aliases.push(id[..12].to_owned());
        let mut seen = std::collections::BTreeSet::new();
        aliases.retain(|alias| seen.insert(alias.clone()));
        let v4 = attachment.ipv4_address.map(std::net::IpAddr::V4);
        let v6 = attachment.ipv6_address.map(std::net::IpAddr::V6);
        NetworkRequest {
            network: desired
                .networks
                .get(key)
                .map(|network| network.name.clone())
                .unwrap_or_default(),
            aliases,
            addresses: v4.into_iter().chain(v6).collect(),
            mac: attachment.mac_address.clone(),
            interface: attachment.interface_name.clone(),
            default_route: default == Some(index),
        }
    };
    networks.iter().enumerate().map(request).collect()
}
