//! A host with containers and a neighbour, and what they ask each other.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::super::{Change, PortRule, Reach, Warning, apply};
use crate::net::bridge::ensure_bridge;
use crate::net::testing::{Namespace, bridge, endpoint};
use crate::net::{Protocol, configure, plug};

/// Address of the host towards its neighbour.
pub(super) const HOST: &str = "192.0.2.1";
pub(super) const HOST6: &str = "2001:db8::1";
/// How long an answer may take; long, because a busy machine must not fail a test.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long is waited to see that there is none.
pub(super) const SILENCE: Duration = Duration::from_millis(300);

/// A host with a neighbour; the neighbour also routes the containers' addresses to the host.
pub(super) struct World {
    pub(super) host: Namespace,
    pub(super) neighbour: Namespace,
}

impl World {
    pub(super) fn new() -> World {
        let (host, neighbour) = (Namespace::with_loopback(), Namespace::with_loopback());
        host.sh(&format!(
            "ip link add uplink type veth peer name eth0 netns /proc/{}/ns/net && ip link set uplink up && \
             ip addr add {HOST}/24 dev uplink && ip addr add {HOST6}/64 dev uplink nodad",
            thread_path(neighbour.pid())
        ));
        neighbour.sh(&format!(
            "ip link set eth0 up && ip addr add 192.0.2.2/24 dev eth0 && \
             ip addr add 2001:db8::2/64 dev eth0 nodad && ip route add 10.9.0.0/16 via {HOST} && \
             ip route add fd09::/16 via {HOST6}"
        ));
        World { host, neighbour }
    }

    /// A network `stk-N` 10.9.N.0/24 and fd09:N::/64.
    pub(super) fn network(&self, number: u8, reach: Reach) {
        let name = format!("stk-{number}");
        let addresses = [
            format!("10.9.{number}.1/24"),
            format!("fd09:{number}::1/64"),
        ];
        let shape = bridge(&name, &[&addresses[0], &addresses[1]]);
        self.host.run(move || {
            ensure_bridge(&shape).unwrap();
            apply(&[Change::AddNetwork {
                bridge: name,
                reach,
            }])
            .unwrap();
        });
    }

    /// A container with last number `host` on a network, that answers on port 80 with its address
    /// and that of the caller.
    pub(super) fn container(&self, network: u8, host: u8) -> Namespace {
        let container = Namespace::new();
        let gateways = [
            format!("10.9.{network}.1/24"),
            format!("fd09:{network}::1/64"),
        ];
        let shape = bridge(&format!("stk-{network}"), &[&gateways[0], &gateways[1]]);
        let own = [
            format!("10.9.{network}.{host}/24"),
            format!("fd09:{network}::{host}/64"),
        ];
        let end = endpoint(&shape, &[&own[0], &own[1]]);
        let (copy, pid) = (end.clone(), container.pid());
        self.host.run(move || plug(pid, &[copy]).unwrap());
        container.run(move || configure(&[end]).unwrap());
        serve(&container, host);
        container
    }

    pub(super) fn apply(&self, changes: Vec<Change>) -> Vec<Warning> {
        self.host.run(move || apply(&changes).unwrap())
    }
}

pub(super) fn thread_path(tid: i32) -> String {
    format!("{}/task/{tid}", std::process::id())
}

/// Answers TCP and UDP on port 80 of all addresses with `who` and the caller's address.
pub(super) fn serve(namespace: &Namespace, who: u8) {
    namespace.run(move || {
        let tcp = TcpListener::bind("[::]:80").unwrap();
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let Ok(mut stream) = stream else { return };
                let peer = stream.peer_addr().unwrap().ip().to_canonical();
                let _ = stream.write_all(format!("{who} {peer}").as_bytes());
            }
        });
        let udp = UdpSocket::bind("[::]:80").unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                let peer_ip = peer.ip().to_canonical();
                let _ = udp.send_to(format!("{who} {peer_ip}").as_bytes(), peer);
            }
        });
    });
}

/// What answers to a TCP connection: `who peer`, or `nothing`.
pub(super) fn ask(from: &Namespace, target: &str) -> String {
    ask_within(from, target, PATIENCE)
}

/// As [`ask`], where no answer is expected.
pub(super) fn silence(from: &Namespace, target: &str) -> String {
    ask_within(from, target, SILENCE)
}

pub(super) fn ask_within(from: &Namespace, target: &str, patience: Duration) -> String {
    let target: SocketAddr = target.parse().unwrap();
    from.run(move || {
        let Ok(mut stream) = TcpStream::connect_timeout(&target, patience) else {
            return "nothing".to_owned();
        };
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut text = String::new();
        match stream.read_to_string(&mut text) {
            Ok(_) => text,
            Err(_) => "nothing".to_owned(),
        }
    })
}

/// What answers to a datagram.
pub(super) fn ask_udp(from: &Namespace, target: &str) -> String {
    let target: SocketAddr = target.parse().unwrap();
    from.run(move || {
        let any = if target.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(target).unwrap();
        let _ = socket.send(b"?");
        let mut buffer = [0; 64];
        match socket.recv(&mut buffer) {
            Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
            Err(_) => "nothing".to_owned(),
        }
    })
}

pub(super) fn rule(protocol: Protocol, host_port: u16, container_ip: &str) -> PortRule {
    let container_ip: IpAddr = container_ip.parse().unwrap();
    PortRule {
        protocol,
        host_ip: None,
        host_port,
        container_ip,
        container_port: 80,
    }
}

pub(super) fn publish(protocol: Protocol, host_port: u16, container_ip: &str) -> Change {
    Change::Publish(rule(protocol, host_port, container_ip))
}
