//! A container's interfaces: made from the host, set up from inside.

use super::link::{
    self, IFF_UP, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND, IFLA_LINKINFO,
    IFLA_MASTER, IFLA_MTU, IFLA_NET_NS_PID, RTM_NEWLINK, VETH_INFO_PEER, ifinfo,
};
use super::netlink::{Batch, CREATE, Connection, EXCL, Family, Refusal};
use super::{Endpoint, Error};

/// Index of the loopback device in every network namespace (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

/// Host side: makes a veth pair for each endpoint, the inner end born inside the network namespace
/// of `child`, the outer end on its bridge and up.
///
/// `child` must be a process that the caller has not reaped. A host end that is left over from an
/// earlier run of the same container is replaced.
pub fn plug(child: i32, endpoints: &[Endpoint]) -> Result<(), Error> {
    if endpoints.is_empty() {
        return Ok(());
    }
    let connection = Connection::open(Family::Route)?;
    let mut pairs = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        link::check_name(&endpoint.host_if)?;
        link::check_name(&endpoint.name)?;
        pairs.push((endpoint, link::index(&connection, &endpoint.bridge)?));
    }
    let taken = create(&connection, child, &pairs)?;
    if taken.is_empty() {
        return Ok(());
    }
    // A network namespace dies in the background some time after its last process, and its veth
    // pairs with it: a quick restart meets its own predecessor's.
    let mut batch = Batch::new();
    for (endpoint, _) in &taken {
        link::delete(&mut batch, &endpoint.host_if);
    }
    for refusal in connection.execute(&batch)? {
        if refusal.errno != libc::ENODEV {
            return Err(refusal.into_error(&batch, "veth"));
        }
    }
    let mut batch = Batch::new();
    for &(endpoint, bridge) in &taken {
        veth_pair(&mut batch, child, endpoint, bridge);
    }
    connection.execute_all(&batch, "veth")
}

/// Makes the pairs and returns those whose names were taken.
fn create<'a>(
    connection: &Connection,
    child: i32,
    pairs: &[(&'a Endpoint, u32)],
) -> Result<Vec<(&'a Endpoint, u32)>, Error> {
    let mut batch = Batch::new();
    for &(endpoint, bridge) in pairs {
        veth_pair(&mut batch, child, endpoint, bridge);
    }
    let mut taken = Vec::new();
    for refusal in connection.execute(&batch)? {
        let index = (refusal.sequence as usize).wrapping_sub(1);
        match pairs.get(index) {
            Some(pair) if refusal.errno == libc::EEXIST => taken.push(*pair),
            _ => return Err(refusal.into_error(&batch, "veth")),
        }
    }
    Ok(taken)
}

/// One message makes both ends, places the inner one, puts the outer one on the bridge and up.
fn veth_pair(batch: &mut Batch, child: i32, endpoint: &Endpoint, bridge: u32) {
    let action = format!(
        "create interface {} on {} with {} in process {child}",
        endpoint.host_if, endpoint.bridge, endpoint.name
    );
    batch
        .message(
            RTM_NEWLINK,
            CREATE | EXCL,
            &ifinfo(0, IFF_UP, IFF_UP),
            action,
        )
        .text(IFLA_IFNAME, &endpoint.host_if)
        .u32(IFLA_MTU, endpoint.mtu)
        .u32(IFLA_MASTER, bridge)
        .nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth")
                .nest(IFLA_INFO_DATA, |data| {
                    data.nest(VETH_INFO_PEER, |peer| {
                        peer.raw(&ifinfo(0, 0, 0))
                            .text(IFLA_IFNAME, &endpoint.name)
                            .attr(IFLA_ADDRESS, &endpoint.mac)
                            .u32(IFLA_MTU, endpoint.mtu)
                            .u32(IFLA_NET_NS_PID, child.cast_unsigned());
                    });
                });
        });
}

