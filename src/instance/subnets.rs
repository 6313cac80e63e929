//! Which address range a network has that the stack file gives one, when another network has it. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexMap;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::compose::model::{
    Attachment, Network, NetworkKey, Service, ServiceNetwork, Stack, Subnet,
};

/// Ranges that are looked at before there is none.
const MOST_TRIED: u128 = 4096;
/// The private ranges (RFC 1918, RFC 4193): what is in one stays in it.
const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"];

/// A range of a network and the one that it has in this instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenSubnet {
    /// The network.
    pub network: NetworkKey,
    /// The range in the file.
    pub wanted: IpNetwork,
    /// The range that it has.
    pub used: IpNetwork,
}

/// A range that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The range.
    pub range: IpNetwork,
    /// Whose it is; `None` = a route of the host, which keeps only new choices away.
    pub network: Option<String>,
}

/// The range that was chosen, and why it is not that of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetChoice {
    /// The choice.
    pub given: GivenSubnet,
    /// The network that has the one that was to be used.
    pub held_by: Option<String>,
}

impl fmt::Display for SubnetChoice {
    /// `network back: 10.5.0.0/24 is that of shop_back, using 10.5.1.0/24`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GivenSubnet {
            network,
            wanted,
            used,
        } = &self.given;
        match &self.held_by {
            Some(other) => write!(
                f,
                "network {network}: {wanted} is that of {other}, using {used}"
            ),
            None => write!(
                f,
                "network {network}: {wanted} of the stack file is {used} here"
            ),
        }
    }
}

/// Chooses a range for each that the file names: the one from before, else that of the file, else the
/// next of its size that nobody has. Where there is none it stays: who makes the network says so.
pub fn choose(
    networks: &IndexMap<NetworkKey, Network>,
    before: &[GivenSubnet],
    taken: &[Taken],
) -> Vec<SubnetChoice> {
    let mut choices: Vec<SubnetChoice> = Vec::new();
    let own = networks.iter().filter(|(_, network)| !network.external);
    // What another network of the file wants is kept for it.
    let in_file: Vec<IpNetwork> = networks
        .values()
        .flat_map(|network| network.subnets.iter().map(|subnet| subnet.subnet))
        .collect();
    for (key, network) in own {
        for wanted in network.subnets.iter().map(|subnet| subnet.subnet) {
            let earlier = before
                .iter()
                .find(|given| given.network == *key && given.wanted == wanted);
            let first = earlier.map_or(wanted, |given| given.used);
            let holder = taken
                .iter()
                .filter(|other| overlap(other.range, first))
                .find_map(|other| other.network.clone());
            let mine = choices.iter().map(|choice| choice.given.used);
            let mine: Vec<IpNetwork> = mine.collect();
            let next = || {
                next(wanted, |range| {
                    !taken.iter().any(|other| overlap(other.range, range))
                        && !mine
                            .iter()
                            .chain(&in_file)
                            .any(|other| overlap(*other, range))
                })
            };
            let moved = holder.and_then(|holder| Some((next()?, holder)));
            let (used, held_by) = match moved {
                Some((used, holder)) => (used, Some(holder)),
                None => (first, None),
            };
            let network = key.clone();
            choices.push(SubnetChoice {
                given: GivenSubnet {
                    network,
                    wanted,
                    used,
                },
                held_by,
            });
        }
    }
    choices
}

/// The next range of the same size, in the same private range, round its end.
fn next(wanted: IpNetwork, is_free: impl Fn(IpNetwork) -> bool) -> Option<IpNetwork> {
    let around = PRIVATE
        .iter()
        .filter_map(|text| text.parse::<IpNetwork>().ok())
        .find(|range| range.contains(wanted.network()) && range.prefix() <= wanted.prefix())?;
    let bits = width(wanted) - u32::from(wanted.prefix());
    let slots = 1_u128.checked_shl(u32::from(wanted.prefix() - around.prefix()))?;
    let (base, first) = (number(around.network()), number(wanted.network()));
    let slot = first.checked_sub(base)?.checked_shr(bits)?;
    (1..slots.min(MOST_TRIED)).find_map(|step| {
        let at = base + (((slot + step) % slots) << bits);
        let range = IpNetwork::new(address(at, wanted), wanted.prefix()).ok()?;
        is_free(range).then_some(range)
    })
}

