//! Which address a container gets in a subnet. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// A subnet and what in it is not free.
#[derive(Debug, Clone)]
pub struct Subnet {
    /// The subnet.
    pub network: IpNetwork,
    /// The gateway; [`gateway_of`] when the stack file names none.
    pub gateway: IpAddr,
    /// Part of the subnet to give addresses from (`ip_range`).
    pub range: Option<IpNetwork>,
    /// Addresses that something else uses (`aux_addresses`).
    pub reserved: BTreeSet<IpAddr>,
}

/// Why an address cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpamError {
    /// None left.
    #[error("no free address left in {range} of {network}")]
    Exhausted {
        /// Where it was looked for.
        range: IpNetwork,
        /// The subnet.
        network: IpNetwork,
    },
    /// A fixed address that is outside.
    #[error("address {address} is not in subnet {network}")]
    Outside {
        /// The wanted address.
        address: IpAddr,
        /// The subnet.
        network: IpNetwork,
    },
    /// A fixed address that somebody has.
    #[error("address {address} of {network} is already in use")]
    Used {
        /// The wanted address.
        address: IpAddr,
        /// The subnet.
        network: IpNetwork,
    },
    /// A fixed address that nobody may have.
    #[error("address {address} cannot be given: it is the {what} of {network}")]
    Special {
        /// The wanted address.
        address: IpAddr,
        /// `gateway`, `network address`, `broadcast address`.
        what: &'static str,
        /// The subnet.
        network: IpNetwork,
    },
}

/// The first usable address, which is the gateway unless the stack file says otherwise.
pub fn gateway_of(network: IpNetwork) -> IpAddr {
    let (first, last) = bounds(network);
    address(network, (first + u128::from(has_edges(network))).min(last))
}

/// What a container asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Any address; the one that it had before, when that is still free.
    Any {
        /// The address of its last run.
        previous: Option<IpAddr>,
    },
    /// This address and no other.
    Fixed(IpAddr),
}

/// Chooses an address; `used` holds what the other containers have.
///
/// A fixed address may lie outside `range` and be a reserved one: whoever reserves an address by
/// name does it to give it out by hand.
pub fn choose_address(
    subnet: &Subnet,
    used: &BTreeSet<IpAddr>,
    want: Want,
) -> Result<IpAddr, IpamError> {
    match want {
        Want::Fixed(address) => fixed(subnet, used, address),
        Want::Any { previous } => previous
            .filter(|&address| in_range(subnet, address) && is_free(subnet, used, address))
            .map_or_else(|| first_free(subnet, used), Ok),
    }
}

fn fixed(subnet: &Subnet, used: &BTreeSet<IpAddr>, address: IpAddr) -> Result<IpAddr, IpamError> {
    let network = subnet.network;
    if !network.contains(address) {
        return Err(IpamError::Outside { address, network });
    }
    if let Some(what) = special(subnet, address) {
        return Err(IpamError::Special {
            address,
            what,
            network,
        });
    }
    if used.contains(&address) {
        return Err(IpamError::Used { address, network });
    }
    Ok(address)
}

fn in_range(subnet: &Subnet, address: IpAddr) -> bool {
    subnet.network.contains(address) && subnet.range.is_none_or(|range| range.contains(address))
}

fn is_free(subnet: &Subnet, used: &BTreeSet<IpAddr>, address: IpAddr) -> bool {
    special(subnet, address).is_none()
        && !subnet.reserved.contains(&address)
        && !used.contains(&address)
}

/// What an address of the subnet stands for, other than a container.
fn special(subnet: &Subnet, address: IpAddr) -> Option<&'static str> {
    if address == subnet.gateway {
        return Some("gateway");
    }
    if !has_edges(subnet.network) {
        return None;
    }
    let (first, last) = bounds(subnet.network);
    match number(address) {
        n if n == first => Some("network address"),
        // IPv6 has no broadcast; its last address is as good as any.
        n if n == last && subnet.network.is_ipv4() => Some("broadcast address"),
        _ => None,
    }
}

/// The lowest free address; at most as many steps as addresses that are not free.
fn first_free(subnet: &Subnet, used: &BTreeSet<IpAddr>) -> Result<IpAddr, IpamError> {
    let (first, last) = bounds(subnet.network);
    let range = subnet.range.unwrap_or(subnet.network);
    let (from, to) = bounds(range);
    let mut candidate = from.max(first);
    while candidate <= to.min(last) {
        let address = address(subnet.network, candidate);
        if is_free(subnet, used, address) {
            return Ok(address);
        }
        match candidate.checked_add(1) {
            Some(next) => candidate = next,
            None => break,
        }
    }
    Err(IpamError::Exhausted {
        range,
        network: subnet.network,
    })
}

