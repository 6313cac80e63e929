//! What the table means, and how its sets say it. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Change, PortRule, Reach, Snapshot};
use crate::net::Protocol;
use crate::net::nft::Element;

pub(super) const BRIDGES: &str = "bridges";
pub(super) const INTERNAL: &str = "internal";
pub(super) const INTRA: &str = "intra";
pub(super) const ANY4: &str = "any4";
pub(super) const ANY6: &str = "any6";
pub(super) const AT4: &str = "at4";
pub(super) const AT6: &str = "at6";
pub(super) const OWN4: &str = "own4";
pub(super) const OWN6: &str = "own6";
/// `IFNAMSIZ`: names are compared with all their padding.
const NAME: usize = 16;

/// Elements of all sets, by set and key; the value is empty where the set is no map.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sets(BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<u8>>>);

/// What to do with the elements of each set.
pub(super) type Edits = Vec<(&'static str, Vec<Element>)>;

impl Sets {
    pub(super) fn insert(&mut self, set: &'static str, key: Vec<u8>, value: Vec<u8>) {
        self.0.entry(set).or_default().insert(key, value);
    }

    fn of(&self, set: &str) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.0.get(set).into_iter().flatten()
    }

    fn has(&self, set: &str, key: &[u8], value: &[u8]) -> bool {
        self.0
            .get(set)
            .and_then(|elements| elements.get(key))
            .is_some_and(|found| found == value)
    }

    /// All elements.
    pub(super) fn all(&self) -> Edits {
        self.without(&Sets::default())
    }

    /// What is to be added to and removed from `before` to get this. An element with another value
    /// is in both.
    pub(super) fn difference(&self, before: &Sets) -> (Edits, Edits) {
        (self.without(before), before.without(self))
    }

    fn without(&self, other: &Sets) -> Edits {
        let mut edits = Vec::new();
        for (&set, elements) in &self.0 {
            let left: Vec<Element> = elements
                .iter()
                .filter(|(key, value)| !other.has(set, key, value))
                .map(|(key, value)| Element {
                    key: key.clone(),
                    data: value.clone(),
                })
                .collect();
            if !left.is_empty() {
                edits.push((set, left));
            }
        }
        edits
    }
}

/// Where a published port comes in; the family is that of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    protocol: Protocol,
    host_ip: Option<IpAddr>,
    port: u16,
    inet6: bool,
}

/// The networks and ports of all state directories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    networks: BTreeMap<String, Reach>,
    ports: BTreeMap<Entry, (IpAddr, u16)>,
}

impl Model {
    /// Whether the table has nothing left to do.
    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.ports.is_empty()
    }

    pub(super) fn edit(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::AddNetwork { bridge, reach } => {
                    self.networks.insert(bridge.clone(), *reach);
                }
                Change::RemoveNetwork { bridge } => {
                    self.networks.remove(bridge);
                }
                Change::Publish(rule) => {
                    if let Some(entry) = entry(rule) {
                        self.ports
                            .insert(entry, (rule.container_ip, rule.container_port));
                    }
                }
                Change::Unpublish(rule) => {
                    if let Some(entry) = entry(rule)
                        && self.ports.get(&entry) == Some(&(rule.container_ip, rule.container_port))
                    {
                        self.ports.remove(&entry);
                    }
                }
            }
        }
    }

    pub(super) fn into_snapshot(self) -> Snapshot {
        let ports = self
            .ports
            .into_iter()
            .map(|(entry, (container_ip, container_port))| PortRule {
                protocol: entry.protocol,
                host_ip: entry.host_ip,
                host_port: entry.port,
                container_ip,
                container_port,
            });
        Snapshot {
            networks: self.networks.into_iter().collect(),
            ports: ports.collect(),
        }
    }

    pub(super) fn encode(&self) -> Sets {
        let mut sets = Sets::default();
        for (bridge, reach) in &self.networks {
            let name = padded(bridge);
            sets.insert(INTRA, [name.clone(), name.clone()].concat(), Vec::new());
            if *reach == Reach::Internal {
                sets.insert(INTERNAL, name.clone(), Vec::new());
            }
            sets.insert(BRIDGES, name, Vec::new());
        }
        for (entry, &(address, port)) in &self.ports {
            let (any, at, own) = if entry.inet6 {
                (ANY6, AT6, OWN6)
            } else {
                (ANY4, AT4, OWN4)
            };
            let service = service(entry.protocol, entry.port);
            let target = [octets(address), word(port)].concat();
            sets.insert(own, [octets(address), service.clone()].concat(), Vec::new());
            match entry.host_ip {
                Some(host_ip) => sets.insert(at, [octets(host_ip), service].concat(), target),
                None => sets.insert(any, service, target),
            }
        }
        sets
    }

    /// Reads what sets say; what cannot be one of ours is passed over.
    pub(super) fn decode(sets: &Sets) -> Model {
        let mut model = Model::default();
        for (key, _) in sets.of(BRIDGES) {
            let reach = if sets.has(INTERNAL, key, &[]) {
                Reach::Internal
            } else {
                Reach::Outside
            };
            let end = key.iter().position(|&byte| byte == 0).unwrap_or(key.len());
            model
                .networks
                .insert(String::from_utf8_lossy(&key[..end]).into_owned(), reach);
        }
        for (set, width) in [(ANY4, 4), (ANY6, 16)] {
            for (key, value) in sets.of(set) {
                model.ports.extend(decode_port((&[], key), value, width));
            }
        }
        for (set, width) in [(AT4, 4), (AT6, 16)] {
            for (key, value) in sets.of(set) {
                let parts = key.split_at_checked(width);
                model
                    .ports
                    .extend(parts.and_then(|parts| decode_port(parts, value, width)));
            }
        }
        model
    }
}