fn overlap(a: IpNetwork, b: IpNetwork) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a.contains(b.network()) || b.contains(a.network()))
}

fn width(range: IpNetwork) -> u32 {
    match range {
        IpNetwork::V4(_) => 32,
        IpNetwork::V6(_) => 128,
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn address(number: u128, like: IpNetwork) -> IpAddr {
    match like {
        // The low bits are all that an address of this kind has.
        IpNetwork::V4(_) => Ipv4Addr::from_bits((number & u128::from(u32::MAX)) as u32).into(),
        IpNetwork::V6(_) => Ipv6Addr::from_bits(number).into(),
    }
}

impl GivenSubnet {
    /// It is another one than the file says.
    pub fn is_moved(&self) -> bool {
        self.wanted != self.used
    }

    /// Where an address of the file's range is in the other one; what is no part of it stays.
    fn moved(&self, given: IpAddr) -> IpAddr {
        if !self.wanted.contains(given) {
            return given;
        }
        let offset = number(given) - number(self.wanted.network());
        address(number(self.used.network()) + offset, self.wanted)
    }

    fn move_subnet(&self, subnet: &mut Subnet) {
        subnet.subnet = self.used;
        subnet.gateway = subnet.gateway.map(|gateway| self.moved(gateway));
        for aux in subnet.aux_addresses.values_mut() {
            *aux = self.moved(*aux);
        }
        subnet.ip_range = subnet.ip_range.map(|range| {
            IpNetwork::new(self.moved(range.network()), range.prefix()).unwrap_or(range)
        });
    }
}

/// Puts the given ranges, and the addresses in them, in the place of those of the file.
pub fn apply(stack: &mut Stack, given: &[GivenSubnet]) {
    for given in given.iter().filter(|given| given.is_moved()) {
        for list in [&mut stack.networks, &mut stack.unused_networks] {
            let network = list.get_mut(&given.network).filter(|found| !found.external);
            for subnet in network.into_iter().flat_map(|found| &mut found.subnets) {
                if subnet.subnet == given.wanted {
                    given.move_subnet(subnet);
                }
            }
        }
        for list in [&mut stack.services, &mut stack.disabled_services] {
            list.values_mut()
                .for_each(|service| move_service(service, given));
        }
    }
}

fn move_service(service: &mut Service, given: &GivenSubnet) {
    let ServiceNetwork::Networks(networks) = &mut service.network else {
        return;
    };
    let Some(Attachment {
        ipv4_address,
        ipv6_address,
        ..
    }) = networks.get_mut(&given.network)
    else {
        return;
    };
    let before = (*ipv4_address, *ipv6_address);
    let moved = |address: IpAddr| given.moved(address);
    if let Some(IpAddr::V4(v4)) = ipv4_address.map(|address| moved(address.into())) {
        *ipv4_address = Some(v4);
    }
    if let Some(IpAddr::V6(v6)) = ipv6_address.map(|address| moved(address.into())) {
        *ipv6_address = Some(v6);
    }
    if before != (*ipv4_address, *ipv6_address) {
        // A container that has another address is out of date.
        let text = format!("\nrange {} at {}", given.wanted, given.used);
        service.hash_input.push_str(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(subnets: &[&str]) -> Network {
        let subnets = subnets.iter().map(|text| Subnet {
            subnet: text.parse().unwrap(),
            ip_range: None,
            gateway: None,
            aux_addresses: Default::default(),
        });
        Network {
            subnets: subnets.collect(),
            ..Network::default()
        }
    }

    /// The choices as text for one network with these ranges.
    fn chosen(wanted: &[&str], before: &[(&str, &str)], taken: &[&str]) -> String {
        let networks = IndexMap::from([(NetworkKey::new("back"), network(wanted))]);
        let before: Vec<GivenSubnet> = before
            .iter()
            .map(|(wanted, used)| GivenSubnet {
                network: NetworkKey::new("back"),
                wanted: wanted.parse().unwrap(),
                used: used.parse().unwrap(),
            })
            .collect();
        // A name before `=`, or a route.
        let taken: Vec<Taken> = taken
            .iter()
            .map(|text| match text.split_once('=') {
                Some((name, range)) => (Some(name.to_owned()), range),
                None => (None, *text),
            })
            .map(|(network, range)| Taken {
                range: range.parse().unwrap(),
                network,
            })
            .collect();
        let choices = choose(&networks, &before, &taken);
        let texts = choices.iter().map(|choice| match &choice.held_by {
            Some(holder) => format!("{}!{holder}", choice.given.used),
            None => choice.given.used.to_string(),
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_range_is_the_one_from_before_else_that_of_the_file_else_the_next_of_its_size() {
        let one = ["10.5.0.0/24"];
        for (wanted, before, taken, expected) in [
            (&one[..], &[][..], &[][..], "10.5.0.0/24"),
            (&one, &[], &["shop=10.5.0.0/24"], "10.5.1.0/24!shop"),
            (&one, &[], &["shop=10.5.0.0/16"], "10.6.0.0/24!shop"),
            (
                &one,
                &[],
                &["shop=10.5.0.128/25", "10.5.1.0/24"],
                "10.5.2.0/24!shop",
            ),
            // A route alone is no reason: the network itself may be what it leads to.
            (&one, &[], &["10.5.0.0/24"], "10.5.0.0/24"),
            (
                &one,
                &[("10.5.0.0/24", "10.5.9.0/24")],
                &["shop=10.5.0.0/24"],
                "10.5.9.0/24",
            ),
            (
                &one,
                &[("10.5.0.0/24", "10.5.9.0/24")],
                &["x=10.5.9.0/24"],
                "10.5.1.0/24!x",
            ),
            (
                &["172.31.0.0/16"],
                &[],
                &["a=172.31.0.0/16"],
                "172.16.0.0/16!a",
            ),
            (
                &["fd00:1::/64"],
                &[],
                &["a=fd00:1::/64"],
                "fd00:1:0:1::/64!a",
            ),
            // There is no other one: it stays, and is told when the network is made.
            (
                &["192.168.0.0/16"],
                &[],
                &["a=192.168.0.0/16"],
                "192.168.0.0/16",
            ),
            (
                &["203.0.113.0/24"],
                &[],
                &["a=203.0.113.0/24"],
                "203.0.113.0/24",
            ),
            (
                &["10.5.0.0/24", "10.5.1.0/24"],
                &[],
                &["a=10.5.0.0/24", "a=10.5.1.0/24"],
                "10.5.2.0/24!a 10.5.3.0/24!a",
            ),
        ] {
            assert_eq!(
                chosen(wanted, before, taken),
                expected,
                "{wanted:?} {taken:?}"
            );
        }
    }

    #[test]
    fn what_another_network_of_the_file_wants_is_left_to_it() {
        assert_eq!(
            chosen(&["10.5.0.0/24", "10.5.1.0/24"], &[], &["a=10.5.0.0/24"]),
            "10.5.2.0/24!a 10.5.1.0/24"
        );
    }

    #[test]
    fn addresses_move_with_their_range() {
        let given = GivenSubnet {
            network: NetworkKey::new("back"),
            wanted: "10.5.0.0/16".parse().unwrap(),
            used: "10.9.0.0/16".parse().unwrap(),
        };
        let mut subnet = Subnet {
            subnet: given.wanted,
            ip_range: Some("10.5.7.0/24".parse().unwrap()),
            gateway: Some("10.5.0.254".parse().unwrap()),
            aux_addresses: [("host".to_owned(), "10.5.1.2".parse().unwrap())].into(),
        };
        given.move_subnet(&mut subnet);
        assert_eq!(subnet.subnet, given.used);
        assert_eq!(subnet.ip_range, Some("10.9.7.0/24".parse().unwrap()));
        assert_eq!(subnet.gateway, Some("10.9.0.254".parse().unwrap()));
        assert_eq!(subnet.aux_addresses["host"].to_string(), "10.9.1.2");
        let elsewhere: IpAddr = "10.6.0.1".parse().unwrap();
        assert_eq!(given.moved(elsewhere), elsewhere);
    }
}
