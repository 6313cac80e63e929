//! Containers of services, made and removed.

use std::collections::{BTreeMap, BTreeSet};

use super::create::{NewContainer, OneOffTraits};
use super::{Native, leases, new_id, observe, volume};
use crate::compose::model::ServiceName;
use crate::control::OneOff;
use crate::engine::EngineError;
use crate::plan::{AnonymousVolumes, Desired, ObservedContainer, service_hash};
use crate::runtime::bundle::Bundle;
use crate::state::journal::{Entry, note};
use crate::state::records::ContainerRecord;
use crate::state::{empty_gone, retire_dir};

impl Native {
    /// Makes a container of a service.
    pub(super) fn create_replica(
        &self,
        desired: &Desired,
        (service, number, name): (&ServiceName, u32, String),
        replaces: Option<&str>,
    ) -> Result<ObservedContainer, EngineError> {
        let Some(wanted) = desired.services.get(service) else {
            return Err(EngineError::CutShort);
        };
        let reference = wanted.service.image.clone().unwrap_or_default();
        let image = self.image_for(wanted.image_id.as_ref(), &reference)?;
        let inherited = match replaces {
            Some(id) => observe::container_record(&self.paths, id)?
                // Docker: a volume without a name belongs to the image that declared it.
                .filter(|old| old.image_id == image.id.to_string())
                .filter(|old| {
                    wanted
                        .renew_before
                        .is_none_or(|before| old.created >= before)
                })
                .map_or_else(BTreeMap::new, |old| old.anonymous_volumes),
            None => BTreeMap::new(),
        };
        self.create(
            desired,
            NewContainer {
                service,
                model: &wanted.service,
                number,
                name,
                hash: wanted.hash.clone(),
                image,
                inherited,
                replaces,
                one_off: None,
            },
        )
    }

    /// Makes a container beside the replicas of a service.
    pub(super) fn create_one_off(
        &self,
        desired: &Desired,
        one_off: &OneOff,
    ) -> Result<ObservedContainer, EngineError> {
        let Some(model) = one_off.stack.services.get(&one_off.service) else {
            return Err(EngineError::Value(format!(
                "no such service: {}",
                one_off.service
            )));
        };
        let reference = model.image.clone().unwrap_or_default();
        let image = self.image_for(Some(&one_off.image_id), &reference)?;
        let slug = new_id();
        let name = one_off.name.clone().unwrap_or_else(|| {
            let parts = [&self.project, one_off.service.as_str(), "run", &slug[..12]];
            one_off.stack.separator.join(&parts)
        });
        self.create(
            desired,
            NewContainer {
                service: &one_off.service,
                model,
                number: 1,
                name,
                hash: service_hash(&one_off.stack, model),
                image,
                inherited: BTreeMap::new(),
                replaces: None,
                one_off: Some(OneOffTraits {
                    auto_remove: one_off.auto_remove,
                    use_aliases: one_off.use_aliases,
                    slug: Some(slug),
                }),
            },
        )
    }

    /// A container of another project that has an address on a network.
    pub(super) fn foreign_guest(
        &self,
        network: &str,
    ) -> Result<Option<ContainerRecord>, EngineError> {
        for leased in leases::list(&self.paths, network)? {
            let guest = observe::container_record(&self.paths, &leased.lease.container)?;
            if let Some(guest) = guest.filter(|guest| guest.project != self.project) {
                return Ok(Some(guest));
            }
        }
        Ok(None)
    }

    /// A container that has a volume, of whatever project.
    pub(super) fn user_of_volume(
        &self,
        volume: &str,
    ) -> Result<Option<ContainerRecord>, EngineError> {
        for id in observe::objects(&self.paths.containers())? {
            let record = observe::container_record(&self.paths, &id)?;
            if let Some(user) = record.filter(|record| record.has_volume(volume)) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    /// Removes a container that does not run, and its volumes without a name as asked.
    pub(super) fn remove_container(
        &self,
        container: &ObservedContainer,
        volumes: AnonymousVolumes,
    ) -> Result<(), EngineError> {
        let record = &container.record;
        self.end_waiting(&record.id);
        let bundle = Bundle::new(self.paths.container(&record.id));
        if bundle.state().exists() && !bundle.exit().exists() {
            self.settle(record)?;
        }
        // It is gone when it has no name any more; emptying it can wait for the disk.
        if let Some(gone) = retire_dir(bundle.dir())? {
            note(&self.paths, &Entry::of(record, "destroy"));
            tokio::task::spawn_blocking(move || empty_gone(&gone));
        }
        if volumes == AnonymousVolumes::Removed {
            for name in record.anonymous_volumes.values() {
                volume::remove(&self.paths, name)?;
            }
        } else if volumes == AnonymousVolumes::Inherited {
            self.remove_disinherited(record)?;
        }
        Ok(())
    }

    /// Volumes without a name that the successor did not take over, because its image is another.
    fn remove_disinherited(&self, record: &ContainerRecord) -> Result<(), EngineError> {
        if record.anonymous_volumes.is_empty() {
            return Ok(());
        }
        let mut used = BTreeSet::new();
        for id in observe::objects(&self.paths.containers())? {
            if let Some(other) = observe::container_record(&self.paths, &id)? {
                used.extend(other.anonymous_volumes.into_values());
            }
        }
        for name in record
            .anonymous_volumes
            .values()
            .filter(|name| !used.contains(*name))
        {
            volume::remove(&self.paths, name)?;
        }
        Ok(())
    }
}
