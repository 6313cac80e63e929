//! `stack config`: the loaded stack as Docker Compose prints it.
//!
//! The finished tree is brought to a printable form first: keys in the order of the
//! `schema`, empty values left out. JSON, YAML and the hash input are written from it.

use super::diagnostic::Span;
use std::collections::HashSet;

use super::load::Loaded;
use super::schema::{self, Field, Keys, Print, Shape};
use super::tree::{Entry, Map, Node, Value};

mod json;
mod order;
#[cfg(test)]
pub(crate) mod readers;
mod yaml;

/// The stack as indented JSON. Byte for byte what `docker compose config --format json` prints, which
/// has no line break at the end.
pub fn to_json(loaded: &Loaded) -> String {
    let mut out = String::new();
    json::write(&mut out, &printable(loaded, Dialect::Json), &json::CONFIG);
    out
}

/// The stack as YAML that readers of YAML 1.1 and 1.2 take for the same, with a line break at the end.
pub fn to_yaml(loaded: &Loaded) -> String {
    // A dollar sign is doubled wherever it stands, also in a key, and after lines were folded.
    yaml::document(&printable(loaded, Dialect::Yaml)).replace('$', "$$")
}

/// A tree that was loaded without filling in variables, as indented JSON; a dollar sign stays one.
pub(super) fn raw_json(tree: &Node) -> String {
    let mut out = String::new();
    json::write(&mut out, &plain(tree, Dialect::Json), &json::RAW);
    out
}

/// A tree that was loaded without filling in variables, as YAML; a dollar sign stays one.
pub(super) fn raw_yaml(tree: &Node) -> String {
    yaml::document(&plain(tree, Dialect::Yaml))
}

/// A text as YAML writes it, always on one line: what would be folded or a block is quoted as in JSON.
pub(super) fn yaml_scalar(text: &str) -> String {
    let document = yaml::document(&Printed::Text(text.to_owned()));
    match document.trim_end_matches('\n') {
        lines if lines.contains('\n') => serde_json::Value::from(text).to_string(),
        line => line.to_owned(),
    }
}

/// A service as compact JSON, without what does not change its containers. Its SHA-256 is what Docker
/// Compose calls the service's hash (`config --hash`).
pub(super) fn hash_input(service: &Node) -> String {
    let mut out = String::new();
    let Some(Printed::Map(mut fields)) = print(service, &SERVICE_SHAPE, Dialect::Json) else {
        return out;
    };
    let rank = |key: &str| HASHED.iter().position(|hashed| *hashed == key);
    fields.retain(|(key, _)| rank(key).is_some());
    // A rank is a search: once for each key, not once for each comparison.
    fields.sort_by_cached_key(|(key, _)| rank(key));
    for (key, value) in &mut fields {
        if key == "deploy"
            && let Printed::Map(deploy) = value
        {
            deploy.retain(|(key, _)| key != "replicas");
        }
    }
    json::write(&mut out, &Printed::Map(fields), &json::HASH);
    out
}

/// The keys of a service that its hash covers, in the order in which Docker Compose hashes them (not
/// the one in which it prints them). Left out: `build`, `depends_on`, `profiles`, `pull_policy`, `scale`.
const HASHED: [&str; 87] = [
    "annotations",
    "attach",
    "develop",
    "blkio_config",
    "cap_add",
    "cap_drop",
    "cgroup_parent",
    "cgroup",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpus",
    "cpuset",
    "cpu_shares",
    "command",
    "configs",
    "container_name",
    "credential_spec",
    "deploy",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "provider",
    "environment",
    // Only there with `--no-env-resolution`.
    "env_file",
    "expose",
    "external_links",
    "extra_hosts",
    "group_add",
    "gpus",
    "hostname",
    "healthcheck",
    "image",
    "init",
    "ipc",
    "isolation",
    "labels",
    "label_file",
    "links",
    "logging",
    "mem_limit",
    "mem_reservation",
    "memswap_limit",
    "mem_swappiness",
    "mac_address",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "privileged",
    "read_only",
    "restart",
    "runtime",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
    "pre_start",
    "post_start",
    "pre_stop",
    "pull_refresh_after",
];

static SERVICE_SHAPE: Shape = Shape::Keys(&schema::SERVICE);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Json,
    Yaml,
}

/// A value ready to be written.
#[derive(Debug, Clone, PartialEq)]
enum Printed {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Moment(String),
    Text(String),
    List(Vec<Printed>),
    Map(Vec<(String, Printed)>),
}

