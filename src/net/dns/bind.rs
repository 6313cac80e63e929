//! The name server's sockets in a container's network namespace.
//!
//! The address is fixed, 127.0.0.11 port 53, and a program in the container may want port 53 on all
//! addresses for itself (CoreDNS, Pi-hole, dnsmasq). The kernel refuses `0.0.0.0:53` to it while any
//! socket holds `127.0.0.11:53`, unless both sides ask for address reuse; so we may not hold it. Our
//! sockets have a port that the kernel chose, and four rules in the container's namespace rewrite it:
//!
//! - a packet to 127.0.0.11:53 gets our port, after connection tracking has seen it;
//! - a packet from our port gets port 53, before connection tracking sees it.
//!
//! That is Docker's DNAT and SNAT without address translation: no connection tracking is started in
//! the namespace, and if a program inside starts it, it sees port 53 both ways. It takes one batch,
//! about a tenth of a millisecond. On a kernel without nftables we hold port 53 itself.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};

use super::{ADDRESS, DnsSockets, PORT};
use crate::net::netlink::{Connection, Family};
use crate::net::nft::{
    BaseChain, ChainKind, CmpOp, Expression, Field, Hook, IPV4, MetaKey, Register, Table,
    Transaction, Verdict,
};
use crate::net::{Error, Protocol};

const TABLE: Table<'_> = Table {
    family: IPV4,
    name: "stack",
};
/// `NF_IP_PRI_RAW`: before connection tracking.
const REPLIES: BaseChain = BaseChain {
    name: "dns-replies",
    kind: ChainKind::Filter,
    hook: Hook::Output,
    priority: -300,
};
/// `NF_IP_PRI_MANGLE`: after connection tracking.
const QUERIES: BaseChain = BaseChain {
    name: "dns-queries",
    kind: ChainKind::Filter,
    hook: Hook::Output,
    priority: -150,
};
const BACKLOG: i32 = 64;

/// Makes the name server's sockets, reachable as 127.0.0.11:53, in the calling thread's network
/// namespace; loopback must be up.
pub fn bind_dns() -> Result<DnsSockets, Error> {
    let (udp, udp_port) = bound(Protocol::Udp, 0)?;
    let (tcp, tcp_port) = bound(Protocol::Tcp, 0)?;
    match rewrite_ports(udp_port, tcp_port) {
        Ok(()) => Ok(DnsSockets { udp, tcp }),
        Err(_) => {
            let (udp, _) = bound(Protocol::Udp, PORT)?;
            let (tcp, _) = bound(Protocol::Tcp, PORT)?;
            Ok(DnsSockets { udp, tcp })
        }
    }
}

fn bound(protocol: Protocol, port: u16) -> Result<(OwnedFd, u16), Error> {
    let address = SocketAddrV4::new(ADDRESS, port);
    let attempt = || {
        let kind = match protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, kind, flags, None)?;
        bind(&socket, &address)?;
        if protocol == Protocol::Tcp {
            listen(&socket, BACKLOG)?;
        }
        let port = SocketAddrV4::try_from(getsockname(&socket)?)?.port();
        Ok((socket, port))
    };
    attempt().map_err(|errno: rustix::io::Errno| Error::BindDns {
        protocol,
        address: SocketAddr::V4(address),
        source: errno.into(),
    })
}

/// Lets port 53 of the address stand for our ports.
fn rewrite_ports(udp: u16, tcp: u16) -> Result<(), Error> {
    let connection = Connection::open(Family::Netfilter)?;
    let mut transaction = Transaction::new();
    transaction.add_table(TABLE, b"");
    for chain in [REPLIES, QUERIES] {
        transaction.add_chain(TABLE, chain);
        transaction.flush_chain(TABLE, chain.name);
    }
    for (protocol, port) in [(Protocol::Udp, udp), (Protocol::Tcp, tcp)] {
        let reply = rewrite(
            protocol,
            (Field::IPV4_SOURCE, Field::SOURCE_PORT),
            (port, PORT),
        );
        transaction.append_rule(TABLE, REPLIES.name, &reply);
        let query = rewrite(
            protocol,
            (Field::IPV4_DESTINATION, Field::DESTINATION_PORT),
            (PORT, port),
        );
        transaction.append_rule(TABLE, QUERIES.name, &query);
    }
    match transaction.commit(&connection)? {
        Ok(()) => Ok(()),
        Err((refusal, batch)) => Err(refusal.into_error(&batch, "nf_tables")),
    }
}