/// What the firewall can do for a rule; `None` when only the port's holder can serve it.
fn entry(rule: &PortRule) -> Option<Entry> {
    let inet6 = rule.container_ip.is_ipv6();
    let host_ip = match rule.host_ip {
        Some(address) if address.is_ipv6() != inet6 || address.is_loopback() => return None,
        // `0.0.0.0` and `::` say the same as nothing.
        Some(address) if address.is_unspecified() => None,
        other => other,
    };
    Some(Entry {
        protocol: rule.protocol,
        host_ip,
        port: rule.host_port,
        inet6,
    })
}

fn decode_port(
    (host_ip, service): (&[u8], &[u8]),
    target: &[u8],
    width: usize,
) -> Option<(Entry, (IpAddr, u16))> {
    let (&[protocol, _, _, _], port) = service.split_first_chunk::<4>()?;
    let protocol = [Protocol::Tcp, Protocol::Udp]
        .into_iter()
        .find(|p| p.number() == protocol)?;
    let (address, target_port) = target.split_at_checked(width)?;
    let entry = Entry {
        protocol,
        host_ip: if host_ip.is_empty() {
            None
        } else {
            Some(address_of(host_ip)?)
        },
        port: number(port)?,
        inet6: width == 16,
    };
    Some((entry, (address_of(address)?, number(target_port)?)))
}

fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(NAME, 0);
    bytes
}

/// Every part of a joined key takes whole registers of four bytes.
fn service(protocol: Protocol, port: u16) -> Vec<u8> {
    [vec![protocol.number(), 0, 0, 0], word(port)].concat()
}

fn word(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![high, low, 0, 0]
}

fn number(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|&bytes| u16::from_be_bytes(bytes))
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::V4(Ipv4Addr::from(*bytes.first_chunk::<4>()?))),
        16 => Some(IpAddr::V6(Ipv6Addr::from(*bytes.first_chunk::<16>()?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(host_ip: Option<&str>, host_port: u16, container: &str) -> PortRule {
        PortRule {
            protocol: Protocol::Tcp,
            host_ip: host_ip.map(|text| text.parse().unwrap()),
            host_port,
            container_ip: container.parse().unwrap(),
            container_port: 80,
        }
    }

    fn network(bridge: &str, reach: Reach) -> Change {
        Change::AddNetwork {
            bridge: bridge.to_owned(),
            reach,
        }
    }

    fn model(changes: &[Change]) -> Model {
        let mut model = Model::default();
        model.edit(changes);
        model
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let model = model(&[
            network("stk-a", Reach::Outside),
            network("stk-0123456789a", Reach::Internal),
            Change::Publish(rule(None, 8080, "10.9.0.2")),
            Change::Publish(rule(Some("192.0.2.1"), 8080, "10.9.0.3")),
            Change::Publish(rule(None, 8080, "fd09::2")),
            Change::Publish(rule(Some("2001:db8::1"), 8080, "fd09::3")),
        ]);
        assert_eq!(Model::decode(&model.encode()), model);
        assert_eq!(model.clone().into_snapshot().ports.len(), 4);
        let foreign = [
            (vec![1], vec![]),
            (vec![], vec![]),
            (vec![9; 8], vec![9; 8]),
        ];
        let mut sets = model.encode();
        for (key, value) in foreign {
            sets.insert(ANY4, key.clone(), value.clone());
            sets.insert(AT6, key, value);
        }
        assert_eq!(Model::decode(&sets), model);
    }

    #[test]
    fn loopback_and_other_families_are_left_to_the_ports_holder() {
        for (host_ip, container) in [
            (Some("127.0.0.1"), "10.9.0.2"),
            (Some("::1"), "fd09::2"),
            (Some("2001:db8::1"), "10.9.0.2"),
            (Some("192.0.2.1"), "fd09::2"),
        ] {
            let changes = [Change::Publish(rule(host_ip, 80, container))];
            assert!(model(&changes).is_empty(), "{host_ip:?} {container}");
        }
        let any = model(&[Change::Publish(rule(Some("0.0.0.0"), 80, "10.9.0.2"))]);
        assert_eq!(any, model(&[Change::Publish(rule(None, 80, "10.9.0.2"))]));
    }

    #[test]
    fn a_port_that_leads_elsewhere_by_now_is_not_taken_back() {
        let (old, new) = (rule(None, 80, "10.9.0.2"), rule(None, 80, "10.9.0.3"));
        let changes = [
            Change::Publish(old),
            Change::Publish(new),
            Change::Unpublish(old),
        ];
        assert_eq!(model(&changes).into_snapshot().ports, [new]);
        let gone = [
            Change::Publish(old),
            Change::Unpublish(old),
            Change::Unpublish(old),
        ];
        assert!(model(&gone).is_empty());
    }

    #[test]
    fn only_what_differs_is_touched() {
        let keep = Change::Publish(rule(None, 80, "10.9.0.2"));
        let before = model(&[keep.clone(), Change::Publish(rule(None, 81, "10.9.0.2"))]).encode();
        let after = model(&[keep.clone(), Change::Publish(rule(None, 81, "10.9.0.3"))]).encode();
        let (added, removed) = after.difference(&before);
        let names = |edits: &Edits| edits.iter().map(|(set, _)| *set).collect::<Vec<_>>();
        assert_eq!(
            (names(&added), names(&removed)),
            (vec![ANY4, OWN4], vec![ANY4, OWN4])
        );
        assert!(
            added
                .iter()
                .chain(&removed)
                .all(|(_, elements)| elements.len() == 1)
        );
        assert_eq!(after.difference(&after), (vec![], vec![]));
    }
}
