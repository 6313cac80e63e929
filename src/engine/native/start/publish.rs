//! Published ports: taken for a container, and what the firewall is told of them.

use std::net::{IpAddr, SocketAddr};

use ipnetwork::IpNetwork;

use crate::compose::model::{PortMapping, Protocol, Published};
use crate::engine::EngineError;
use crate::engine::native::Native;
use crate::net::firewall::PortRule;
use crate::state::records::{ContainerRecord, ContainerStatus, NetworkRecord, PortRecord};

impl Native {
    pub(super) fn take_ports(
        &self,
        record: &ContainerRecord,
        networks: &[NetworkRecord],
        status: &mut ContainerStatus,
    ) -> Result<(), EngineError> {
        // Docker publishes through the network that gives the default route, else the first.
        let default = record
            .networks
            .iter()
            .position(|request| request.default_route)
            .unwrap_or(0);
        let endpoint = status.endpoints.get(default);
        let address = endpoint.and_then(|endpoint| endpoint.addresses.first());
        let Some(address) = address.map(IpNetwork::ip).filter(|_| !networks.is_empty()) else {
            return Ok(());
        };
        for wanted in &record.template.ports {
            let target = SocketAddr::new(address, wanted.target);
            let rules = |port: &PortRecord| rules_of(port, &published_addresses(status));
            let taken = self
                .ports
                .take(record, (wanted, target), rules)
                .map_err(|source| EngineError::Port {
                    published: port_text(wanted),
                    container: record.name.clone(),
                    source,
                })?;
            status.ports.push(taken);
        }
        Ok(())
    }

    /// Ports without anybody behind them are free again, others go on without this container.
    pub(in crate::engine::native) fn give_ports_back(&self, record: &ContainerRecord) {
        if let Err(error) = self.ports.remove(&record.id) {
            tracing::warn!(container = record.name, %error, "cannot lead its ports elsewhere");
        }
    }
}

fn port_text(wanted: &PortMapping) -> String {
    let host = match wanted.published {
        Published::Any => "any".to_owned(),
        Published::Port(port) => port.to_string(),
        Published::Range(first, last) => format!("{first}-{last}"),
    };
    format!("{host}:{}/{}", wanted.target, wanted.protocol)
}

pub(in crate::engine::native) fn protocol(protocol: Protocol) -> crate::net::Protocol {
    match protocol {
        Protocol::Tcp => crate::net::Protocol::Tcp,
        Protocol::Udp => crate::net::Protocol::Udp,
    }
}

/// The firewall elements of a container's published ports: those that the kernel can send on.
pub(in crate::engine::native) fn port_rules(status: &ContainerStatus) -> Vec<PortRule> {
    let addresses = published_addresses(status);
    let rules = |port| rules_of(port, &addresses);
    status.ports.iter().flat_map(rules).collect()
}

/// The addresses at which a container is published.
pub(in crate::engine::native) fn published_addresses(status: &ContainerStatus) -> Vec<IpAddr> {
    status
        .endpoints
        .iter()
        .max_by_key(|endpoint| endpoint.gateway.is_some())
        .map(|endpoint| endpoint.addresses.iter().map(IpNetwork::ip).collect())
        .unwrap_or_default()
}

/// The firewall elements of one port. Ports on a loopback address, and IPv6 ones of a container
/// without IPv6, are the proxy's alone.
pub(in crate::engine::native) fn rules_of(
    port: &PortRecord,
    addresses: &[IpAddr],
) -> Vec<PortRule> {
    let mut rules = Vec::new();
    for address in addresses {
        let family_fits = port
            .host_ip
            .is_none_or(|host| host.is_ipv4() == address.is_ipv4());
        if family_fits && !port.host_ip.is_some_and(|host| host.is_loopback()) {
            rules.push(PortRule {
                protocol: protocol(port.protocol),
                host_ip: port.host_ip.filter(|host| !host.is_unspecified()),
                host_port: port.host_port,
                container_ip: *address,
                container_port: port.target,
            });
        }
    }
    rules
}
