//! A published port's holder: keeps the host's port taken, and carries what the firewall cannot.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use super::Protocol;

/// Which port of the host is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPort {
    /// This one.
    Fixed(u16),
    /// Any free one of these.
    Range(RangeInclusive<u16>),
    /// Whatever the kernel gives.
    Any,
}

/// Why a port is not ours.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody has it.
    #[error("port {} is {}", address.port(), Holder::describe(holder.as_ref(), *address))]
    Taken {
        /// Where it was tried.
        address: SocketAddr,
        /// Who has it, when that can be found out.
        holder: Option<Holder>,
    },
    /// Nothing free in the range.
    #[error("no free {protocol} port in {}-{}", range.start(), range.end())]
    NoneFree {
        /// The protocol.
        protocol: Protocol,
        /// The range.
        range: RangeInclusive<u16>,
    },
    /// Binding failed otherwise.
    #[error("cannot listen on {protocol} {address}")]
    Bind {
        /// The protocol.
        protocol: Protocol,
        /// Where it was tried.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

/// The process that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: i32,
    /// Its program's name (`comm`).
    pub program: String,
}

impl Holder {
    fn describe(holder: Option<&Holder>, address: SocketAddr) -> String {
        match holder {
            Some(Holder { pid, program }) => format!("held by {program} (pid {pid})"),
            None => format!("already in use on {}", address.ip()),
        }
    }
}

/// A port of the host that is ours until this is dropped.
#[derive(Debug)]
pub struct Published {}

impl Published {
    /// Takes the port: on all addresses (IPv4 and IPv6) when `host_ip` is `None`. Needs no runtime.
    pub fn bind(
        protocol: Protocol,
        host_ip: Option<IpAddr>,
        port: HostPort,
    ) -> Result<Published, PortError> {
        let _ = (protocol, host_ip, port);
        todo!()
    }

    /// The port that was taken.
    pub fn port(&self) -> u16 {
        todo!()
    }

    /// Where connections go, in turn; none means that they are refused. The first call starts
    /// serving on the tokio runtime that it is made on.
    pub fn set_backends(&self, backends: Vec<SocketAddr>) -> io::Result<()> {
        let _ = backends;
        todo!()
    }
}
