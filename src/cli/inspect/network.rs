//! `NetworkSettings`: where a container is on the network.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cli::containers::{self, Listed};
use crate::compose::model::ServiceNetwork;
use crate::state::records::{NetworkRecord, PortRecord};

/// The networks of a container, in Docker's shape.
pub(super) fn settings(listed: &Listed, networks: &[NetworkRecord]) -> Value {
    let record = listed.record();
    let mut joined = Map::new();
    for request in &record.networks {
        let endpoints = match listed.container.is_up() {
            true => &listed.container.status.endpoints[..],
            false => &[],
        };
        let endpoint = endpoints
            .iter()
            .find(|endpoint| endpoint.network == request.network);
        let address = |wants_v4: bool| {
            let addresses = endpoint
                .into_iter()
                .flat_map(|endpoint| &endpoint.addresses);
            addresses
                .copied()
                .find(|address| address.is_ipv4() == wants_v4)
        };
        let (v4, v6) = (address(true), address(false));
        let network = networks
            .iter()
            .find(|network| network.name == request.network);
        let mut value = json!({
            "IPAMConfig": ipam_config(&request.addresses),
            "Links": null,
            "Aliases": endpoint.map_or(&request.aliases, |endpoint| &endpoint.names),
            "MacAddress": endpoint.map(|endpoint| endpoint.mac.as_str()).unwrap_or_default(),
            "DriverOpts": null,
            "GwPriority": 0,
            "NetworkID": network.map(|network| network.id.as_str()).unwrap_or_default(),
            "EndpointID": "",
            "Gateway": "",
            "IPAddress": v4.map(|address| address.ip().to_string()).unwrap_or_default(),
            "IPPrefixLen": v4.map_or(0, |address| address.prefix()),
            "IPv6Gateway": "",
            "GlobalIPv6Address": v6.map(|address| address.ip().to_string()).unwrap_or_default(),
            "GlobalIPv6PrefixLen": v6.map_or(0, |address| address.prefix()),
            "DNSNames": endpoint.map(|endpoint| &endpoint.names),
        });
        if let Some(gateway) = endpoint.and_then(|endpoint| endpoint.gateway) {
            let key = if gateway.is_ipv4() {
                "Gateway"
            } else {
                "IPv6Gateway"
            };
            value[key] = json!(gateway);
        }
        joined.insert(request.network.clone(), value);
    }
    // These two are networks to Docker.
    for (mode, name) in [
        (ServiceNetwork::Host, "host"),
        (ServiceNetwork::None, "none"),
    ] {
        if record.template.network == mode {
            joined.insert(name.to_owned(), json!({"NetworkID": "", "IPAddress": ""}));
        }
    }
    let sandbox = listed
        .container
        .pid()
        .map(|pid| format!("/proc/{pid}/ns/net"));
    json!({
        "SandboxKey": sandbox.unwrap_or_default(),
        "Ports": ports(listed.ports(), listed),
        "Networks": joined,
    })
}

fn ipam_config(addresses: &[std::net::IpAddr]) -> Value {
    let mut config = Map::new();
    for address in addresses {
        let key = if address.is_ipv4() {
            "IPv4Address"
        } else {
            "IPv6Address"
        };
        config.insert(key.to_owned(), json!(address));
    }
    match config.is_empty() {
        true => Value::Null,
        false => Value::Object(config),
    }
}

/// Docker's map: port of the container → addresses of the host, `null` for one that is only
/// announced.
fn ports(ports: &[PortRecord], listed: &Listed) -> Value {
    let mut map: BTreeMap<String, Option<Vec<Value>>> = BTreeMap::new();
    for publisher in containers::publishers(listed) {
        let key = format!("{}/{}", publisher.target, publisher.protocol);
        let entry = map.entry(key).or_default();
        if publisher.published != 0 && !ports.is_empty() {
            entry.get_or_insert_default().push(json!({
                "HostIp": publisher.url,
                "HostPort": publisher.published.to_string(),
            }));
        }
    }
    json!(map)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::State;
    use crate::cli::containers::tests::{container, running};

    #[test]
    fn ports_are_a_map_with_null_for_those_only_announced() {
        let listed = Listed {
            container: container("web", 1, running()),
            state: State::Running,
        };
        let settings = settings(&listed, &[]);
        insta::assert_snapshot!(settings["Ports"], @r#"{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"9000/tcp":null}"#);
    }
}