fn printable(loaded: &Loaded, dialect: Dialect) -> Printed {
    let stack = &loaded.stack;
    let used = used(loaded);
    let is_printed = |kind: &str, name: &str| match kind {
        "services" => stack.services.contains_key(name),
        "networks" => stack.networks.contains_key(name),
        "volumes" => stack.volumes.contains_key(name),
        "configs" | "secrets" | "models" => used.contains(&(kind, name)),
        _ => true,
    };
    let mut fields = Vec::new();
    for (key, entry) in loaded.tree.as_map().into_iter().flatten() {
        let field = schema::TOP.field(key);
        // Docker Compose's JSON leaves the models out.
        let left_out = dialect == Dialect::Json && key == "models";
        if left_out || field.is_some_and(|field| field.print == Print::Never) {
            continue;
        }
        let shape = field.map_or(&Shape::Any, |field| &field.shape);
        let Some(mut value) = print(&entry.node, shape, dialect) else {
            continue;
        };
        if let Printed::Map(members) = &mut value
            && field.is_some()
        {
            members.retain(|(name, _)| is_printed(key, name));
        }
        let empty = matches!(&value, Printed::Map(members) if members.is_empty());
        if !empty || key == "services" {
            fields.push((key.clone(), value));
        }
    }
    let rank = |key: &str| match dialect {
        // JSON comes out of a Go map (sorted), YAML out of a struct (its own order).
        Dialect::Json => 0,
        Dialect::Yaml => [
            "name", "services", "networks", "volumes", "secrets", "configs", "models",
        ]
        .iter()
        .position(|known| *known == key)
        .unwrap_or(usize::MAX),
    };
    sort(&mut fields, dialect);
    fields.sort_by_key(|(key, _)| rank(key));
    Printed::Map(fields)
}

/// Configs, secrets and models that services which are on use, by kind and name.
fn used(loaded: &Loaded) -> HashSet<(&'static str, &str)> {
    let mut used = HashSet::new();
    let services = loaded.tree.get("services").and_then(Node::as_map);
    for (name, entry) in services.into_iter().flatten() {
        if !loaded.stack.services.contains_key(name.as_str()) {
            continue;
        }
        let service = &entry.node;
        let places = [
            ("configs", service.get("configs")),
            ("secrets", service.get("secrets")),
            ("secrets", service.at(&["build", "secrets"])),
        ];
        for (kind, list) in places {
            let items = list.and_then(Node::as_list).unwrap_or_default();
            let sources = items
                .iter()
                .filter_map(|item| item.get("source")?.as_text());
            used.extend(sources.map(|source| (kind, source)));
        }
        let models = service.get("models").and_then(Node::as_map);
        used.extend(
            models
                .into_iter()
                .flatten()
                .map(|(name, _)| ("models", name.as_str())),
        );
    }
    used
}

/// The printable form; `None` when the value is left out.
fn print(node: &Node, shape: &'static Shape, dialect: Dialect) -> Option<Printed> {
    Some(match (shape, &node.value) {
        (Shape::Optional(inner), value) if *value != Value::Null => {
            return print(node, inner, dialect);
        }
        (Shape::Keys(keys) | Shape::Shorthand(_, keys), Value::Map(map)) => {
            keyed(map, keys, dialect)
        }
        (Shape::Names(inner) | Shape::NamesOrList(inner, _), Value::Map(map)) => {
            let mut members: Vec<(String, Printed)> = map
                .iter()
                .filter_map(|(key, entry)| Some((key.clone(), print(&entry.node, inner, dialect)?)))
                .collect();
            sort(&mut members, dialect);
            Printed::Map(members)
        }
        (
            Shape::List(inner)
            | Shape::Unique(inner)
            | Shape::OneOrMore(inner)
            | Shape::OneOrUnique(inner),
            Value::List(items),
        ) => Printed::List(
            items
                .iter()
                .filter_map(|item| print(item, inner, dialect))
                .collect(),
        ),
        (Shape::Forms(form), Value::List(items)) => {
            let keys = form.keys();
            let items = items.iter().filter_map(Node::as_map);
            Printed::List(items.map(|map| keyed(map, keys, dialect)).collect())
        }
        (Shape::Gpus(keys), Value::List(items)) => {
            let items = items.iter().filter_map(Node::as_map);
            Printed::List(items.map(|map| keyed(map, keys, dialect)).collect())
        }
        (Shape::PreStart(keys), Value::List(items)) => {
            let own = keys.field("per_replica").into_iter();
            let fields: Vec<&'static Field> =
                schema::container_fields().iter().chain(own).collect();
            let items = items.iter().filter_map(Node::as_map);
            Printed::List(
                items
                    .map(|map| fielded(map, fields.iter().copied(), dialect))
                    .collect(),
            )
        }
        (Shape::SshKeys, Value::Map(map)) => {
            let mut keys: Vec<(&String, &Entry)> = map.iter().collect();
            keys.sort_by_key(|(id, _)| *id);
            Printed::List(keys.into_iter().map(ssh_key).collect())
        }
        (Shape::Ulimit, Value::Map(map)) => keyed(map, &schema::ULIMIT, dialect),
        _ => plain(node, dialect),
    })
}

