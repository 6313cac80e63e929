//! Connections that a container has with the outside, as its own network sees them: those that the
//! firewall has sent to it, which no process of ours carries.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::net::proxy::established;

/// Whether a container has open connections at these ports from outside of its networks. What
/// comes from inside them, other containers and the proxy, does not count. One that is gone has none.
pub(in crate::engine::native) fn has_connections(
    pid: i32,
    ports: &[u16],
    networks: &[IpNetwork],
) -> bool {
    let is_outside = |peer: IpAddr| !networks.iter().any(|network| network.contains(peer));
    ["tcp", "tcp6"].iter().any(|table| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}"));
        established(&text.unwrap_or_default())
            .any(|(port, peer)| ports.contains(&port) && is_outside(peer))
    })
}
