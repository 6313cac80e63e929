//! What the host's routing tables already reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

use super::Error;
use super::link::{
    IFA_ADDRESS, IFA_LOCAL, RTA_DST, RTM_GETADDR, RTM_GETROUTE, RTM_NEWADDR, RTM_NEWROUTE,
    RTN_UNICAST,
};
use super::netlink::{Batch, Connection, DUMP, Family, Reply, find};

const RTMSG: usize = 12;
const IFADDR: usize = 8;

/// Every network that the host has a route or an address in, without default routes and without
/// loopback, link-local and multicast ranges; sorted, each once.
pub fn host_networks() -> Result<Vec<IpNetwork>, Error> {
    let connection = Connection::open(Family::Route)?;
    let mut networks = Vec::new();
    for reply in dump(&connection, RTM_GETROUTE, &[0; RTMSG])? {
        networks.extend(route_of(&reply));
    }
    for reply in dump(&connection, RTM_GETADDR, &[0; IFADDR])? {
        networks.extend(address_of(&reply));
    }
    networks.retain(is_ordinary);
    networks.sort();
    networks.dedup();
    Ok(networks)
}

fn dump(connection: &Connection, kind: u16, header: &[u8]) -> Result<Vec<Reply>, Error> {
    let question = || {
        let mut batch = Batch::new();
        batch.message(kind, DUMP, header, "list the host's routes and addresses");
        batch
    };
    connection
        .ask(question)?
        .map_err(|refusal| refusal.into_error(&question(), "rtnetlink"))
}

/// The destination of a unicast route of any table: policy routing of a VPN counts too.
fn route_of(reply: &Reply) -> Option<IpNetwork> {
    let header = reply.payload.get(..RTMSG)?;
    if reply.kind != RTM_NEWROUTE || header[7] != RTN_UNICAST {
        return None;
    }
    network_from(find(&reply.payload[RTMSG..], RTA_DST)?, header[1])
}

fn address_of(reply: &Reply) -> Option<IpNetwork> {
    let header = reply.payload.get(..IFADDR)?;
    if reply.kind != RTM_NEWADDR {
        return None;
    }
    let attributes = &reply.payload[IFADDR..];
    let address = find(attributes, IFA_LOCAL).or_else(|| find(attributes, IFA_ADDRESS))?;
    let network = network_from(address, header[1])?;
    IpNetwork::new(network.network(), network.prefix()).ok()
}

/// Reads the bytes of an address, four or sixteen.
pub(super) fn network_from(bytes: &[u8], prefix: u8) -> Option<IpNetwork> {
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    IpNetwork::new(address, prefix).ok()
}

/// Whether a route says where an ordinary peer is. Halves of everything (`0.0.0.0/1`), as VPNs set
/// them in place of a default route, say as little as the default route itself.
fn is_ordinary(network: &IpNetwork) -> bool {
    if network.prefix() <= 1 {
        return false;
    }
    match network.ip() {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_multicast()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Namespace, have};
    use super::*;

    #[test]
    fn routes_and_addresses_are_listed_without_defaults_and_special_ranges() {
        if !have(&["ip"]) {
            return;
        }
        let host = Namespace::with_loopback();
        host.sh(
            "ip link add vd type veth peer name e && ip link set vd up && ip link set e up && ip addr add 10.7.3.4/16 dev vd \
                 && ip addr add fd07::1/64 dev vd && ip route add 192.168.77.0/24 via 10.7.0.1 \
                 && ip route add default via 10.7.0.1 && ip route add 0.0.0.0/1 via 10.7.0.1 \
                 && ip route add 172.30.0.0/16 via 10.7.0.1 table 42",
        );
        let networks = host.run(|| host_networks().unwrap());
        let texts: Vec<_> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "10.7.0.0/16",
                "172.30.0.0/16",
                "192.168.77.0/24",
                "fd07::/64"
            ]
        );
    }
}
