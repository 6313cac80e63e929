//! A network for containers that belong to no project: the steps of a build.
//!
//! It lives as long as the process that made it; what a killed one has left goes with the next.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::leases::{self, Lease};
use super::{network, observe};
use crate::compose::model::{Network, NetworkKey};
use crate::engine::EngineError;
use crate::net::{Endpoint, names};
use crate::state::records::NetworkRecord;
use crate::state::{Paths, read_json};

/// No project has a dot in its name.
const OWNER: &str = "stack.build";
const PID: &str = "dev.stack.build.pid";

/// A network of this process.
#[derive(Debug)]
pub(crate) struct GuestNetwork {
    paths: Paths,
    record: NetworkRecord,
}

/// A place on it.
#[derive(Debug)]
pub(crate) struct GuestEndpoint {
    /// What the container is given.
    pub(crate) endpoint: Endpoint,
    /// Where the container finds this machine.
    pub(crate) gateway: Option<IpAddr>,
}

impl GuestNetwork {
    /// Makes a network, with a way out.
    pub(crate) fn create(paths: &Paths) -> Result<Self, EngineError> {
        std::fs::create_dir_all(paths.networks())
            .map_err(|error| crate::state::StateError::io("make", &paths.networks(), error))?;
        Self::sweep(paths);
        let name = format!("stack-build-{:08x}", fastrand::u32(..));
        let mut wanted = Network {
            name: name.clone(),
            ..Network::default()
        };
        wanted
            .labels
            .insert(PID.to_owned(), std::process::id().to_string());
        let pools = std::env::var("STACK_ADDRESS_POOL").ok();
        network::create(
            paths,
            OWNER,
            (&NetworkKey::new("build"), &wanted),
            pools.as_deref(),
        )?;
        let path = paths.network(&name).join("network.json");
        let record = read_json(&path)?.ok_or(EngineError::NoNetwork(name))?;
        Ok(Self {
            paths: paths.clone(),
            record,
        })
    }

    /// Takes an address for a container.
    pub(crate) fn join(&self, id: &str) -> Result<GuestEndpoint, EngineError> {
        let lease = Lease {
            container: id.to_owned(),
            name: id[..id.len().min(12)].to_owned(),
            names: Vec::new(),
        };
        let mut addresses = Vec::new();
        for subnet in &self.record.subnets {
            let address = leases::take(&self.paths, &self.record, subnet, (None, None), &lease)?;
            addresses.extend(IpNetwork::new(address, subnet.subnet.prefix()));
        }
        let v4 = addresses.iter().find_map(|address| match address.ip() {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        let gateways: Vec<IpAddr> = self
            .record
            .subnets
            .iter()
            .map(|subnet| subnet.gateway)
            .collect();
        Ok(GuestEndpoint {
            gateway: gateways.first().copied(),
            endpoint: Endpoint {
                bridge: self.record.bridge.clone(),
                host_if: names::host_if_name(id, 0),
                name: "eth0".to_owned(),
                mac: v4.map_or_else(|| names::mac_from_name(id), names::mac_from_ipv4),
                addresses,
                gateways,
                mtu: self.record.mtu,
            },
        })
    }

    /// Gives the address back.
    pub(crate) fn leave(&self, endpoint: &GuestEndpoint) {
        for address in &endpoint.endpoint.addresses {
            if let Err(error) = leases::release(&self.paths, &self.record.name, address.ip()) {
                tracing::warn!(%error, "cannot give an address back");
            }
        }
    }

    /// Removes the networks of builds that were killed.
    fn sweep(paths: &Paths) {
        for record in observe::networks(paths).unwrap_or_default() {
            let pid = record
                .labels
                .get(PID)
                .and_then(|pid| pid.parse::<u32>().ok());
            let lives =
                pid.is_some_and(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists());
            if record.project == OWNER
                && !lives
                && let Err(error) = network::remove(paths, &record.name)
            {
                tracing::warn!(network = record.name, %error, "cannot remove a network");
            }
        }
    }
}

impl Drop for GuestNetwork {
    fn drop(&mut self) {
        if let Err(error) = network::remove(&self.paths, &self.record.name) {
            tracing::warn!(network = self.record.name, %error, "cannot remove the network of the build");
        }
    }
}
