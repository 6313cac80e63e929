//! Networks, and a service's place on them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexMap;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{NetworkKey, ServiceName};

/// How a service is on the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServiceNetwork {
    /// On these networks, in order of priority.
    Networks(IndexMap<NetworkKey, Attachment>),
    /// Loopback only.
    None,
    /// The host's own network.
    Host,
    /// In the network namespace of another service's container.
    Service(ServiceName),
    /// In the network namespace of a container, by name or id.
    Container(String),
}

impl Default for ServiceNetwork {
    fn default() -> Self {
        Self::Networks(IndexMap::new())
    }
}

/// A service's place on one network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Extra names on this network.
    pub aliases: Vec<String>,
    /// Fixed IPv4 address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    pub ipv6_address: Option<Ipv6Addr>,
    /// Fixed hardware address, as written (`02:42:ac:11:00:02`).
    pub mac_address: Option<String>,
    /// Options of the network's driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Extra addresses that only reach the same network.
    pub link_local_ips: Vec<IpAddr>,
    /// Name of the interface inside the container.
    pub interface_name: Option<String>,
    /// Order in which networks are connected, highest first.
    pub priority: i64,
    /// The network with the highest value gives the default route.
    pub gw_priority: i64,
}

/// A network of the stack.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Full name on the machine (`<project>_<key>` unless given).
    pub name: String,
    /// It must exist already and is never made or removed.
    pub external: bool,
    /// `driver`; `None` and `bridge` are the same.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// No way out of it.
    pub internal: bool,
    /// Give out IPv6 addresses.
    pub enable_ipv6: bool,
    /// Address ranges; empty = one is chosen.
    pub subnets: Vec<Subnet>,
    /// Labels.
    pub labels: IndexMap<String, String>,
    /// Give out no IPv4 addresses (`enable_ipv4: false`).
    #[serde(skip_serializing_if = "is_false")]
    pub no_ipv4: bool,
    /// Containers of others may join it (`attachable`).
    #[serde(skip_serializing_if = "is_false")]
    pub attachable: bool,
    /// What gives out addresses (`ipam.driver`); `None` and `default` are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam_driver: Option<String>,
    /// Options of what gives out addresses (`ipam.options`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ipam_options: BTreeMap<String, String>,
}

/// Fields that came later are left out when they say nothing, so that hashes stay what they were.
fn is_false(flag: &bool) -> bool {
    !flag
}

/// One address range of a network (`ipam.config`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// The range.
    pub subnet: IpNetwork,
    /// Part of it that addresses are taken from.
    pub ip_range: Option<IpNetwork>,
    /// The bridge's own address; `None` = the first of the range.
    pub gateway: Option<IpAddr>,
    /// Addresses that are not given out, by host name.
    pub aux_addresses: BTreeMap<String, IpAddr>,
}