/// `ID`, or `ID: PATH` as Docker Compose has it.
fn ssh_key((id, entry): (&String, &Entry)) -> Printed {
    Printed::Text(match entry.node.scalar_text() {
        Some(path) if !path.is_empty() => format!("{id}: {path}"),
        _ => id.clone(),
    })
}

/// The names of a mapping in the order in which they are printed.
fn sort(members: &mut [(String, Printed)], dialect: Dialect) {
    members.sort_by(|(a, _), (b, _)| match dialect {
        Dialect::Json => a.cmp(b),
        Dialect::Yaml => order::natural(a, b),
    });
}

/// A value without a schema: mappings sorted.
fn plain(node: &Node, dialect: Dialect) -> Printed {
    match &node.value {
        Value::Null => Printed::Null,
        Value::Bool(flag) => Printed::Bool(*flag),
        Value::Int(number) => Printed::Int(*number),
        Value::Float(number) => Printed::Float(*number),
        Value::Moment(moment) => Printed::Moment(moment.stamp.clone()),
        Value::Text(text) => Printed::Text(text.clone()),
        Value::List(items) => {
            Printed::List(items.iter().map(|item| plain(item, dialect)).collect())
        }
        Value::Map(map) => {
            let mut members: Vec<(String, Printed)> = map
                .iter()
                .map(|(key, entry)| (key.clone(), plain(&entry.node, dialect)))
                .collect();
            sort(&mut members, dialect);
            Printed::Map(members)
        }
    }
}

fn keyed(map: &Map, keys: &'static Keys, dialect: Dialect) -> Printed {
    fielded(map, keys.fields, dialect)
}

fn fielded(
    map: &Map,
    fields: impl IntoIterator<Item = &'static Field>,
    dialect: Dialect,
) -> Printed {
    let mut members = Vec::new();
    for field in fields {
        let key = match dialect {
            Dialect::Json => field.json_key,
            Dialect::Yaml => field.key,
        };
        match map.get(field.key) {
            Some(entry) if is_printed(&entry.node, field, dialect) => {
                let value = print(&entry.node, &field.shape, dialect);
                let unsaid = dialect == Dialect::Yaml && field.print == Print::WithParent;
                members.extend(
                    value
                        .filter(|value| !unsaid || *value != Printed::Map(Vec::new()))
                        .map(|value| (key.to_owned(), value)),
                );
            }
            _ if dialect == Dialect::Yaml => {}
            _ if field.print == Print::Always => {
                members.push((key.to_owned(), Printed::Null));
            }
            _ if field.print == Print::WithParent => {
                let empty = Node::new(Value::Map(Map::default()), Span::default());
                members.extend(
                    print(&empty, &field.shape, dialect).map(|value| (key.to_owned(), value)),
                );
            }
            _ => {}
        }
    }
    if dialect == Dialect::Yaml {
        let own = map.iter().filter(|(key, _)| key.starts_with("x-"));
        let mut own: Vec<(String, Printed)> = own
            .map(|(key, entry)| (key.clone(), plain(&entry.node, dialect)))
            .collect();
        sort(&mut own, dialect);
        members.extend(own);
    }
    Printed::Map(members)
}

fn is_printed(node: &Node, field: &Field, dialect: Dialect) -> bool {
    match field.print {
        Print::GivenInYaml if dialect == Dialect::Yaml => true,
        Print::Given | Print::WithParent => node.value != Value::Null,
        Print::Always => node.value != Value::Null,
        Print::Never => false,
        Print::NotTrue => node.value == Value::Bool(false),
        Print::NotEmpty | Print::GivenInYaml => !is_empty(node, &field.shape),
    }
}

fn is_empty(node: &Node, shape: &Shape) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Int(number) => *number == 0,
        Value::Float(number) => *number == 0.0,
        Value::Moment(_) => false,
        Value::Text(text) => match shape {
            Shape::Size(_) => text == "0",
            Shape::Duration => text == "0s",
            _ => text.is_empty(),
        },
        Value::List(items) => items.is_empty(),
        Value::Map(map) => {
            let object = matches!(
                shape,
                Shape::Keys(_) | Shape::Optional(_) | Shape::Shorthand(..)
            );
            map.is_empty() && !object
        }
    }
}
