//! A network's bridge on the host.

use ipnetwork::IpNetwork;

use super::Error;
use super::link::{
    self, IFA_ADDRESS, IFA_LOCAL, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINKINFO,
    IFLA_MTU, RTM_GETADDR, RTM_GETLINK, RTM_NEWADDR, RTM_NEWLINK, ifinfo, write_sysctl,
};
use super::names::{BRIDGE_PREFIX, mac_from_name};
use super::netlink::{Batch, CREATE, Connection, DUMP, EXCL, Family, Reply, cstr, find};
use super::routes::network_from;

/// Behind an `ifinfomsg` or an `ifaddrmsg` come the attributes.
const IFINFO: usize = 16;
const IFADDR: usize = 8;

/// What a network's bridge looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    /// Interface name ([`super::names::bridge_name`]).
    pub name: String,
    /// The gateway addresses with their prefix lengths (`10.201.0.1/24`).
    pub addresses: Vec<IpNetwork>,
    /// Largest packet.
    pub mtu: u32,
}

/// Makes the bridge, or brings an existing one to this shape; turns forwarding on.
///
/// Of two callers at the same time both succeed. Addresses of another shape of the network are
/// removed, link-local ones stay.
pub fn ensure_bridge(bridge: &Bridge) -> Result<(), Error> {
    link::check_name(&bridge.name)?;
    let connection = Connection::open(Family::Route)?;
    let existed = create(&connection, bridge)?;
    let index = link::index(&connection, &bridge.name)?;
    if existed {
        check_kind(&connection, index, &bridge.name)?;
    }
    let inet6 = bridge.addresses.iter().any(IpNetwork::is_ipv6);
    allow_forwarding(inet6)?;
    if inet6 {
        bridge_settings(&bridge.name)?;
    }
    bring_up(
        &connection,
        bridge,
        Found {
            index,
            existed,
            inet6,
        },
    )
}

/// Makes the bridge, still down; whether it was there already.
fn create(connection: &Connection, bridge: &Bridge) -> Result<bool, Error> {
    let mut batch = Batch::new();
    batch
        .message(
            RTM_NEWLINK,
            CREATE | EXCL,
            &ifinfo(0, 0, 0),
            format!("create bridge {}", bridge.name),
        )
        .text(IFLA_IFNAME, &bridge.name)
        // Without one of its own a bridge takes the lowest address of its ports, and changes it
        // when they come and go, under the neighbour caches of everyone.
        .attr(IFLA_ADDRESS, &mac_from_name(&bridge.name))
        .u32(IFLA_MTU, bridge.mtu)
        .nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "bridge");
        });
    match connection.execute(&batch)?.into_iter().next() {
        None => Ok(false),
        Some(refusal) if refusal.errno == libc::EEXIST => Ok(true),
        Some(refusal) => Err(refusal.into_error(&batch, "bridge")),
    }
}

struct Found {
    index: u32,
    existed: bool,
    inet6: bool,
}

/// Gives the bridge its addresses and sets it up, in one batch.
fn bring_up(connection: &Connection, bridge: &Bridge, found: Found) -> Result<(), Error> {
    let mut batch = Batch::new();
    let mut wishes = Vec::new();
    if found.existed {
        for address in addresses_of(connection, found.index)? {
            if !bridge.addresses.contains(&address) && !is_link_local(address) {
                link::remove_address(&mut batch, found.index, &bridge.name, address);
                wishes.push(batch.len() as u32);
            }
        }
    } else if !found.inet6 {
        link::no_link_local(&mut batch, found.index, &bridge.name);
        wishes.push(batch.len() as u32);
    }
    for &address in &bridge.addresses {
        link::add_address(&mut batch, found.index, &bridge.name, address);
    }
    if found.existed {
        batch
            .message(
                RTM_NEWLINK,
                0,
                &ifinfo(found.index, 0, 0),
                format!("set the packet size of {}", bridge.name),
            )
            .u32(IFLA_MTU, bridge.mtu);
    }
    link::set_up(&mut batch, found.index, &bridge.name);
    let refusals = connection.execute(&batch)?;
    match refusals
        .into_iter()
        .find(|refusal| !wishes.contains(&refusal.sequence))
    {
        Some(refusal) => Err(refusal.into_error(&batch, "ipv6")),
        None => Ok(()),
    }
}

