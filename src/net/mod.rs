//! Networks: netlink, bridges, address pools, nftables, the embedded name server, the port proxy.
//!
//! Owns every packet's way between containers, the host and the outside. Never knows what a
//! service is: it is told names, addresses and ports.
//!
//! Invariant: nothing here keeps state of its own. The kernel holds the links, addresses and
//! firewall elements, the caller holds the rest; every call can be repeated, and a call that finds
//! its work already done succeeds.
//!
//! Two sides use it. The shim, synchronous and single-threaded, calls [`plug()`], [`configure`] and
//! [`bind_dns`] on a container's start path: few messages, no waiting. The supervisor owns what is
//! shared: [`bridge`], [`firewall`], [`dns`] and [`proxy`].

pub mod bridge;
pub mod dns;
mod endpoint;
mod error;
pub mod firewall;
pub mod ipam;
mod link;
pub mod names;
mod netlink;
mod nft;
mod plug;
pub mod pool;
pub mod proxy;
pub mod resolv;
pub mod routes;
#[cfg(test)]
mod testing;

pub use dns::bind_dns;
pub use endpoint::Endpoint;
pub use error::{Error, Hint};
pub use plug::{configure, plug};

use std::fmt;

use serde::{Deserialize, Serialize};

/// Transport protocol of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// IANA protocol number, as in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}