/// Inner side, called in the container's network namespace after [`plug`]: loopback up, addresses,
/// links up, default routes. Only one endpoint should name gateways of a family.
pub fn configure(endpoints: &[Endpoint]) -> Result<(), Error> {
    let connection = Connection::open(Family::Route)?;
    let mut batch = Batch::new();
    let mut wishes = Vec::new();
    link::set_up(&mut batch, LOOPBACK, "lo");
    for endpoint in endpoints {
        let index = link::index(&connection, &endpoint.name)?;
        if !endpoint.addresses.iter().any(ipnetwork::IpNetwork::is_ipv6) {
            link::no_link_local(&mut batch, index, &endpoint.name);
            wishes.push(batch.len() as u32);
        }
        for &address in &endpoint.addresses {
            link::add_address(&mut batch, index, &endpoint.name, address);
        }
        link::set_up(&mut batch, index, &endpoint.name);
        for &gateway in &endpoint.gateways {
            link::default_route(&mut batch, index, gateway, &endpoint.addresses);
        }
    }
    let fatal = |refusal: &Refusal| !wishes.contains(&refusal.sequence);
    match connection.execute(&batch)?.into_iter().find(fatal) {
        Some(refusal) => Err(refusal.into_error(&batch, "ipv6")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::bridge::ensure_bridge;
    use super::super::testing::{Namespace, bridge, endpoint, have};
    use super::*;

    #[test]
    fn two_containers_reach_each_other_and_their_gateway_over_both_protocols() {
        if !have(&["ip", "ping"]) {
            return;
        }
        let (host, one, two) = (
            Namespace::with_loopback(),
            Namespace::new(),
            Namespace::new(),
        );
        let net = bridge("stk-test", &["10.9.0.1/24", "fd09::1/64"]);
        let first = endpoint(&net, &["10.9.0.2/24", "fd09::2/64"]);
        let second = endpoint(&net, &["10.9.0.3/24", "fd09::3/64"]);
        let (shape, ends) = (net.clone(), [first.clone(), second.clone()]);
        let pids = [one.pid(), two.pid()];
        host.run(move || {
            ensure_bridge(&shape).unwrap();
            ensure_bridge(&shape).unwrap();
            for (pid, end) in pids.iter().zip(ends) {
                plug(*pid, &[end]).unwrap();
            }
        });
        one.run(move || configure(&[first]).unwrap());
        let mac = second.mac.map(|byte| format!("{byte:02x}")).join(":");
        two.run(move || {
            configure(std::slice::from_ref(&second)).unwrap();
            configure(&[second]).unwrap();
        });
        for target in ["10.9.0.1", "10.9.0.3", "127.0.0.1"] {
            one.sh(&format!("ping -c1 -W2 {target}"));
        }
        for target in ["fd09::1", "fd09::3", "::1"] {
            one.sh(&format!("ping -6 -c1 -W2 {target}"));
        }
        let links = two.sh("ip -j link show eth0");
        assert!(links.contains(&mac), "{links}");
        assert!(
            two.sh("ip route show default")
                .contains("via 10.9.0.1 dev eth0")
        );
        assert!(
            two.sh("ip -6 route show default")
                .contains("via fd09::1 dev eth0")
        );
    }

    #[test]
    fn an_interface_without_ipv6_addresses_stays_out_of_ipv6() {
        if !have(&["ip"]) {
            return;
        }
        let (host, inner) = (Namespace::with_loopback(), Namespace::new());
        let net = bridge("stk-test", &["10.9.0.1/24"]);
        let end = endpoint(&net, &["10.9.0.2/24"]);
        let (copy, pid) = (end.clone(), inner.pid());
        host.run(move || {
            ensure_bridge(&net).unwrap();
            plug(pid, &[copy]).unwrap();
        });
        inner.run(move || configure(&[end]).unwrap());
        assert_eq!(inner.sh("ip -6 addr show dev eth0"), "");
        assert_eq!(host.sh("ip -6 addr show dev stk-test"), "");
    }

    #[test]
    fn a_host_end_left_over_from_an_earlier_run_is_replaced() {
        if !have(&["ip"]) {
            return;
        }
        let (host, old, new) = (
            Namespace::with_loopback(),
            Namespace::new(),
            Namespace::new(),
        );
        let net = bridge("stk-test", &["10.9.0.1/24"]);
        let end = endpoint(&net, &["10.9.0.2/24"]);
        let pids = (old.pid(), new.pid());
        host.run(move || {
            ensure_bridge(&net).unwrap();
            plug(pids.0, std::slice::from_ref(&end)).unwrap();
            plug(pids.1, &[end]).unwrap();
        });
        assert!(new.sh("ip link").contains("eth0"));
        assert!(!old.sh("ip link").contains("eth0"));
    }

    #[test]
    fn a_missing_bridge_and_a_bad_name_are_named() {
        let host = Namespace::new();
        let net = bridge("stk-gone", &["10.9.0.1/24"]);
        let end = endpoint(&net, &["10.9.0.2/24"]);
        let bad = Endpoint {
            host_if: "sixteen-bytes-xx".to_owned(),
            ..end.clone()
        };
        let pid = host.pid();
        let (missing, name) = host.run(move || {
            (
                plug(pid, &[end]).unwrap_err(),
                plug(pid, &[bad]).unwrap_err(),
            )
        });
        assert_eq!(missing.to_string(), "there is no interface stk-gone");
        assert!(matches!(name, Error::InterfaceName { .. }));
    }

    #[test]
    #[ignore = "a measurement: run with --ignored --nocapture"]
    fn measure() {
        let host = Namespace::with_loopback();
        let net = bridge("stk-test", &["10.9.0.1/24"]);
        let shape = net.clone();
        host.run(move || ensure_bridge(&shape).unwrap());
        for number in 2..12 {
            let inner = Namespace::new();
            let end = endpoint(&net, &[&format!("10.9.0.{number}/24")]);
            let (copy, pid) = (end.clone(), inner.pid());
            let plugged = host.run(move || {
                let start = std::time::Instant::now();
                plug(pid, &[copy]).unwrap();
                start.elapsed()
            });
            let configured = inner.run(move || {
                let start = std::time::Instant::now();
                configure(&[end]).unwrap();
                start.elapsed()
            });
            eprintln!("plug {plugged:?} configure {configured:?}");
        }
    }
}