/// Lets the host pass packets on.
///
/// With IPv6 forwarding on, the kernel stops listening to router advertisements on interfaces with
/// `accept_ra` 1 (Documentation/networking/ip-sysctl.rst), and the host would lose its own default
/// route some minutes later: those get 2, which means `even when forwarding`.
fn allow_forwarding(inet6: bool) -> Result<(), Error> {
    write_sysctl("/proc/sys/net/ipv4/ip_forward", "1")?;
    if !inet6 {
        return Ok(());
    }
    let forwarding = "/proc/sys/net/ipv6/conf/all/forwarding";
    if std::fs::read_to_string(forwarding).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    let directory = std::path::Path::new("/proc/sys/net/ipv6/conf");
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let setting = entry.path().join("accept_ra");
        if std::fs::read_to_string(&setting).is_ok_and(|text| text.trim() == "1") {
            // An interface that goes away meanwhile takes its setting along.
            let _ = std::fs::write(&setting, "2");
        }
    }
    write_sysctl(forwarding, "1")
}

/// A bridge is the router of its network: it hears no other router, and its address is valid at
/// once, without asking who else has it.
fn bridge_settings(name: &str) -> Result<(), Error> {
    let directory = format!("/proc/sys/net/ipv6/conf/{name}");
    write_sysctl(&format!("{directory}/disable_ipv6"), "0")?;
    write_sysctl(&format!("{directory}/accept_ra"), "0")?;
    write_sysctl(&format!("{directory}/accept_dad"), "0")
}

fn is_link_local(network: IpNetwork) -> bool {
    match network {
        IpNetwork::V4(v4) => v4.ip().is_link_local(),
        IpNetwork::V6(v6) => v6.ip().is_unicast_link_local(),
    }
}

/// Refuses to touch an interface that only has our bridge's name.
fn check_kind(connection: &Connection, index: u32, name: &str) -> Result<(), Error> {
    let question = || {
        let mut batch = Batch::new();
        batch.message(
            RTM_GETLINK,
            0,
            &ifinfo(index, 0, 0),
            format!("look at interface {name}"),
        );
        batch
    };
    let replies = connection
        .ask(question)?
        .map_err(|refusal| refusal.into_error(&question(), "bridge"))?;
    match replies.first().and_then(kind_of) {
        Some(kind) if kind == "bridge" => Ok(()),
        kind => Err(Error::NotABridge {
            name: name.to_owned(),
            kind: kind.unwrap_or_else(|| "plain device".to_owned()),
        }),
    }
}

fn kind_of(reply: &Reply) -> Option<String> {
    let info = find(reply.payload.get(IFINFO..)?, IFLA_LINKINFO)?;
    find(info, IFLA_INFO_KIND).map(cstr)
}

fn addresses_of(connection: &Connection, index: u32) -> Result<Vec<IpNetwork>, Error> {
    let question = || {
        let mut batch = Batch::new();
        batch.message(RTM_GETADDR, DUMP, &[0; IFADDR], "list addresses");
        batch
    };
    let replies = connection
        .ask(question)?
        .map_err(|refusal| refusal.into_error(&question(), "ipv6"))?;
    Ok(replies
        .iter()
        .filter_map(|reply| address_of(reply, index))
        .collect())
}

fn address_of(reply: &Reply, index: u32) -> Option<IpNetwork> {
    let header = reply.payload.get(..IFADDR)?;
    if reply.kind != RTM_NEWADDR || header[4..8] != index.to_ne_bytes() {
        return None;
    }
    let attributes = &reply.payload[IFADDR..];
    let address = find(attributes, IFA_LOCAL).or_else(|| find(attributes, IFA_ADDRESS))?;
    network_from(address, header[1])
}

