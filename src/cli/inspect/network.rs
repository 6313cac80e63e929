//! `NetworkSettings`: where a container is on the network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::cli::containers::{self, Listed};
use crate::compose::model::{Attachment, ServiceNetwork};
use crate::image::Digest;
use crate::state::records::{EndpointRecord, NetworkRecord, NetworkRequest};

/// The networks of a container, in Docker's shape.
pub(super) fn settings(listed: &Listed, networks: &[NetworkRecord]) -> Value {
    let record = listed.record();
    let mut joined = Map::new();
    for (index, request) in record.networks.iter().enumerate() {
        let place = Place {
            listed,
            request,
            attachment: attachment(listed, index),
            endpoint: endpoint(listed, request),
            network: networks
                .iter()
                .find(|network| network.name == request.network),
        };
        joined.insert(request.network.clone(), place.document());
    }
    // These two are networks to Docker.
    for (mode, name) in [
        (ServiceNetwork::Host, "host"),
        (ServiceNetwork::None, "none"),
    ] {
        if record.template.network == mode {
            joined.insert(name.to_owned(), nowhere());
        }
    }
    let sandbox = listed
        .container
        .pid()
        .map(|pid| format!("/proc/{pid}/ns/net"));
    json!({
        "Bridge": "",
        "SandboxID": sandbox.as_ref().map(|_| sandbox_id(&record.id)).unwrap_or_default(),
        "HairpinMode": false,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports(listed),
        "SandboxKey": sandbox.unwrap_or_default(),
        "SecondaryIPAddresses": null,
        "SecondaryIPv6Addresses": null,
        // Of the engine's own bridge, which no container of a project is on.
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
        "Networks": joined,
    })
}

/// What stands for the place of a container on a network: the same wherever it is told.
pub(in crate::cli) fn endpoint_id(container: &str, network: &str) -> String {
    made_of(&format!("{container} {network}"))
}

/// What stands for the network namespace of a container.
fn sandbox_id(container: &str) -> String {
    made_of(&format!("{container} sandbox"))
}

/// 64 digits for something that has no id of its own.
fn made_of(text: &str) -> String {
    let digest = Digest::of(text.as_bytes()).to_string();
    let digits = digest.rsplit(':').next();
    digits.unwrap_or_default().to_owned()
}

/// A container's place on a network.
struct Place<'a> {
    listed: &'a Listed,
    request: &'a NetworkRequest,
    attachment: Option<&'a Attachment>,
    endpoint: Option<&'a EndpointRecord>,
    network: Option<&'a NetworkRecord>,
}

impl Place<'_> {
    fn document(&self) -> Value {
        let (endpoint, id) = (self.endpoint, &self.listed.record().id);
        let network = self.network.map_or("", |network| network.id.as_str());
        let address = |v4: bool| {
            let mut all = endpoint.into_iter().flat_map(|one| &one.addresses).copied();
            all.find(|address| address.is_ipv4() == v4)
        };
        let (v4, v6) = (address(true), address(false));
        let mut value = json!({
            "IPAMConfig": self.ipam_config(),
            "Links": null,
            "Aliases": self.aliases(),
            "NetworkID": network,
            "EndpointID": endpoint.map(|_| endpoint_id(id, network)).unwrap_or_default(),
            "Gateway": "",
            "IPAddress": v4.map(|address| address.ip().to_string()).unwrap_or_default(),
            "IPPrefixLen": v4.map_or(0, |address| address.prefix()),
            "IPv6Gateway": "",
            "GlobalIPv6Address": v6.map(|address| address.ip().to_string()).unwrap_or_default(),
            "GlobalIPv6PrefixLen": v6.map_or(0, |address| address.prefix()),
            "MacAddress": endpoint.map(|endpoint| endpoint.mac.as_str()).unwrap_or_default(),
            "DriverOpts": self.driver_options(),
            "GwPriority": self.attachment.map_or(0, |attachment| attachment.gw_priority),
            "DNSNames": endpoint.map(|endpoint| &endpoint.names),
        });
        // A network without a way out has none.
        let leads_out = endpoint.is_some_and(|endpoint| endpoint.gateway.is_some());
        let subnets = self.network.filter(|_| leads_out);
        for subnet in subnets.into_iter().flat_map(|network| &network.subnets) {
            let key = match subnet.gateway.is_ipv4() {
                true => "Gateway",
                false => "IPv6Gateway",
            };
            value[key] = json!(subnet.gateway);
        }
        value
    }

    /// Nothing where the service says nothing of the network, and an empty map where it says something
    /// else.
    fn ipam_config(&self) -> Value {
        let mut config = Map::new();
        for address in &self.request.addresses {
            let key = match address.is_ipv4() {
                true => "IPv4Address",
                false => "IPv6Address",
            };
            config.insert(key.to_owned(), json!(address));
        }
        let local: &[IpAddr] = self.attachment.map_or(&[], |one| &one.link_local_ips);
        if !local.is_empty() {
            config.insert("LinkLocalIPs".to_owned(), json!(local));
        }
        match config.is_empty()
            && self
                .attachment
                .is_none_or(|one| *one == Attachment::default())
        {
            true => Value::Null,
            false => Value::Object(config),
        }
    }

    /// Those that were asked for, then, as the engine adds them, the short id and the host name.
    fn aliases(&self) -> Vec<&String> {
        let record = self.listed.record();
        let short = containers::short_id(&record.id);
        let is_added = |name: &&String| {
            let mut given = self.attachment.iter().flat_map(|one| &one.aliases);
            let own = **name == record.name || *name == record.service.as_str();
            let added = record.template.hostname.as_ref() == Some(name) || *name == short;
            added && !own && !given.any(|given| given == *name)
        };
        let all = self.request.aliases.iter();
        let (mut added, mut names): (Vec<_>, Vec<_>) = all.partition(is_added);
        added.sort_by_key(|name| *name != short);
        names.extend(added);
        names
    }

    fn driver_options(&self) -> Value {
        match self.attachment {
            Some(one) if !one.driver_opts.is_empty() => json!(one.driver_opts),
            _ => Value::Null,
        }
    }
}

/// What the service says of its network with this number.
fn attachment(listed: &Listed, index: usize) -> Option<&Attachment> {
    match &listed.record().template.network {
        ServiceNetwork::Networks(networks) => Some(networks.get_index(index)?.1),
        _ => None,
    }
}

fn endpoint<'a>(listed: &'a Listed, request: &NetworkRequest) -> Option<&'a EndpointRecord> {
    if !listed.container.is_up() {
        return None;
    }
    let mut endpoints = listed.container.status.endpoints.iter();
    endpoints.find(|endpoint| endpoint.network == request.network)
}

/// The place on a network that is none.
fn nowhere() -> Value {
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": null,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "DriverOpts": null,
        "GwPriority": 0,
        "DNSNames": null,
    })
}

/// Docker's map: port of the container → addresses of the host, `null` for one that is only
/// announced.
fn ports(listed: &Listed) -> Value {
    let mut map: BTreeMap<String, Option<Vec<Value>>> = BTreeMap::new();
    for publisher in containers::publishers(listed) {
        let key = format!("{}/{}", publisher.target, publisher.protocol);
        let entry = map.entry(key).or_default();
        if publisher.published != 0 && !listed.ports().is_empty() {
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
