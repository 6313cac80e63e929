//! Carries datagrams: each caller gets a socket towards the container, and answers go back from the
//! address that the caller asked.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Alive;
use super::backends::{Backends, Choice, Ticket};

/// How long a caller may be silent before its socket is closed; Docker's proxy waits as long.
const IDLE: Duration = Duration::from_secs(90);
/// Callers at a time; those beyond are not heard until others fall silent.
const MOST_CALLERS: usize = 1024;
const LARGEST: usize = 65_535;

/// Who calls, and which address of the host was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Caller {
    peer: SocketAddr,
    local: IpAddr,
    /// Interface, which a link-local address needs.
    interface: u32,
}

/// A caller's way to its container.
#[derive(Debug)]
struct Towards {
    socket: UdpSocket,
    ticket: Ticket,
}

type Callers = Arc<Mutex<HashMap<Caller, Arc<Towards>>>>;

/// Serves a socket until the token is cancelled; `alive` goes after it.
pub(super) fn serve(
    socket: StdSocket,
    (backends, alive): (Arc<Backends>, Alive),
    token: &CancellationToken,
) -> io::Result<()> {
    let port = Arc::new(Port {
        socket: UdpSocket::from_std(socket)?,
        _alive: alive,
    });
    let child = token.clone();
    tokio::spawn(
        token
            .clone()
            .run_until_cancelled_owned(receive(port, backends, child)),
    );
    Ok(())
}

/// A socket and the sign that it is there, which is dropped after it.
struct Port {
    socket: UdpSocket,
    _alive: Alive,
}

async fn receive(port: Arc<Port>, backends: Arc<Backends>, token: CancellationToken) {
    let socket = &port.socket;
    let callers = Callers::default();
    let mut buffer = vec![0; LARGEST];
    loop {
        let received = socket
            .async_io(Interest::READABLE, || receive_from(socket, &mut buffer))
            .await;
        // An error here is an ICMP message to an earlier answer of ours, or a datagram without
        // an address; neither is the next caller's fault.
        let Ok((length, caller)) = received else {
            continue;
        };
        let towards = match known(&callers, &caller, &backends) {
            Some(towards) => towards,
            None => {
                let Some(towards) = open(&backends).await else {
                    continue;
                };
                if lock(&callers).len() >= MOST_CALLERS {
                    continue;
                }
                lock(&callers).insert(caller, Arc::clone(&towards));
                let session = answer(Arc::clone(&port), Arc::clone(&towards), caller);
                let (all, own) = (Arc::clone(&callers), Arc::clone(&towards));
                tokio::spawn(token.clone().run_until_cancelled_owned(async move {
                    session.await;
                    forget(&all, &caller, &own);
                }));
                towards
            }
        };
        let _ = towards.socket.send(&buffer[..length]).await;
    }
}

fn lock(callers: &Callers) -> std::sync::MutexGuard<'_, HashMap<Caller, Arc<Towards>>> {
    callers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The caller's way, unless it leads to a container that serves no longer.
fn known(callers: &Callers, caller: &Caller, backends: &Backends) -> Option<Arc<Towards>> {
    let towards = lock(callers).get(caller).cloned()?;
    backends.admits(towards.ticket.address).then_some(towards)
}

/// Removes a caller's way, unless another has taken its place.
fn forget(callers: &Callers, caller: &Caller, towards: &Arc<Towards>) {
    let mut callers = lock(callers);
    if callers
        .get(caller)
        .is_some_and(|present| Arc::ptr_eq(present, towards))
    {
        callers.remove(caller);
    }
}

/// A way to the first container that there is one to. Nobody waits for a datagram: one that comes
/// before any container is ready is lost, as datagrams are.
async fn open(backends: &Arc<Backends>) -> Option<Arc<Towards>> {
    let mut tried = BTreeSet::new();
    while let Choice::Use(ticket) = backends.choose(&tried) {
        let any = match ticket.address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        if let Ok(socket) = UdpSocket::bind((any, 0)).await
            && socket.connect(ticket.address).await.is_ok()
        {
            return Some(Arc::new(Towards { socket, ticket }));
        }
        tried.insert(ticket.address);
    }
    None
}

/// Passes the container's datagrams on until it has been silent for long, or is gone.
async fn answer(port: Arc<Port>, towards: Arc<Towards>, caller: Caller) {
    let socket = &port.socket;
    let mut buffer = vec![0; LARGEST];
    while let Ok(Ok(length)) = timeout(IDLE, towards.socket.recv(&mut buffer)).await {
        let _ = socket
            .async_io(Interest::WRITABLE, || {
                send_to(socket, &buffer[..length], caller)
            })
            .await;
    }
}

fn receive_from(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Caller)> {
    let mut space = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::empty(),
    )?;
    let peer = message.address.as_ref().and_then(socket_address);
    let local = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some((
            IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr))),
            0,
        )),
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let interface = if address.is_unicast_link_local() {
                info.ipi6_ifindex
            } else {
                0
            };
            Some((IpAddr::V6(address), interface))
        }
        _ => None,
    });
    match (peer, local) {
        (Some(peer), Some((local, interface))) => Ok((
            message.bytes,
            Caller {
                peer,
                local,
                interface,
            },
        )),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a datagram without addresses",
        )),
    }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage
        .as_sockaddr_in()
        .map(|&v4| SocketAddr::V4(v4.into()));
    v4.or_else(|| {
        storage
            .as_sockaddr_in6()
            .map(|&v6| SocketAddr::V6(v6.into()))
    })
}

fn send_to(socket: &UdpSocket, bytes: &[u8], caller: Caller) -> io::Result<usize> {
    let parts = [IoSlice::new(bytes)];
    let target = SockaddrStorage::from(caller.peer);
    let send = |from: ControlMessage<'_>| {
        sendmsg(
            socket.as_raw_fd(),
            &parts,
            &[from],
            MsgFlags::empty(),
            Some(&target),
        )
        .map_err(io::Error::from)
    };
    match caller.local {
        IpAddr::V4(local) => send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(local).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        })),
        IpAddr::V6(local) => send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr {
                s6_addr: local.octets(),
            },
            ipi6_ifindex: caller.interface,
        })),
    }
}