/// `ip ADDRESS 127.0.0.11 PROTOCOL PORT from PORT set to`.
fn rewrite(
    protocol: Protocol,
    (address, port): (Field, Field),
    (from, to): (u16, u16),
) -> Vec<Expression> {
    let register = Register(0);
    // Offset of the checksum in the transport header: RFC 768, RFC 9293.
    let checksum = match protocol {
        Protocol::Tcp => 16,
        Protocol::Udp => 6,
    };
    let equal = |bytes: &[u8]| Expression::Cmp(CmpOp::Equal, register, bytes.to_vec());
    vec![
        Expression::Payload(address, register),
        equal(&Ipv4Addr::octets(&ADDRESS)),
        Expression::Meta(MetaKey::Protocol, register),
        equal(&[protocol.number()]),
        Expression::Payload(port, register),
        equal(&from.to_be_bytes()),
        Expression::Load(register, to.to_be_bytes().to_vec()),
        Expression::Write {
            field: port,
            from: register,
            checksum,
        },
        Expression::Verdict(Verdict::Accept),
    ]
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::time::Duration;

    use super::*;
    use crate::net::configure;
    use crate::net::testing::{Namespace, have};

    /// Answers one datagram and one connection with what they sent.
    fn echo_once(sockets: DnsSockets) {
        let (udp, tcp) = (UdpSocket::from(sockets.udp), TcpListener::from(sockets.tcp));
        udp.set_nonblocking(false).unwrap();
        tcp.set_nonblocking(false).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 16];
            let (length, peer) = udp.recv_from(&mut buffer).unwrap();
            udp.send_to(&buffer[..length], peer).unwrap();
            let (mut stream, _) = tcp.accept().unwrap();
            let length = stream.read(&mut buffer).unwrap();
            stream.write_all(&buffer[..length]).unwrap();
        });
    }

    fn ask() {
        let server = (ADDRESS, PORT);
        let udp = UdpSocket::bind("0.0.0.0:0").unwrap();
        udp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        udp.connect(server).unwrap();
        udp.send(b"datagram").unwrap();
        let mut buffer = [0; 16];
        let length = udp.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"datagram");
        let mut stream = TcpStream::connect(server).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(b"stream").unwrap();
        let length = stream.read(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"stream");
    }

    #[test]
    fn a_program_in_the_container_can_have_port_53_for_itself() {
        Namespace::new().run(|| {
            configure(&[]).unwrap();
            let sockets = bind_dns().unwrap();
            let _udp = UdpSocket::bind("0.0.0.0:53").unwrap();
            let _tcp = TcpListener::bind("0.0.0.0:53").unwrap();
            echo_once(sockets);
            ask();
        });
    }

    #[test]
    fn the_name_server_answers_through_a_containers_own_stateful_firewall() {
        if !have(&["nft"]) {
            return;
        }
        let inner = Namespace::new();
        inner.run(|| configure(&[]).unwrap());
        inner.sh(
            "nft 'add table ip own; add chain ip own in { type filter hook input priority 0; }; \
                  add rule ip own in ct state invalid drop; \
                  add rule ip own in ct state new udp sport 53 drop; \
                  add rule ip own in ct state new tcp sport 53 drop'",
        );
        inner.run(|| {
            echo_once(bind_dns().unwrap());
            ask();
        });
        let rules = inner.sh("nft list table ip stack");
        assert!(rules.contains("ip daddr 127.0.0.11"), "{rules}");
    }

    #[test]
    #[ignore = "a measurement: run with --ignored --nocapture"]
    fn measure() {
        for _ in 0..5 {
            Namespace::new().run(|| {
                let start = std::time::Instant::now();
                configure(&[]).unwrap();
                let configured = start.elapsed();
                let start = std::time::Instant::now();
                let _sockets = bind_dns().unwrap();
                eprintln!("configure {configured:?} bind_dns {:?}", start.elapsed());
            });
        }
    }
}
