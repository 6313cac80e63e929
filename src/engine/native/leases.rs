//! Addresses that containers have on a network.
//!
//! A lease is a file named after the address: making it is atomic, so several supervisors can share
//! a network without a lock. It holds who has the address and by which names it is known, which is
//! also how containers of other projects are found on a shared network.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::observe::objects;
use crate::engine::EngineError;
use crate::net::ipam::{Subnet, Want, choose_address};
use crate::state::records::{ContainerRecord, NetworkRecord, SubnetRecord};
use crate::state::{Paths, StateError, read_json, remove_file, write_json};

/// Content of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Id of the container.
    pub(super) container: String,
    /// Its name, by which a later container finds its address again.
    pub(super) name: String,
    /// What it is called on the network.
    pub(super) names: Vec<String>,
}

/// A lease with its address.
#[derive(Debug, Clone)]
pub(super) struct Leased {
    pub(super) address: IpAddr,
    pub(super) lease: Lease,
}

fn dir(paths: &Paths, network: &str) -> PathBuf {
    paths.network(network).join("leases")
}

/// All leases of a network.
pub(super) fn list(paths: &Paths, network: &str) -> Result<Vec<Leased>, EngineError> {
    let dir = dir(paths, network);
    let mut leases = Vec::new();
    for name in objects(&dir)? {
        // A lease that is being written, or goes at this moment, is read as not there.
        if let Ok(address) = name.parse()
            && let Ok(Some(lease)) = read_json(&dir.join(&name))
        {
            leases.push(Leased { address, lease });
        }
    }
    Ok(leases)
}

/// Takes an address of a subnet: the fixed one, or the one wanted if it is free, or any.
pub(super) fn take(
    paths: &Paths,
    network: &NetworkRecord,
    subnet: &SubnetRecord,
    (fixed, previous): (Option<IpAddr>, Option<IpAddr>),
    lease: &Lease,
) -> Result<IpAddr, EngineError> {
    let dir = dir(paths, &network.name);
    let choice = Subnet {
        network: subnet.subnet,
        gateway: subnet.gateway,
        range: subnet.ip_range,
        reserved: subnet.aux_addresses.values().copied().collect(),
    };
    let mut used: BTreeSet<IpAddr> = objects(&dir)?
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    loop {
        let want = fixed.map_or(Want::Any { previous }, Want::Fixed);
        let address =
            choose_address(&choice, &used, want).map_err(|source| EngineError::Address {
                container: lease.name.clone(),
                network: network.name.clone(),
                source,
            })?;
        let path = dir.join(address.to_string());
        let text = serde_json::to_vec(lease).unwrap_or_default();
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                file.write_all(&text)
                    .map_err(|error| StateError::io("write", &path, error))?;
                return Ok(address);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                used.insert(address);
            }
            Err(error) => return Err(StateError::io("write", &path, error).into()),
        }
    }
}

/// Writes a container's new name into its lease of an address.
pub(super) fn rename(
    paths: &Paths,
    network: &str,
    address: IpAddr,
    record: &ContainerRecord,
) -> Result<(), StateError> {
    let path = dir(paths, network).join(address.to_string());
    let request = record.networks.iter().find(|r| r.network == network);
    let lease = Lease {
        container: record.id.clone(),
        name: record.name.clone(),
        names: request.map(|r| r.aliases.clone()).unwrap_or_default(),
    };
    write_json(&path, &lease)
}

/// Gives an address back.
pub(super) fn release(paths: &Paths, network: &str, address: IpAddr) -> Result<(), StateError> {
    remove_file(&dir(paths, network).join(address.to_string()))
}
