//! `stack network inspect`: all that is known of networks, in Docker's shape.

use clap::Args;
use serde_json::{Map, Value, json};

use super::find;
use crate::cli::choice::Format;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::inspect::endpoint_id;
use crate::cli::objects::Kind;
use crate::engine::native::{networks, observe};
use crate::plan::Observed;
use crate::state::records::{EndpointRecord, NetworkRecord};

/// Flags of `network inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names of networks, ids, or the first digits of ids.
    #[arg(value_name = "NETWORK", required = true)]
    networks: Vec<String>,
    /// `json`, or a Go template for a line about each.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Accepted for compatibility; everything is always shown.
    #[arg(short, long, hide = true)]
    verbose: bool,
}

impl Inspect {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let all = networks(&context.paths)?;
        let observed = observe(&context.paths, None)?;
        Kind::Network.inspect(&self.networks, self.format.as_ref(), |text| {
            let found = find(&all, text)?;
            Ok(found.map(|record| document(record, &observed)))
        })
    }
}

/// The document about one network.
pub(in crate::cli) fn document(record: &NetworkRecord, observed: &Observed) -> Value {
    let ranges = record.subnets.iter().map(|subnet| {
        let mut range = json!({"Subnet": subnet.subnet});
        if let Some(part) = subnet.ip_range {
            range["IPRange"] = json!(part);
        }
        range["Gateway"] = json!(subnet.gateway);
        if !subnet.aux_addresses.is_empty() {
            range["AuxiliaryAddresses"] = json!(subnet.aux_addresses);
        }
        range
    });
    let has = |v4: bool| {
        let mut subnets = record.subnets.iter();
        subnets.any(|subnet| subnet.subnet.is_ipv4() == v4)
    };
    json!({
        "Name": record.name,
        "Id": record.id,
        "Created": record.created,
        "Scope": "local",
        "Driver": "bridge",
        "EnableIPv4": has(true),
        "EnableIPv6": has(false),
        "IPAM": {
            "Driver": "default",
            "Options": null,
            "Config": ranges.collect::<Vec<_>>(),
        },
        "Internal": record.internal,
        "Attachable": record.attachable,
        "Ingress": false,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": members(record, observed),
        "Options": record.options,
        "Labels": record.labels,
    })
}

/// The containers that are on it now.
fn members(record: &NetworkRecord, observed: &Observed) -> Map<String, Value> {
    let mut members = Map::new();
    for (id, container) in &observed.containers {
        if !container.is_up() {
            continue;
        }
        let mut endpoints = container.status.endpoints.iter();
        if let Some(endpoint) = endpoints.find(|endpoint| endpoint.network == record.name) {
            let known_by = endpoint_id(id, &record.id);
            let name = &container.record.name;
            members.insert(id.clone(), member((name, &known_by), endpoint));
        }
    }
    members
}

fn member((name, known_by): (&str, &str), endpoint: &EndpointRecord) -> Value {
    let address = |v4: bool| {
        let mut addresses = endpoint.addresses.iter();
        let found = addresses.find(|address| address.is_ipv4() == v4);
        found.map(ToString::to_string).unwrap_or_default()
    };
    json!({
        "Name": name,
        "EndpointID": known_by,
        "MacAddress": endpoint.mac,
        "IPv4Address": address(true),
        "IPv6Address": address(false),
    })
}
