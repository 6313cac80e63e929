//! Giving a container the name of the one that it has taken the place of.

use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::{Native, leases, observe};
use crate::engine::EngineError;
use crate::plan::ObservedContainer;
use crate::state::journal::{Entry, note};
use crate::state::write_json;

impl Native {
    /// Writes the name down wherever it is: the container's record, its leases, the name server. What
    /// the program itself sees (its host name, `/etc/hosts`) has no container name in it.
    pub(super) fn rename(
        &self,
        container: &ObservedContainer,
        to: &str,
    ) -> Result<ObservedContainer, EngineError> {
        let mut renamed = container.clone();
        let mut record = (*container.record).clone();
        let from = std::mem::replace(&mut record.name, to.to_owned());
        let replace = |names: &mut Vec<String>| {
            for name in names.iter_mut().filter(|name| **name == from) {
                to.clone_into(name);
            }
        };
        for request in &mut record.networks {
            replace(&mut request.aliases);
        }
        let dir = self.paths.container(&record.id);
        write_json(&dir.join("container.json"), &record)?;
        renamed.status = observe::container_status(&self.paths, &record.id)?;
        for endpoint in &mut renamed.status.endpoints {
            replace(&mut endpoint.names);
            for address in endpoint.addresses.iter().map(IpNetwork::ip) {
                leases::rename(&self.paths, &endpoint.network, address, &record)?;
            }
        }
        write_json(&dir.join("status.json"), &renamed.status)?;
        renamed.record = Arc::new(record);
        if let Some(live) = self.live().get_mut(&renamed.record.id) {
            live.container.record = Arc::clone(&renamed.record);
            live.container
                .status
                .endpoints
                .clone_from(&renamed.status.endpoints);
        }
        let entry = Entry::of(&renamed.record, "rename").with("oldName", format!("/{from}"));
        note(&self.paths, &entry);
        self.refresh_names();
        Ok(renamed)
    }
}
