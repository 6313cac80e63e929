//! The kernel's packet filter: one nftables table, changed element by element.

use std::net::IpAddr;

use super::{Error, Protocol};

/// A published port: where packets come in and where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRule {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Address of the host, `None` for all.
    pub host_ip: Option<IpAddr>,
    /// Port on the host.
    pub host_port: u16,
    /// Address of the container.
    pub container_ip: IpAddr,
    /// Port in the container.
    pub container_port: u16,
}

/// One step of a firewall update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Lets a network's traffic pass as it should.
    AddNetwork {
        /// Its bridge.
        bridge: String,
        /// Whether it may talk to the outside.
        reach: Reach,
    },
    /// Forgets a network; no error when it is unknown.
    RemoveNetwork {
        /// Its bridge.
        bridge: String,
    },
    /// Publishes a port; the same port published elsewhere before is replaced.
    Publish(PortRule),
    /// Takes a published port back; no error when it is unknown.
    Unpublish(PortRule),
}

/// Whether a network talks to the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Masqueraded to the outside.
    Outside,
    /// Only among its own members (`internal: true`).
    Internal,
}

/// Something outside our table that can stand in the way of traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Rules of iptables-legacy exist, which cannot be seen through nftables.
    LegacyIptables,
    /// Somebody's own chain drops forwarded packets by default.
    DroppingChain {
        /// Address family of its table (`inet`, `ip`, `ip6`).
        family: &'static str,
        /// Table.
        table: String,
        /// Chain.
        chain: String,
    },
}

/// What our table holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Bridges of all networks, of every state directory.
    pub networks: Vec<(String, Reach)>,
    /// All published ports.
    pub ports: Vec<PortRule>,
}

impl PartialOrd for Reach {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some((*self as u8).cmp(&(*other as u8)))
    }
}

/// Makes all changes in one atomic batch; makes the table first when it is not there, and removes
/// it with the last network.
pub fn apply(changes: &[Change]) -> Result<Vec<Warning>, Error> {
    let _ = changes;
    todo!()
}

/// Reads back what the table holds; empty when there is no table.
pub fn snapshot() -> Result<Snapshot, Error> {
    todo!()
}
