//! Who is called what on which network. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

/// One container as others find it on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The network's name, as users say it in `name.network`.
    pub network: String,
    /// What it is called there: container name, service name, aliases, short id. The first one is
    /// what a reverse lookup answers.
    pub names: Vec<String>,
    /// Its addresses there.
    pub addresses: Vec<IpAddr>,
}

/// All names of all networks, as the clients see them at one moment.
#[derive(Debug, Default)]
pub struct View {
    zones: HashMap<String, Zone>,
}

/// The names of one network.
#[derive(Debug, Default)]
struct Zone {
    addresses: HashMap<String, Vec<IpAddr>>,
    names: HashMap<IpAddr, String>,
}

impl View {
    /// Builds the view from every running container's memberships. Several members with one name,
    /// the replicas of a service, are all found under it.
    pub fn new(members: &[Member]) -> View {
        let mut view = View::default();
        for member in members {
            let zone = view.zones.entry(member.network.clone()).or_default();
            let network = member.network.to_ascii_lowercase();
            for name in &member.names {
                let name = name.to_ascii_lowercase();
                zone.add(format!("{name}.{network}"), &member.addresses);
                zone.add(name, &member.addresses);
            }
            if let Some(first) = member.names.first() {
                for &address in &member.addresses {
                    zone.names
                        .insert(address, format!("{first}.{}", member.network));
                }
            }
        }
        view
    }

    /// The addresses of a name (lower case, no dot at its end) on any of the networks; `None` when
    /// nobody is called so there.
    pub(super) fn addresses(&self, networks: &[String], name: &str) -> Option<Vec<IpAddr>> {
        let mut found: Option<Vec<IpAddr>> = None;
        for zone in self.zones_of(networks) {
            if let Some(addresses) = zone.addresses.get(name) {
                let all = found.get_or_insert_default();
                for address in addresses {
                    if !all.contains(address) {
                        all.push(*address);
                    }
                }
            }
        }
        found
    }

    /// The name behind an address on any of the networks.
    pub(super) fn name(&self, networks: &[String], address: IpAddr) -> Option<&str> {
        self.zones_of(networks)
            .find_map(|zone| zone.names.get(&address))
            .map(String::as_str)
    }

    fn zones_of(&self, networks: &[String]) -> impl Iterator<Item = &Zone> {
        networks
            .iter()
            .filter_map(|network| self.zones.get(network))
    }
}

impl Zone {
    fn add(&mut self, name: String, addresses: &[IpAddr]) {
        let known = self.addresses.entry(name).or_default();
        for address in addresses {
            if !known.contains(address) {
                known.push(*address);
            }
        }
    }
}
