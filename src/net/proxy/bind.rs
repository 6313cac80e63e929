//! Takes ports.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind as bind_socket, getsockname, listen, socket_with,
    sockopt as rx,
};

use super::{Holder, HostPort, PortError};
use crate::net::Protocol;

const BACKLOG: i32 = 1024;
/// How often a port that the kernel gave for IPv4 may turn out to be taken for IPv6.
const ATTEMPTS: u32 = 32;

/// A socket that holds a port.
#[derive(Debug)]
pub(super) enum Socket {
    Listener(TcpListener),
    Datagrams(UdpSocket),
}

impl Socket {
    pub(super) fn copy(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Listener(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Datagrams(socket) => socket.as_fd().try_clone_to_owned(),
        }
    }
}

/// A socket that was bound by [`bind`], maybe in another process.
pub(super) fn adopt(protocol: Protocol, socket: OwnedFd) -> io::Result<Socket> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(match protocol {
        Protocol::Tcp => Socket::Listener(socket.into()),
        Protocol::Udp => Socket::Datagrams(socket.into()),
    })
}

/// What a socket is bound to; `None` for what is no socket of the Internet protocols.
pub fn local_address(socket: impl AsFd) -> Option<(Protocol, SocketAddr)> {
    let protocol = match rx::socket_type(&socket).ok()? {
        SocketType::STREAM => Protocol::Tcp,
        SocketType::DGRAM => Protocol::Udp,
        _ => return None,
    };
    let address = getsockname(&socket).ok()?;
    Some((protocol, SocketAddr::try_from(address).ok()?))
}

/// Takes a port on one address, or on all; which port it is, and the sockets that hold it.
pub(super) fn bind(
    protocol: Protocol,
    host_ip: Option<IpAddr>,
    port: HostPort,
) -> Result<(u16, Vec<Socket>), PortError> {
    match port {
        HostPort::Fixed(port) => bind_all(protocol, host_ip, port),
        HostPort::Any => {
            let mut outcome = bind_all(protocol, host_ip, 0);
            for _ in 1..ATTEMPTS {
                if !matches!(outcome, Err(PortError::Taken { .. })) {
                    break;
                }
                outcome = bind_all(protocol, host_ip, 0);
            }
            outcome
        }
        HostPort::Range(range) => {
            for port in range.clone() {
                match bind_all(protocol, host_ip, port) {
                    Err(PortError::Taken { .. }) => {}
                    outcome => return outcome,
                }
            }
            Err(PortError::NoneFree { protocol, range })
        }
    }
}

fn bind_all(
    protocol: Protocol,
    host_ip: Option<IpAddr>,
    port: u16,
) -> Result<(u16, Vec<Socket>), PortError> {
    if let Some(host_ip) = host_ip {
        let (port, socket) = bind_one(protocol, SocketAddr::new(host_ip, port))?;
        return Ok((port, vec![socket]));
    }
    let any4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let (port, first) = bind_one(protocol, any4)?;
    let any6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
    match bind_one(protocol, any6) {
        Ok((_, second)) => Ok((port, vec![first, second])),
        // A host without IPv6 has one family to serve.
        Err(PortError::NoSuchAddress(_)) => Ok((port, vec![first])),
        Err(PortError::Bind { source, .. })
            if source.raw_os_error() == Some(libc::EAFNOSUPPORT) =>
        {
            Ok((port, vec![first]))
        }
        Err(error) => Err(error),
    }
}

fn bind_one(protocol: Protocol, address: SocketAddr) -> Result<(u16, Socket), PortError> {
    socket(protocol, address).map_err(|source| match source.raw_os_error() {
        Some(libc::EADDRINUSE) => PortError::Taken {
            address,
            holder: Holder::find(protocol, address),
        },
        Some(libc::EADDRNOTAVAIL) => PortError::NoSuchAddress(address.ip()),
        _ => PortError::Bind {
            protocol,
            address,
            source,
        },
    })
}

fn socket(protocol: Protocol, address: SocketAddr) -> io::Result<(u16, Socket)> {
    let (family, kind) = (
        if address.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        },
        match protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        },
    );
    let fd = socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    if address.is_ipv6() {
        rx::set_ipv6_v6only(&fd, true)?;
    }
    match protocol {
        Protocol::Tcp => {
            // Connections of an earlier holder that still wait for their end do not count. For
            // datagrams the same option would let two programs share the port.
            rx::set_socket_reuseaddr(&fd, true)?;
            bind_socket(&fd, &address)?;
            listen(&fd, BACKLOG)?;
            let listener = TcpListener::from(fd);
            Ok((listener.local_addr()?.port(), Socket::Listener(listener)))
        }
        Protocol::Udp => {
            // Answers must leave from the address that was asked: the kernel tells which.
            if address.is_ipv4() {
                setsockopt(&fd, sockopt::Ipv4PacketInfo, &true)?;
            } else {
                setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true)?;
            }
            bind_socket(&fd, &address)?;
            let socket = UdpSocket::from(fd);
            Ok((socket.local_addr()?.port(), Socket::Datagrams(socket)))
        }
    }
}
