//! What only matters when a stack is run: names and paths that nothing could be made of, and clashes.
//!
//! Docker Compose takes all of it and leaves it to the engine to fail, halfway through.

use std::collections::HashMap;
use std::net::IpAddr;

use indexmap::IndexMap;

use super::check::replica_count;
use super::concerns::{Concern, Part};
use super::diagnostic::{Problems, Span};
use super::members::{Service, map_of};
use super::model::{NetworkKey, ServiceName, VolumeKey};
use super::tree::{Node, Value};
use super::vocabulary;

/// Checks a finished tree.
pub(super) fn check(tree: &Node, found: &mut Vec<Concern>) {
    for (name, entry) in map_of(tree, "services") {
        let service = Service::new(name, entry);
        let mut problems = Problems::default();
        image(&service, &mut problems);
        network_mode(&service, &mut problems);
        replicas(&service, &mut problems);
        targets(&service, &mut problems);
        ranges(&service, &mut problems);
        health(&service, tree, &mut problems);
        ulimits(&service, &mut problems);
        hosts(&service, &mut problems);
        vocabulary::check_service(&entry.node, &mut problems);
        found.extend(Concern::all(
            &Part::Service(ServiceName::new(name)),
            problems,
        ));
    }
    for (name, entry) in map_of(tree, "networks") {
        let mut problems = Problems::default();
        vocabulary::check_full_name(&entry.node, "network", &mut problems);
        found.extend(Concern::all(
            &Part::Network(NetworkKey::new(name)),
            problems,
        ));
    }
    for (name, entry) in map_of(tree, "volumes") {
        let mut problems = Problems::default();
        vocabulary::check_full_name(&entry.node, "volume", &mut problems);
        found.extend(Concern::all(&Part::Volume(VolumeKey::new(name)), problems));
    }
    host_ports(tree, found);
}

fn image(service: &Service<'_>, problems: &mut Problems) {
    if let Some((image, span)) = service.text("image").filter(|(image, _)| !image.is_empty())
        && image.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        problems.error(span, format!("`{image}` is not the name of an image"));
    }
}

fn network_mode(service: &Service<'_>, problems: &mut Problems) {
    let name = service.name;
    let Some((mode, span)) = service.text("network_mode") else {
        return;
    };
    let known = matches!(mode, "none" | "host" | "bridge" | "default" | "")
        || mode.starts_with("service:")
        || mode.starts_with("container:");
    if !known {
        problems
            .error(span, format!("`{mode}` is not a network mode"))
            .help("use `none`, `host`, `service:NAME` or `container:NAME`, or `networks:`");
    }
    let ports = service.node.get("ports");
    if let Some(ports) = ports.filter(|ports| !ports.as_list().unwrap_or_default().is_empty())
        && !matches!(mode, "bridge" | "default" | "")
    {
        problems
            .warn(
                ports.span,
                format!("`{name}` publishes no ports with `network_mode: {mode}`"),
            )
            .label("ignored");
    }
}

/// The number of containers a service asks for, and where it says so.
fn replicas(service: &Service<'_>, problems: &mut Problems) {
    let name = service.name;
    let (count, count_span) = replica_count(service.node);
    let Some(span) = count_span.filter(|_| count > 1) else {
        return;
    };
    if count > 10_000 {
        problems.error(span, format!("{count} containers of `{name}` are too many"));
    }
}

fn health(service: &Service<'_>, tree: &Node, problems: &mut Problems) {
    for (other, entry) in map_of(service.node, "depends_on") {
        let waits = entry.node.get("condition").and_then(Node::as_text) == Some("service_healthy");
        let disabled = tree
            .at(&["services", other, "healthcheck", "disable"])
            .and_then(Node::as_bool);
        if waits && disabled == Some(true) {
            let name = service.name;
            problems
                .error(
                    entry.key,
                    format!("`{name}` waits until `{other}` is healthy, but its health check is disabled"),
                )
                .help("wait for `service_started`, or give the service a health check");
        }
    }
}

/// Numbers, sizes and durations, with the least that means something.
const LEAST: [(&[&str], f64); 20] = [
    (&["cpus"], 0.0),
    (&["cpu_shares"], 0.0),
    (&["cpu_period"], 0.0),
    (&["pids_limit"], -1.0),
    (&["mem_limit"], 0.0),
    (&["mem_reservation"], 0.0),
    (&["memswap_limit"], -1.0),
    (&["shm_size"], 0.0),
    (&["stop_grace_period"], 0.0),
    (&["healthcheck", "interval"], 0.0),
    (&["healthcheck", "timeout"], 0.0),
    (&["healthcheck", "start_period"], 0.0),
    (&["healthcheck", "start_interval"], 0.0),
    (&["healthcheck", "retries"], 0.0),
    (&["deploy", "resources", "limits", "cpus"], 0.0),
    (&["deploy", "resources", "limits", "memory"], 0.0),
    (&["deploy", "resources", "limits", "pids"], -1.0),
    (&["deploy", "resources", "reservations", "memory"], 0.0),
    (&["deploy", "restart_policy", "delay"], 0.0),
    (&["deploy", "restart_policy", "window"], 0.0),
];

