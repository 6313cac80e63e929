//! Networks: a record, a bridge, and the firewall's knowledge of it.

use std::collections::BTreeMap;
use std::fs;

use ipnetwork::IpNetwork;
use jiff::Timestamp;

use super::labels;
use super::observe::{networks, observed_network};
use super::settle::unfinished;
use crate::compose::model::{Network, NetworkKey};
use crate::engine::EngineError;
use crate::net::bridge::{Bridge, ensure_bridge, remove_bridge};
use crate::net::firewall::{self, Change, Reach};
use crate::net::ipam::gateway_of;
use crate::net::pool::{Pool, choose_subnet, default_pools, parse_pools, unique_local};
use crate::net::{names, routes};
use crate::plan::{ObservedNetwork, network_hash};
use crate::state::records::{NetworkRecord, SubnetRecord};
use crate::state::{Lock, Paths, StateError, read_json, remove_dir, write_json};

const DEFAULT_MTU: u32 = 1500;

/// Makes a network; one that is there already only gets back what the kernel lost.
pub(super) fn create(
    paths: &Paths,
    project: &str,
    (key, network): (&NetworkKey, &Network),
    pools: Option<&str>,
) -> Result<ObservedNetwork, EngineError> {
    if let Some(driver) = &network.driver
        && driver != "bridge"
    {
        return Err(EngineError::Value(format!(
            "network {} wants driver `{driver}`; only `bridge` is there",
            network.name
        )));
    }
    // One at a time on the machine: ranges are chosen against all other networks.
    let _lock = Lock::acquire(&paths.networks_lock())?;
    let path = paths.network(&network.name);
    let record = match read_json::<NetworkRecord>(&path.join("network.json"))? {
        Some(record) => record,
        None => {
            let record = new_record(paths, project, (key, network), pools)?;
            let temporary = paths.networks().join(unfinished(project, &record.id));
            let leases = temporary.join("leases");
            fs::create_dir_all(&leases).map_err(|error| StateError::io("make", &leases, error))?;
            write_json(&temporary.join("network.json"), &record)?;
            fs::rename(&temporary, &path).map_err(|error| StateError::io("make", &path, error))?;
            record
        }
    };
    ensure(&record)?;
    Ok(observed_network(&record))
}

/// Gives a network what the kernel has of it: bridge and firewall rules.
pub(super) fn ensure(record: &NetworkRecord) -> Result<Vec<firewall::Warning>, EngineError> {
    let addresses = record
        .subnets
        .iter()
        .filter_map(|subnet| IpNetwork::new(subnet.gateway, subnet.subnet.prefix()).ok())
        .collect();
    ensure_bridge(&Bridge {
        name: record.bridge.clone(),
        addresses,
        mtu: record.mtu,
    })?;
    Ok(firewall::apply(&[Change::AddNetwork {
        bridge: record.bridge.clone(),
        reach: if record.internal {
            Reach::Internal
        } else {
            Reach::Outside
        },
    }])?)
}

/// Removes a network.
pub(super) fn remove(paths: &Paths, name: &str) -> Result<(), EngineError> {
    let _lock = Lock::acquire(&paths.networks_lock())?;
    let path = paths.network(name);
    if let Some(record) = read_json::<NetworkRecord>(&path.join("network.json"))? {
        // All of it is tried, the first failure is reported, and the record stays for the next try.
        let forgotten = firewall::apply(&[Change::RemoveNetwork {
            bridge: record.bridge.clone(),
        }]);
        let removed = remove_bridge(&record.bridge);
        forgotten?;
        removed?;
    }
    Ok(remove_dir(&path)?)
}

fn new_record(
    paths: &Paths,
    project: &str,
    (key, network): (&NetworkKey, &Network),
    pools: Option<&str>,
) -> Result<NetworkRecord, EngineError> {
    let others = networks(paths)?;
    let subnets = subnets_of(network, &others, pools)?;
    Ok(NetworkRecord {
        version: 1,
        id: super::new_id(),
        name: network.name.clone(),
        project: project.to_owned(),
        key: key.as_str().to_owned(),
        created: Timestamp::now(),
        config_hash: network_hash(network),
        bridge: names::bridge_name(paths.root(), &network.name),
        subnets,
        internal: network.internal,
        attachable: network.attachable,
        options: network.driver_opts.clone(),
        mtu: network
            .driver_opts
            .get("com.docker.network.driver.mtu")
            .and_then(|text| text.parse().ok())
            .unwrap_or(DEFAULT_MTU),
        labels: labels_of(project, (key, network)),
    })
}

/// The subnets that the file gives, and one more for each family that needs one and has none.
fn subnets_of(
    network: &Network,
    others: &[NetworkRecord],
    pools: Option<&str>,
) -> Result<Vec<SubnetRecord>, EngineError> {
    let mut subnets = Vec::new();
    for subnet in &network.subnets {
        let taken = others.iter().find(|other| {
            other
                .subnets
                .iter()
                .any(|theirs| overlap(theirs.subnet, subnet.subnet))
        });
        if let Some(other) = taken {
            return Err(EngineError::Overlap {
                network: network.name.clone(),
                subnet: subnet.subnet,
                other: format!("network {}", other.name),
            });
        }
        subnets.push(SubnetRecord {
            subnet: subnet.subnet,
            ip_range: subnet.ip_range,
            gateway: subnet.gateway.unwrap_or_else(|| gateway_of(subnet.subnet)),
            aux_addresses: subnet.aux_addresses.clone(),
        });
    }
    let has = |v4: bool| subnets.iter().any(|subnet| subnet.subnet.is_ipv4() == v4);
    let (missing_v4, missing_v6) = (!has(true), network.enable_ipv6 && !has(false));
    if missing_v4 {
        subnets.push(plain(free_subnet(network, others, pools)?));
    }
    if missing_v6 {
        subnets.push(plain(IpNetwork::V6(unique_local(&network.name))));
    }
    Ok(subnets)
}

/// Its own labels, and those of its project; one that was made by hand has none.
fn labels_of(project: &str, (key, network): (&NetworkKey, &Network)) -> BTreeMap<String, String> {
    if project.is_empty() {
        return network.labels.clone().into_iter().collect();
    }
    let mut all = labels::of_object(project, &network.labels);
    let key = key.as_str().to_owned();
    all.insert("com.docker.compose.network".to_owned(), key);
    all.insert(labels::CONFIG_HASH.to_owned(), network_hash(network));
    all
}

fn plain(subnet: IpNetwork) -> SubnetRecord {
    SubnetRecord {
        subnet,
        ip_range: None,
        gateway: gateway_of(subnet),
        aux_addresses: Default::default(),
    }
}

/// A range that neither the host's routes nor our other networks have.
fn free_subnet(
    network: &Network,
    others: &[NetworkRecord],
    pools: Option<&str>,
) -> Result<IpNetwork, EngineError> {
    let pool_error = |source| EngineError::Pool {
        network: network.name.clone(),
        source,
    };
    let pools: Vec<Pool> = match pools {
        Some(text) => parse_pools(text).map_err(pool_error)?,
        None => default_pools(),
    };
    let mut taken = routes::host_networks()?;
    taken.extend(
        others
            .iter()
            .flat_map(|other| other.subnets.iter().map(|subnet| subnet.subnet)),
    );
    choose_subnet(&pools, &taken).map_err(pool_error)
}

fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}
