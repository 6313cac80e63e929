//! The networks that a container is plugged into, and its addresses on them.

use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;

use crate::engine::EngineError;
use crate::engine::native::leases::{self, Lease};
use crate::engine::native::{Native, network};
use crate::net::{Endpoint, names};
use crate::state::read_json;
use crate::state::records::{ContainerRecord, ContainerStatus, EndpointRecord, NetworkRecord};

impl Native {
    /// The networks that it is to be on, each with its bridge.
    pub(super) fn networks_of(
        &self,
        record: &ContainerRecord,
    ) -> Result<Vec<NetworkRecord>, EngineError> {
        let mut networks = Vec::with_capacity(record.networks.len());
        for request in &record.networks {
            let path = self.paths.network(&request.network).join("network.json");
            let network: NetworkRecord =
                read_json(&path)?.ok_or_else(|| EngineError::NoNetwork(request.network.clone()))?;
            // After a reboot the record is all that is left of a network.
            if !Path::new("/sys/class/net").join(&network.bridge).exists() {
                network::ensure(&network)?;
            }
            networks.push(network);
        }
        Ok(networks)
    }

    /// Takes an address in each subnet of each network.
    pub(super) fn take_addresses(
        &self,
        record: &ContainerRecord,
        (networks, previous): (&[NetworkRecord], &[IpAddr]),
        status: &mut ContainerStatus,
    ) -> Result<Vec<Endpoint>, EngineError> {
        let mut endpoints = Vec::with_capacity(networks.len());
        for (index, (request, network)) in record.networks.iter().zip(networks).enumerate() {
            let lease = Lease {
                container: record.id.clone(),
                name: record.name.clone(),
                names: request.aliases.clone(),
            };
            let mut addresses: Vec<IpNetwork> = Vec::new();
            for subnet in &network.subnets {
                let fits = |address: &&IpAddr| address.is_ipv4() == subnet.subnet.is_ipv4();
                let fixed = request.addresses.iter().find(fits).copied();
                let before = previous
                    .iter()
                    .find(|address| subnet.subnet.contains(**address))
                    .copied();
                let address = leases::take(&self.paths, network, subnet, (fixed, before), &lease)?;
                addresses.extend(IpNetwork::new(address, subnet.subnet.prefix()));
                // Written at once: what follows may fail, and then this is what is given back.
                match status.endpoints.get_mut(index) {
                    Some(endpoint) => endpoint.addresses.clone_from(&addresses),
                    None => status.endpoints.push(EndpointRecord {
                        network: network.name.clone(),
                        addresses: addresses.clone(),
                        gateway: (!network.internal).then(|| network.subnets[0].gateway),
                        mac: String::new(),
                        names: request.aliases.clone(),
                    }),
                }
            }
            let mac = hardware_address(request.mac.as_deref(), &addresses, &record.name)?;
            if let Some(endpoint) = status.endpoints.get_mut(index) {
                endpoint.mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            }
            endpoints.push(endpoint((record, index), network, mac, addresses));
        }
        Ok(endpoints)
    }
}

/// The container's end of its network number `index`.
fn endpoint(
    (record, index): (&ContainerRecord, usize),
    network: &NetworkRecord,
    mac: [u8; 6],
    addresses: Vec<IpNetwork>,
) -> Endpoint {
    let request = &record.networks[index];
    let subnets = network.subnets.iter();
    Endpoint {
        bridge: network.bridge.clone(),
        host_if: names::host_if_name(&record.id, index),
        name: request
            .interface
            .clone()
            .unwrap_or_else(|| format!("eth{index}")),
        mac,
        addresses,
        gateways: match request.default_route {
            true => subnets.map(|subnet| subnet.gateway).collect(),
            false => Vec::new(),
        },
        mtu: network.mtu,
    }
}

/// The addresses that it had before, the last ones first.
pub(super) fn previous_addresses(status: &ContainerStatus) -> Vec<IpAddr> {
    status
        .endpoints
        .iter()
        .flat_map(|endpoint| endpoint.addresses.iter().map(IpNetwork::ip))
        .chain(status.last_addresses.iter().copied())
        .collect()
}

fn hardware_address(
    fixed: Option<&str>,
    addresses: &[IpNetwork],
    name: &str,
) -> Result<[u8; 6], EngineError> {
    if let Some(text) = fixed {
        let bytes: Vec<u8> = text
            .split([':', '-'])
            .filter_map(|part| u8::from_str_radix(part, 16).ok())
            .collect();
        return bytes.try_into().map_err(|_| {
            EngineError::Value(format!(
                "`{text}` is not a hardware address like 02:42:ac:11:00:02"
            ))
        });
    }
    let v4 = addresses.iter().find_map(|address| match address.ip() {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    });
    Ok(v4.map_or_else(|| names::mac_from_name(name), names::mac_from_ipv4))
}
