//! A network's bridge on the host.

use ipnetwork::IpNetwork;

use super::Error;

/// What a network's bridge looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Interface name ([`super::names::bridge_name`]).
    pub name: String,
    /// The gateway addresses with their prefix lengths (`10.201.0.1/24`).
    pub addresses: Vec<IpNetwork>,
    /// Largest packet.
    pub mtu: u32,
}

/// Makes the bridge, or brings an existing one to this shape; turns forwarding on.
pub fn ensure_bridge(bridge: &Bridge) -> Result<(), Error> {
    let _ = bridge;
    todo!()
}

/// Removes the bridge; succeeds when there is none.
pub fn remove_bridge(name: &str) -> Result<(), Error> {
    let _ = name;
    todo!()
}

/// Names of all bridges of ours on this host, of every state directory.
pub fn list_bridges() -> Result<Vec<String>, Error> {
    todo!()
}
