//! Route netlink messages for links, addresses and routes (linux/rtnetlink.h, linux/if_link.h).

use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use rustix::net::netdevice::name_to_index;

use super::Error;
use super::netlink::{Batch, CREATE, Connection, Message, REPLACE};

pub(super) const RTM_NEWLINK: u16 = 16;
pub(super) const RTM_DELLINK: u16 = 17;
pub(super) const RTM_GETLINK: u16 = 18;
pub(super) const RTM_NEWADDR: u16 = 20;
pub(super) const RTM_DELADDR: u16 = 21;
pub(super) const RTM_GETADDR: u16 = 22;
pub(super) const RTM_NEWROUTE: u16 = 24;
pub(super) const RTM_GETROUTE: u16 = 26;

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_MASTER: u16 = 10;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_NET_NS_PID: u16 = 19;
const IFLA_AF_SPEC: u16 = 26;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_F_NODAD: u8 = 0x02;

pub(super) const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
pub(super) const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

pub(super) const IFF_UP: u32 = 1;
/// `IFNAMSIZ` without its NUL.
const NAME_MAX: usize = 15;

/// Checks a name by the kernel's rule (`dev_valid_name`), so that nothing is truncated silently.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    let bad = name.is_empty()
        || name.len() > NAME_MAX
        || name == "."
        || name == ".."
        || name
            .bytes()
            .any(|byte| matches!(byte, 0 | b'/' | b':') || byte.is_ascii_whitespace());
    if bad {
        Err(Error::InterfaceName {
            name: name.to_owned(),
        })
    } else {
        Ok(())
    }
}

/// The index of an interface in the network namespace of `connection`.
pub(super) fn index(connection: &Connection, name: &str) -> Result<u32, Error> {
    check_name(name)?;
    name_to_index(connection.socket(), name).map_err(|errno| Error::NoInterface {
        name: name.to_owned(),
        source: errno.into(),
    })
}

/// An `ifinfomsg`: which interface, and which flags to change to what.
pub(super) fn ifinfo(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Sets an interface up.
pub(super) fn set_up(batch: &mut Batch, index: u32, name: &str) {
    batch.message(
        RTM_NEWLINK,
        0,
        &ifinfo(index, IFF_UP, IFF_UP),
        format!("set {name} up"),
    );
}

/// Keeps an interface without IPv6 addresses from making itself a link-local one: no neighbour
/// discovery, no multicast reports, no router solicitations for a protocol that nobody asked for.
/// A kernel without IPv6 refuses this.
pub(super) fn no_link_local(batch: &mut Batch, index: u32, name: &str) {
    batch
        .message(
            RTM_NEWLINK,
            0,
            &ifinfo(index, 0, 0),
            format!("keep IPv6 off {name}"),
        )
        .nest(IFLA_AF_SPEC, |families| {
            families.nest(libc::AF_INET6 as u16, |inet6| {
                inet6.attr(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
            });
        });
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

pub(super) fn address_attr(message: &mut Message<'_>, kind: u16, address: IpAddr) {
    match address {
        IpAddr::V4(v4) => message.attr(kind, &v4.octets()),
        IpAddr::V6(v6) => message.attr(kind, &v6.octets()),
    };
}

/// Adds an address, without waiting for duplicate address detection: the address pool knows that
/// nobody else has it.
pub(super) fn add_address(batch: &mut Batch, index: u32, name: &str, address: IpNetwork) {
    let action = format!("give {name} the address {address}");
    address_message(
        batch,
        (RTM_NEWADDR, CREATE | REPLACE),
        (index, address),
        action,
    );
}

/// Takes an address away.
pub(super) fn remove_address(batch: &mut Batch, index: u32, name: &str, address: IpNetwork) {
    let action = format!("take the address {address} from {name}");
    address_message(batch, (RTM_DELADDR, 0), (index, address), action);
}

fn address_message(
    batch: &mut Batch,
    (kind, flags): (u16, u16),
    (index, address): (u32, IpNetwork),
    action: String,
) {
    let mut header = [
        family(address.ip()),
        address.prefix(),
        IFA_F_NODAD,
        0,
        0,
        0,
        0,
        0,
    ];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    let mut message = batch.message(kind, flags, &header, action);
    address_attr(&mut message, IFA_LOCAL, address.ip());
    address_attr(&mut message, IFA_ADDRESS, address.ip());
    if let IpNetwork::V4(v4) = address
        && v4.prefix() < 31
    {
        message.attr(IFA_BROADCAST, &v4.broadcast().octets());
    }
}

/// Sets the default route through `gateway`, which may lie outside the interface's own subnets.
pub(super) fn default_route(batch: &mut Batch, index: u32, gateway: IpAddr, own: &[IpNetwork]) {
    let reachable = own.iter().any(|network| network.contains(gateway));
    let mut header = [0; 12];
    header[0] = family(gateway);
    header[4] = RT_TABLE_MAIN;
    header[5] = RTPROT_STATIC;
    header[6] = RT_SCOPE_UNIVERSE;
    header[7] = RTN_UNICAST;
    if !reachable {
        header[8..12].copy_from_slice(&RTNH_F_ONLINK.to_ne_bytes());
    }
    let action = format!("set the default route through {gateway}");
    let mut message = batch.message(RTM_NEWROUTE, CREATE | REPLACE, &header, action);
    address_attr(&mut message, RTA_GATEWAY, gateway);
    message.u32(RTA_OIF, index);
}

/// Removes an interface by name.
pub(super) fn delete(batch: &mut Batch, name: &str) {
    batch
        .message(
            RTM_DELLINK,
            0,
            &ifinfo(0, 0, 0),
            format!("remove interface {name}"),
        )
        .text(IFLA_IFNAME, name);
}

/// Writes a kernel setting of the calling thread's network namespace, unless it is that already:
/// some of them cost a grace period even when nothing changes.
pub(super) fn write_sysctl(path: &str, value: &str) -> Result<(), Error> {
    let path = Path::new(path);
    let failed = |source| Error::Sysctl {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    };
    if std::fs::read_to_string(path).map_err(failed)?.trim() == value {
        return Ok(());
    }
    std::fs::write(path, value).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_follow_the_kernels_rule() {
        for good in ["eth0", "stk-0123456789a", "a.b", "...", "é"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "a b",
            "a\tb",
            "a\0b",
            "0123456789abcdef",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
    }
}
