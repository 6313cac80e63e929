//! A published port's holder: keeps the host's port taken, and carries what the firewall cannot.
//!
//! The firewall translates what comes for an address of the host. What it cannot: connections to
//! 127.0.0.1 and ::1, from IPv6 to a container that has none, of a container to its own published
//! port. Those reach a socket of the host, and this is it. It also makes other programs see that the
//! port is taken, and this program see who has it.
//!
//! Behind a port can be several containers. Each connection goes to the one that has the fewest, of
//! those that admit any; one that refuses is passed over; with none that admits but one that will,
//! it waits.
//!
//! Invariant: as long as a [`Published`] lives, or anybody has a copy of its sockets
//! ([`Published::copies`]), nobody else can bind its port, whether or not its containers run.

mod backends;
mod bind;
mod holder;
mod tcp;
mod thread;
mod udp;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Protocol;
use backends::Backends;
pub use backends::{Admits, Backend};
use bind::Socket;
pub use bind::local_address;
pub use holder::{Holder, established};
pub use thread::ProxyThread;

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
    #[error("port {} is {}", address.port(), Held(holder.as_ref(), *address))]
    Taken {
        /// Where it was tried.
        address: SocketAddr,
        /// Who has it, when that can be found out.
        holder: Option<Holder>,
    },
    /// Another service of the project has it.
    #[error("port {port} is published by service {service} already")]
    Ours {
        /// The port.
        port: u16,
        /// The service.
        service: String,
    },
    /// Nothing free in the range.
    #[error("all {protocol} ports from {} to {} are in use", range.start(), range.end())]
    NoneFree {
        /// The protocol.
        protocol: Protocol,
        /// The range.
        range: RangeInclusive<u16>,
    },
    /// The address is not one of this host.
    #[error("this host has no address {0}: publish the port on one that it has, or on all")]
    NoSuchAddress(IpAddr),
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

struct Held<'a>(Option<&'a Holder>, SocketAddr);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Holder { pid, program }) => write!(f, "held by {program} (pid {pid})"),
            None => write!(f, "already in use on {}", self.1.ip()),
        }
    }
}

/// The sign that a socket is still open, one for each that is served.
type Alive = Arc<()>;

/// How long the end of a port's sockets is waited for: they belong to a thread that is busy with
/// others.
const PATIENCE: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_micros(50);

/// A port of the host that is ours until this is dropped; with it end all connections that it
/// carries.
#[derive(Debug)]
pub struct Published {
    protocol: Protocol,
    port: u16,
    copies: Vec<OwnedFd>,
    /// Sockets that are not served yet.
    waiting: Mutex<Vec<Socket>>,
    backends: Arc<Backends>,
    alive: Alive,
    token: CancellationToken,
}

impl Published {
    /// Takes the port: on all addresses (IPv4 and IPv6) when `host_ip` is `None`. Needs no runtime.
    pub fn bind(
        protocol: Protocol,
        host_ip: Option<IpAddr>,
        port: HostPort,
    ) -> Result<Published, PortError> {
        let (port, sockets) = bind::bind(protocol, host_ip, port)?;
        Ok(Self::holding(protocol, port, sockets))
    }

    /// Goes on with sockets that were bound before, by whomever: copies of those of an earlier
    /// holder. Connections that came in meanwhile wait in them.
    pub fn take_over(
        protocol: Protocol,
        port: u16,
        sockets: Vec<OwnedFd>,
    ) -> io::Result<Published> {
        let sockets = sockets
            .into_iter()
            .map(|socket| bind::adopt(protocol, socket))
            .collect::<io::Result<_>>()?;
        Ok(Self::holding(protocol, port, sockets))
    }

    fn holding(protocol: Protocol, port: u16, sockets: Vec<Socket>) -> Published {
        // Without a copy (a shortage of descriptors) the port is as safe as its holder's process.
        let copies = sockets.iter().filter_map(|s| s.copy().ok()).collect();
        Published {
            protocol,
            port,
            copies,
            waiting: Mutex::new(sockets),
            backends: Arc::default(),
            alive: Arc::default(),
            token: CancellationToken::new(),
        }
    }

    /// Copies of the sockets: whoever has them keeps the port open when this process is gone.
    pub fn copies(&self) -> &[OwnedFd] {
        &self.copies
    }

    /// The port that was taken.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where new connections go; with none they are reset. The first call starts serving on the tokio
    /// runtime that it is made on, and fails when there is none; until then connections wait.
    pub fn set_backends(&self, backends: Vec<Backend>) -> io::Result<()> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.is_empty() {
            tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        }
        self.backends.set(backends);
        for socket in waiting.drain(..) {
            let shared = (Arc::clone(&self.backends), Arc::clone(&self.alive));
            match socket {
                Socket::Listener(listener) => tcp::serve(listener, shared, &self.token)?,
                Socket::Datagrams(socket) => udp::serve(socket, shared, &self.token)?,
            }
        }
        Ok(())
    }

    /// Gives the port up, and waits until it is free: not on the thread that serves it.
    pub fn close(self) {
        let alive = Arc::clone(&self.alive);
        drop(self);
        let deadline = Instant::now() + PATIENCE;
        while Arc::strong_count(&alive) > 1 && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until none of the connections that are carried is to this container.
    pub fn idle(&self, address: SocketAddr) -> impl Future<Output = ()> + Send + use<> {
        let backends = Arc::clone(&self.backends);
        async move {
            let done = || (backends.open(address) == 0).then_some(());
            backends.until(done).await;
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

#[cfg(test)]
mod tests;
