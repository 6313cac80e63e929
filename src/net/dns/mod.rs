//! The embedded name server that every container finds at 127.0.0.11.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use super::Error;

/// Where containers find their name server, as in Docker: nginx configurations name it.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);

/// The name server's sockets in one container's network namespace.
#[derive(Debug)]
pub struct DnsSockets {
    /// Datagrams.
    pub udp: OwnedFd,
    /// Listening for connections.
    pub tcp: OwnedFd,
}

/// Makes the name server's sockets, reachable as 127.0.0.11:53, in the calling thread's network
/// namespace; loopback must be up.
pub fn bind_dns() -> Result<DnsSockets, Error> {
    todo!()
}

/// One container as others find it on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The network's name, as users say it in `name.network`.
    pub network: String,
    /// What it is called there: container name, service name, aliases, short id. The first one is
    /// what a reverse lookup answers.
    pub names: Vec<String>,
    /// Its addresses there.
    pub addresses: Vec<IpAddr>,
}

/// All names of all networks, as the clients see them at one moment.
#[derive(Debug, Default)]
pub struct View {}

impl View {
    /// Builds the view from every running container's memberships.
    pub fn new(members: &[Member]) -> View {
        let _ = members;
        todo!()
    }
}

/// Who answers what no member is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// These servers, in order, asked from the supervisor's own network namespace.
    To(Vec<SocketAddr>),
    /// Nobody: the client is on internal networks only.
    Nowhere,
}

/// A container that asks.
#[derive(Debug)]
pub struct Client {
    /// Whatever tells this client from the others; the same key again replaces the client.
    pub key: String,
    /// Its sockets.
    pub sockets: DnsSockets,
    /// The networks that it is on: it sees names on these only.
    pub networks: Vec<String>,
    /// Who answers the rest.
    pub forward: Forward,
}

/// The server; runs on the tokio runtime that it is called on.
#[derive(Debug, Default)]
pub struct DnsServer {}

impl DnsServer {
    /// A server without names and clients.
    pub fn new() -> DnsServer {
        DnsServer {}
    }

    /// Replaces what all clients see.
    pub fn set_view(&self, view: View) {
        let _ = view;
        todo!()
    }

    /// Starts answering a container's queries. Must be called on a tokio runtime.
    pub fn add_client(&self, client: Client) -> std::io::Result<()> {
        let _ = client;
        todo!()
    }

    /// Stops answering; no error when the key is unknown.
    pub fn remove_client(&self, key: &str) {
        let _ = key;
        todo!()
    }
}
