//! Networks, and a service's place on them.

use std::collections::BTreeMap;

use super::{Reader, parsed};
use crate::compose::diagnostic::Problems;
use crate::compose::model::{Attachment, Network, NetworkKey, ServiceName, ServiceNetwork, Subnet};
use crate::compose::tree::Node;

pub(super) fn network_of(reader: &Reader<'_>, problems: &mut Problems) -> ServiceNetwork {
    let mode = reader.text("network_mode").unwrap_or_default();
    if let Some((kind, name)) = mode.split_once(':') {
        return match kind {
            "service" => ServiceNetwork::Service(ServiceName::new(name)),
            _ => ServiceNetwork::Container(name.to_owned()),
        };
    }
    match mode.as_str() {
        "none" => return ServiceNetwork::None,
        "host" => return ServiceNetwork::Host,
        _ => {}
    }
    let mut networks: Vec<(NetworkKey, Attachment)> = reader
        .map("networks")
        .into_iter()
        .flatten()
        .map(|(key, entry)| {
            let reader = Reader {
                node: &entry.node,
                at: format!("{}.networks.{key}", reader.at),
            };
            (NetworkKey::new(key), attachment(&reader, problems))
        })
        .collect();
    // `network_mode: bridge` asks for the engine's one bridge; the project's own is the nearest.
    if networks.is_empty() {
        networks.push((NetworkKey::new("default"), Attachment::default()));
    }
    networks.sort_by(|(a_key, a), (b_key, b)| {
        b.priority.cmp(&a.priority).then_with(|| a_key.cmp(b_key))
    });
    if let Some(mac) = reader.text("mac_address")
        && let Some((_, first)) = networks.first_mut()
        && first.mac_address.is_none()
    {
        first.mac_address = Some(mac);
    }
    ServiceNetwork::Networks(networks.into_iter().collect())
}

fn attachment(reader: &Reader<'_>, problems: &mut Problems) -> Attachment {
    Attachment {
        aliases: reader.texts("aliases"),
        ipv4_address: reader.parsed("ipv4_address", "an IPv4 address", problems),
        ipv6_address: reader.parsed("ipv6_address", "an IPv6 address", problems),
        mac_address: reader.text("mac_address"),
        driver_opts: reader.pairs("driver_opts").collect(),
        link_local_ips: reader
            .items("link_local_ips")
            .iter()
            .filter_map(|node| {
                let at = format!("{}.link_local_ips", reader.at);
                parsed(node.as_text()?, node, &at, "an IP address", problems)
            })
            .collect(),
        interface_name: reader.text("interface_name"),
        priority: reader.int("priority").unwrap_or(0),
        gw_priority: reader.int("gw_priority").unwrap_or(0),
    }
}

/// The model of one network.
pub(in crate::compose) fn network(key: &str, node: &Node, problems: &mut Problems) -> Network {
    let reader = Reader {
        node,
        at: format!("networks.{key}"),
    };
    let driver = reader.text("driver").filter(|driver| driver != "default");
    let ipam = reader.inner("ipam");
    let pools = ipam.as_ref().map_or(&[][..], |ipam| ipam.items("config"));
    Network {
        name: reader.text("name").unwrap_or_default(),
        external: reader.flag("external"),
        driver,
        driver_opts: reader.pairs("driver_opts").collect(),
        internal: reader.flag("internal"),
        enable_ipv6: reader.flag("enable_ipv6"),
        subnets: pools
            .iter()
            .filter_map(|node| subnet(node, &reader.at, problems))
            .collect(),
        labels: reader.pairs("labels").collect(),
        no_ipv4: node.get("enable_ipv4").and_then(Node::as_bool) == Some(false),
        attachable: reader.flag("attachable"),
        ipam_driver: ipam.as_ref().and_then(|ipam| ipam.text("driver")),
        ipam_options: ipam.iter().flat_map(|ipam| ipam.pairs("options")).collect(),
    }
}

fn subnet(node: &Node, at: &str, problems: &mut Problems) -> Option<Subnet> {
    let reader = Reader {
        node,
        at: format!("{at}.ipam.config"),
    };
    let wanted = "an address range such as `10.5.0.0/24`";
    let subnet: ipnetwork::IpNetwork = reader.parsed("subnet", wanted, problems)?;
    let ip_range: Option<ipnetwork::IpNetwork> = reader.parsed("ip_range", wanted, problems);
    let gateway = reader.parsed("gateway", "an IP address", problems);
    let mut aux_addresses = BTreeMap::new();
    for (host, entry) in reader.map("aux_addresses").into_iter().flatten() {
        let text = entry.node.as_text().unwrap_or_default();
        let address = parsed(text, &entry.node, &reader.at, "an IP address", problems);
        aux_addresses.extend(address.map(|address| (host.clone(), address)));
    }
    let inside = |address: std::net::IpAddr| subnet.contains(address);
    let outside = [
        ("gateway", gateway.is_none_or(inside)),
        (
            "ip_range",
            ip_range.is_none_or(|range| inside(range.network())),
        ),
        ("aux_addresses", aux_addresses.values().copied().all(inside)),
    ];
    for (key, fits) in outside {
        if let Some(node) = node.get(key).filter(|_| !fits) {
            problems.error(
                node.span,
                format!("`{}.{key}` lies outside of the subnet {subnet}", reader.at),
            );
        }
    }
    Some(Subnet {
        subnet,
        ip_range,
        gateway,
        aux_addresses,
    })
}
