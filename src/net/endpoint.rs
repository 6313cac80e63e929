//! One interface of a container.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

/// One interface of a container: a veth pair with one end on a bridge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The bridge that the host end is put on.
    pub bridge: String,
    /// Name of the host end, at most 15 bytes.
    pub host_if: String,
    /// Name of the end inside the container (`eth0`).
    pub name: String,
    /// Hardware address of the inner end.
    pub mac: [u8; 6],
    /// Addresses of the inner end with their prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// Gateways of the default routes to set; empty when this interface has none.
    pub gateways: Vec<IpAddr>,
    /// Largest packet.
    pub mtu: u32,
}