/// Removes the bridge; succeeds when there is none.
pub fn remove_bridge(name: &str) -> Result<(), Error> {
    link::check_name(name)?;
    let connection = Connection::open(Family::Route)?;
    let mut batch = Batch::new();
    link::delete(&mut batch, name);
    match connection.execute(&batch)?.into_iter().next() {
        Some(refusal) if refusal.errno != libc::ENODEV => Err(refusal.into_error(&batch, "bridge")),
        _ => Ok(()),
    }
}

/// Names of all bridges of ours on this host, of every state directory.
pub fn list_bridges() -> Result<Vec<String>, Error> {
    let connection = Connection::open(Family::Route)?;
    let question = || {
        let mut batch = Batch::new();
        batch
            .message(RTM_GETLINK, DUMP, &ifinfo(0, 0, 0), "list bridges")
            .nest(IFLA_LINKINFO, |info| {
                info.text(IFLA_INFO_KIND, "bridge");
            });
        batch
    };
    let replies = match connection.ask(question)? {
        Ok(replies) => replies,
        // The kernel has no bridges at all.
        Err(refusal) if refusal.errno == libc::EOPNOTSUPP => return Ok(Vec::new()),
        Err(refusal) => return Err(refusal.into_error(&question(), "bridge")),
    };
    let mut names: Vec<String> = replies
        .iter()
        .filter(|reply| reply.kind == RTM_NEWLINK && kind_of(reply).as_deref() == Some("bridge"))
        .filter_map(|reply| find(reply.payload.get(IFINFO..)?, IFLA_IFNAME).map(cstr))
        .filter(|name| name.starts_with(BRIDGE_PREFIX))
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Namespace, bridge, have};
    use super::*;

    #[test]
    fn a_bridge_is_made_reshaped_listed_and_removed() {
        if !have(&["ip"]) {
            return;
        }
        let host = Namespace::with_loopback();
        let first = bridge("stk-a", &["10.9.0.1/24"]);
        let second = Bridge {
            mtu: 1400,
            ..bridge("stk-a", &["10.9.1.1/24", "fd09::1/64"])
        };
        host.run(move || ensure_bridge(&first).unwrap());
        let before = host.sh("ip -o addr show dev stk-a; cat /proc/sys/net/ipv4/ip_forward");
        assert!(
            before.contains("10.9.0.1/24") && before.trim().ends_with('1'),
            "{before}"
        );
        host.run(move || {
            ensure_bridge(&second).unwrap();
            assert_eq!(list_bridges().unwrap(), ["stk-a"]);
        });
        let after = host.sh("ip -o addr show dev stk-a; ip link show stk-a");
        assert!(!after.contains("10.9.0.1/24"), "{after}");
        assert!(
            after.contains("10.9.1.1/24") && after.contains("fd09::1/64"),
            "{after}"
        );
        assert!(
            after.contains("mtu 1400") && !after.contains("tentative"),
            "{after}"
        );
        host.run(|| {
            remove_bridge("stk-a").unwrap();
            remove_bridge("stk-a").unwrap();
            assert!(list_bridges().unwrap().is_empty());
        });
    }

    #[test]
    fn an_interface_of_another_kind_is_left_alone() {
        if !have(&["ip"]) {
            return;
        }
        let host = Namespace::with_loopback();
        host.sh("ip link add stk-a type veth peer name other");
        let error = host.run(|| ensure_bridge(&bridge("stk-a", &["10.9.0.1/24"])).unwrap_err());
        assert!(
            matches!(&error, Error::NotABridge { kind, .. } if kind == "veth"),
            "{error}"
        );
        assert!(!host.sh("ip addr show dev stk-a").contains("10.9.0.1"));
    }

    #[test]
    fn a_host_that_hears_router_advertisements_keeps_hearing_them() {
        if !have(&["ip"]) {
            return;
        }
        let host = Namespace::with_loopback();
        host.sh("ip link add uplink type veth peer name other && ip link set uplink up");
        host.run(|| ensure_bridge(&bridge("stk-a", &["fd09::1/64"])).unwrap());
        let settings = host
            .sh("cd /proc/sys/net/ipv6/conf; cat all/forwarding uplink/accept_ra stk-a/accept_ra");
        assert_eq!(
            settings.split_whitespace().collect::<Vec<_>>(),
            ["1", "2", "0"]
        );
    }
}