/// Whether the first (and for IPv4 the last) address is not for hosts: not so in the point-to-point
/// subnets of RFC 3021 and RFC 6164.
fn has_edges(network: IpNetwork) -> bool {
    match network {
        IpNetwork::V4(v4) => v4.prefix() < 31,
        IpNetwork::V6(v6) => v6.prefix() < 127,
    }
}

fn bounds(network: IpNetwork) -> (u128, u128) {
    (number(network.network()), number(network.broadcast()))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address of a number that came from the same family.
fn address(network: IpNetwork, number: u128) -> IpAddr {
    match network {
        IpNetwork::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpNetwork::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(network: &str, range: Option<&str>, reserved: &[&str]) -> Subnet {
        let network: IpNetwork = network.parse().unwrap();
        Subnet {
            network,
            gateway: gateway_of(network),
            range: range.map(|text| text.parse().unwrap()),
            reserved: set(reserved),
        }
    }

    fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn any(subnet: &Subnet, used: &[&str], previous: Option<&str>) -> String {
        let want = Want::Any {
            previous: previous.map(|text| text.parse().unwrap()),
        };
        match choose_address(subnet, &set(used), want) {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_lowest_free_address_is_given() {
        let plain = subnet("10.9.0.0/29", None, &[]);
        assert_eq!(any(&plain, &[], None), "10.9.0.2");
        assert_eq!(any(&plain, &["10.9.0.2", "10.9.0.4"], None), "10.9.0.3");
        let full = ["10.9.0.2", "10.9.0.3", "10.9.0.4", "10.9.0.5", "10.9.0.6"];
        assert_eq!(
            any(&plain, &full, None),
            "no free address left in 10.9.0.0/29 of 10.9.0.0/29"
        );
        let reserved = subnet("10.9.0.0/29", None, &["10.9.0.2"]);
        assert_eq!(any(&reserved, &[], None), "10.9.0.3");
        let ranged = subnet("10.9.0.0/24", Some("10.9.0.128/25"), &[]);
        assert_eq!(any(&ranged, &[], None), "10.9.0.128");
        assert_eq!(
            any(&subnet("fd09::/64", None, &[]), &["fd09::2"], None),
            "fd09::3"
        );
    }

    #[test]
    fn an_earlier_address_comes_back_when_it_is_free_and_fits() {
        let plain = subnet("10.9.0.0/24", None, &[]);
        assert_eq!(any(&plain, &[], Some("10.9.0.77")), "10.9.0.77");
        assert_eq!(any(&plain, &["10.9.0.77"], Some("10.9.0.77")), "10.9.0.2");
        assert_eq!(any(&plain, &[], Some("10.8.0.77")), "10.9.0.2");
        assert_eq!(any(&plain, &[], Some("10.9.0.1")), "10.9.0.2");
        let ranged = subnet("10.9.0.0/24", Some("10.9.0.128/25"), &[]);
        assert_eq!(any(&ranged, &[], Some("10.9.0.77")), "10.9.0.128");
    }

    #[test]
    fn a_fixed_address_is_given_or_the_reason_told() {
        let ranged = subnet("10.9.0.0/24", Some("10.9.0.128/25"), &["10.9.0.9"]);
        let table = [
            ("10.9.0.5", "10.9.0.5"),
            ("10.9.0.9", "10.9.0.9"),
            ("10.9.1.5", "address 10.9.1.5 is not in subnet 10.9.0.0/24"),
            (
                "10.9.0.7",
                "address 10.9.0.7 of 10.9.0.0/24 is already in use",
            ),
            (
                "10.9.0.1",
                "address 10.9.0.1 cannot be given: it is the gateway of 10.9.0.0/24",
            ),
            (
                "10.9.0.0",
                "address 10.9.0.0 cannot be given: it is the network address of 10.9.0.0/24",
            ),
            (
                "10.9.0.255",
                "address 10.9.0.255 cannot be given: it is the broadcast address of 10.9.0.0/24",
            ),
        ];
        for (wanted, expected) in table {
            let want = Want::Fixed(wanted.parse().unwrap());
            let text = match choose_address(&ranged, &set(&["10.9.0.7"]), want) {
                Ok(address) => address.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn the_gateway_is_the_first_usable_address() {
        let table = [
            ("10.9.0.0/24", "10.9.0.1"),
            ("10.9.0.0/31", "10.9.0.0"),
            ("10.9.0.1/32", "10.9.0.1"),
            ("fd09::/64", "fd09::1"),
            ("255.255.255.255/32", "255.255.255.255"),
        ];
        for (network, expected) in table {
            let network: IpNetwork = network.parse().unwrap();
            assert_eq!(gateway_of(network).to_string(), expected, "{network}");
        }
    }

    #[test]
    fn the_ends_of_the_address_space_do_not_overflow() {
        let v6 = subnet("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127", None, &[]);
        let used = ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"];
        assert!(any(&v6, &used, None).starts_with("no free address"));
    }
}
