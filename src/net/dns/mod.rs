//! The embedded name server that every container finds at 127.0.0.11.
//!
//! Owns the sockets in containers, the names that containers see, and the way to other servers.
//! Never knows what a service is: it is told members of networks by their names.
//!
//! Invariant: a client sees names on its own networks only; what nobody there is called goes to the
//! servers that the client was given, and nowhere when it was given none.

mod answer;
mod bind;
mod forward;
mod server;
mod view;

pub use bind::bind_dns;
pub use server::{Client, DnsServer, Forward};
pub use view::{Member, View};

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

/// Where containers find their name server, as in Docker: nginx configurations name it.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The name server's port.
const PORT: u16 = 53;

/// The name server's sockets in one container's network namespace.
#[derive(Debug)]
pub struct DnsSockets {
    /// Datagrams.
    pub udp: OwnedFd,
    /// Listening for connections.
    pub tcp: OwnedFd,
}

#[cfg(test)]
mod tests;