fn ranges(service: &Service<'_>, problems: &mut Problems) {
    for (path, least) in LEAST {
        let Some(node) = service.node.at(path) else {
            continue;
        };
        let number = match &node.value {
            Value::Int(number) => *number as f64,
            Value::Float(number) => *number,
            // A duration has a unit behind its sign and digits.
            Value::Text(text) if text.starts_with('-') => text.parse().unwrap_or(f64::MIN),
            _ => continue,
        };
        if number < least {
            let at = path.join(".");
            let message = format!("`services.{}.{at}` must be {least} or more", service.name);
            problems.error(node.span, message);
        }
    }
}

fn ulimits(service: &Service<'_>, problems: &mut Problems) {
    for (name, entry) in map_of(service.node, "ulimits") {
        let limit = |key| {
            let node = entry.node.get(key).unwrap_or(&entry.node);
            node.as_int().unwrap_or_default()
        };
        let (soft, hard) = (limit("soft"), limit("hard"));
        if soft < -1 || hard < -1 {
            problems.error(
                entry.node.span,
                format!("the limit `{name}` must be -1 or more"),
            );
        } else if hard != -1 && (soft == -1 || soft > hard) {
            problems.error(
                entry.node.span,
                format!("the soft limit `{name}` {soft} is above the hard limit {hard}"),
            );
        }
    }
}

fn hosts(service: &Service<'_>, problems: &mut Problems) {
    for item in service.items("extra_hosts") {
        let (name, address) = item
            .as_text()
            .and_then(|line| line.split_once('='))
            .unwrap_or_default();
        if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
            problems
                .error(item.span, format!("`{address}` is not an IP address"))
                .help("use an address or `host-gateway`");
        }
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            problems.error(item.span, format!("`{name}` is not a host name"));
        }
    }
}

fn targets(service: &Service<'_>, problems: &mut Problems) {
    let mut seen: HashMap<String, Span> = HashMap::new();
    let tmpfs = service.items("tmpfs").iter().filter_map(|node| {
        let target = node.as_text()?.split(':').next()?;
        Some((target, node.span))
    });
    let mounts = service.items("volumes").iter().filter_map(|node| {
        let target = node.get("target")?.as_text()?;
        Some((target, node.span))
    });
    for (target, span) in tmpfs.chain(mounts) {
        if !target.starts_with('/') {
            problems
                .error(
                    span,
                    format!("the path inside of the container must be absolute: `{target}`"),
                )
                .help(format!("write `/{target}`"));
            continue;
        }
        let cleaned = super::paths::clean_target(target);
        if cleaned == "/" {
            problems.error(span, "nothing can be mounted over the container's root");
        }
        if let Some(first) = seen.insert(cleaned, span) {
            problems
                .error(span, format!("two things are mounted at `{target}`"))
                .related(first, "the first");
        }
    }
}

/// Where and by which service a host port is taken, by address; the empty one stands for all.
type Taken<'a> = IndexMap<String, (Span, &'a str)>;

/// Two services cannot have one port of the host; a port on all addresses clashes with any.
fn host_ports(tree: &Node, found: &mut Vec<Concern>) {
    type Key = (String, String);
    let mut seen: HashMap<Key, Taken<'_>> = HashMap::new();
    for (name, entry) in map_of(tree, "services") {
        let ports = entry.node.get("ports").and_then(Node::as_list);
        for port in ports.unwrap_or_default() {
            let text = |key: &str| {
                port.get(key)
                    .and_then(Node::scalar_text)
                    .unwrap_or_default()
            };
            let published = text("published");
            if matches!(published.as_str(), "" | "0") || published.contains('-') {
                continue;
            }
            let address = match text("host_ip").as_str() {
                "0.0.0.0" | "::" => String::new(),
                other => other.to_owned(),
            };
            let key = (text("protocol").to_lowercase(), published.clone());
            let earlier = seen.entry(key).or_default();
            let clash = match address.is_empty() {
                true => earlier.first().map(|(_, first)| first),
                false => earlier.get(&address).or_else(|| earlier.get("")),
            };
            if let Some(&(first, other)) = clash {
                let message = match other == *name {
                    true => format!("`{name}` publishes port {published} twice"),
                    false => format!("`{other}` and `{name}` both publish port {published}"),
                };
                let mut problems = Problems::default();
                problems
                    .error(port.span, message)
                    .related(first, "taken here")
                    .help("give one of them another host port");
                let parts = [other, name].map(|name| Part::Service(ServiceName::new(name)));
                found.extend(problems.into_items().into_iter().map(|diagnostic| Concern {
                    parts: parts.to_vec(),
                    diagnostic,
                }));
            }
            earlier.entry(address).or_insert((port.span, name));
        }
    }
}
