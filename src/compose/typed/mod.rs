//! From the finished tree to the typed model.
//!
//! The tree has its forms and types already; what is left to go wrong are texts with a meaning of
//! their own: addresses, ports, policies.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use indexmap::IndexMap;

use super::diagnostic::Problems;
use super::model::{
    Condition, Dependency, Device, Logging, PortMapping, Protocol, Published, Service, ServiceName,
    Ulimit,
};
use super::tree::{Map, Node, Value};
use super::{bytes, duration, ports};

mod build;
mod deploy;
mod develop;
mod files;
mod mounts;
mod network;
mod outside;
mod policies;
mod x_stack;

pub(super) use files::object as file_object;
pub(super) use mounts::volume;
pub(super) use network::network;
pub(super) use outside::model;

/// Reads values out of one mapping of the tree.
struct Reader<'a> {
    node: &'a Node,
    /// Its place, for messages: `services.web`.
    at: String,
}

impl<'a> Reader<'a> {
    fn text(&self, key: &str) -> Option<String> {
        self.node
            .get(key)
            .and_then(Node::as_text)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    fn flag(&self, key: &str) -> bool {
        self.node.get(key).and_then(Node::as_bool) == Some(true)
    }

    fn int<T: TryFrom<i128>>(&self, key: &str) -> Option<T> {
        T::try_from(self.node.get(key)?.as_int()?).ok()
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        duration::parse(self.node.get(key)?.as_text()?).ok()
    }

    fn size(&self, key: &str) -> Option<u64> {
        size(self.node.get(key)?)
    }

    fn nano_cpus(&self, key: &str) -> Option<u64> {
        match self.node.get(key)?.value {
            // Beyond any machine; the conversion saturates.
            Value::Float(cpus) if cpus > 0.0 => Some((cpus * 1e9).round() as u64),
            _ => None,
        }
    }

    fn texts(&self, key: &str) -> Vec<String> {
        self.items(key)
            .iter()
            .filter_map(|item| item.as_text().map(str::to_owned))
            .collect()
    }

    fn items(&self, key: &str) -> &'a [Node] {
        self.node
            .get(key)
            .and_then(Node::as_list)
            .unwrap_or_default()
    }

    fn map(&self, key: &str) -> Option<&'a Map> {
        self.node.get(key).and_then(Node::as_map)
    }

    fn pairs(&self, key: &str) -> impl Iterator<Item = (String, String)> + use<'a> {
        self.map(key).into_iter().flatten().map(|(key, entry)| {
            let value = entry.node.scalar_text().unwrap_or_default();
            (key.clone(), value)
        })
    }

    /// Variables; `None` = unset.
    fn variables(&self, key: &str) -> IndexMap<String, Option<String>> {
        let entries = self.map(key).into_iter().flatten();
        entries
            .map(|(name, entry)| (name.clone(), entry.node.scalar_text()))
            .collect()
    }

    /// `name=address` lines.
    fn hosts(&self, key: &str) -> Vec<(String, String)> {
        self.texts(key)
            .iter()
            .filter_map(|line| line.split_once('='))
            .map(|(name, address)| (name.to_owned(), address.to_owned()))
            .collect()
    }

    /// The items of a list of mappings.
    fn readers(&self, key: &str) -> impl Iterator<Item = Reader<'a>> + use<'a> {
        let at = format!("{}.{key}", self.at);
        let items = self.items(key).iter().enumerate();
        items.map(move |(index, node)| Reader {
            node,
            at: format!("{at}[{index}]"),
        })
    }

    fn inner(&self, key: &str) -> Option<Reader<'a>> {
        let node = self.node.get(key)?;
        node.as_map()?;
        Some(Reader {
            node,
            at: format!("{}.{key}", self.at),
        })
    }

    /// A text that must parse; what does not is an error naming what was wanted.
    fn parsed<T: FromStr>(&self, key: &str, wanted: &str, problems: &mut Problems) -> Option<T> {
        let node = self.node.get(key)?;
        let text = node.as_text().filter(|text| !text.is_empty())?;
        parsed(text, node, &format!("{}.{key}", self.at), wanted, problems)
    }
}

fn parsed<T: FromStr>(
    text: &str,
    node: &Node,
    at: &str,
    wanted: &str,
    problems: &mut Problems,
) -> Option<T> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) => {
            problems.error(node.span, format!("`{at}` must be {wanted}, not `{text}`"));
            None
        }
    }
}

fn size(node: &Node) -> Option<u64> {
    u64::try_from(bytes::parse(node.as_text()?).ok()?).ok()
}

/// The model of one service.
pub(super) fn service(name: &ServiceName, node: &Node, problems: &mut Problems) -> Service {
    let reader = Reader {
        node,
        at: format!("services.{name}"),
    };
    let mut service = basics(&reader);
    identity(&reader, &mut service);
    rights(&reader, &mut service, problems);
    service.ports = reader
        .items("ports")
        .iter()
        .filter_map(|node| port(node, &reader.at, problems))
        .collect();
    service.volumes = mounts::mounts(&reader);
    service.network = network::network_of(&reader, problems);
    service.dns = reader
        .items("dns")
        .iter()
        .filter_map(|node| {
            let at = format!("{}.dns", reader.at);
            parsed(node.as_text()?, node, &at, "an IP address", problems)
        })
        .collect();
    service.restart = policies::restart(&reader, problems);
    service.pull_policy = policies::pull_policy(&reader, problems);
    service.resources = policies::resources(&reader, problems);
    service.deploy = deploy::deploy(&reader, problems);
    service.device_requests = deploy::device_requests(&reader);
    service.block_io = deploy::block_io(&reader);
    life(&reader, &mut service);
    around(&reader, &mut service);
    service.x_stack = x_stack::x_stack(&reader, &service, problems);
    service
}

/// Builds, hooks, files.
fn life(reader: &Reader<'_>, service: &mut Service) {
    service.build = build::build(reader);
    service.watch = develop::watch(reader);
    service.pre_start = develop::pre_start(reader, &service.environment);
    service.post_start = develop::hooks(reader, "post_start");
    service.pre_stop = develop::hooks(reader, "pre_stop");
    service.configs = files::uses(reader, "configs", "/");
    service.secrets = files::uses(reader, "secrets", "/run/secrets");
    service.pull_refresh_after = reader.text("pull_refresh_after");
}

/// What surrounds a container: other services, the kernel, the engine.
fn around(reader: &Reader<'_>, service: &mut Service) {
    service.volumes_from = outside::volumes_from(reader);
    service.links = outside::links(reader);
    service.external_links = outside::external_links(reader);
    service.provider = outside::provider(reader);
    service.models = outside::model_uses(reader);
    service.credential_spec = outside::credential_spec(reader);
    service.device_cgroup_rules = reader.texts("device_cgroup_rules");
    service.storage_opt = reader.pairs("storage_opt").collect();
    service.cgroup = reader.text("cgroup");
    service.cgroup_parent = reader.text("cgroup_parent");
    service.mem_swappiness = reader
        .text("mem_swappiness")
        .and_then(|text| text.parse().ok());
    service.oom_kill_disable = reader.flag("oom_kill_disable");
    service.userns_mode = reader.text("userns_mode");
    service.runtime = reader.text("runtime");
    service.isolation = reader.text("isolation");
    service.use_api_socket = reader.flag("use_api_socket");
}

fn basics(reader: &Reader<'_>) -> Service {
    Service {
        image: reader.text("image"),
        has_build: reader.node.get("build").is_some(),
        platform: reader.text("platform"),
        command: words(reader, "command"),
        entrypoint: words(reader, "entrypoint"),
        environment: reader.variables("environment"),
        working_dir: reader.text("working_dir"),
        expose: reader.texts("expose"),
        depends_on: dependencies(reader),
        healthcheck: reader
            .inner("healthcheck")
            .map(|inner| policies::health(&inner)),
        init: reader.flag("init"),
        tty: reader.flag("tty"),
        stdin_open: reader.flag("stdin_open"),
        stop_signal: reader.text("stop_signal"),
        stop_grace_period: reader.duration("stop_grace_period"),
        labels: reader.pairs("labels").collect(),
        annotations: reader.pairs("annotations").collect(),
        profiles: reader.texts("profiles"),
        replicas: reader
            .inner("deploy")
            .and_then(|deploy| deploy.int("replicas"))
            .or_else(|| reader.int("scale"))
            .unwrap_or(1),
        attach: reader.node.get("attach").and_then(Node::as_bool) != Some(false),
        logging: reader.inner("logging").map(|inner| Logging {
            driver: inner.text("driver"),
            options: inner.pairs("options").collect(),
        }),
        ..Service::default()
    }
}

fn words(reader: &Reader<'_>, key: &str) -> Option<Vec<String>> {
    reader.node.get(key)?.as_list()?;
    Some(reader.texts(key))
}

fn identity(reader: &Reader<'_>, service: &mut Service) {
    service.user = reader.text("user");
    service.group_add = reader
        .items("group_add")
        .iter()
        .filter_map(Node::scalar_text)
        .collect();
    service.hostname = reader.text("hostname");
    service.domainname = reader.text("domainname");
    service.container_name = reader.text("container_name");
    service.dns_search = reader.texts("dns_search");
    service.dns_opt = reader.texts("dns_opt");
    service.extra_hosts = reader.hosts("extra_hosts");
}

fn rights(reader: &Reader<'_>, service: &mut Service, problems: &mut Problems) {
    service.cap_add = reader.texts("cap_add");
    service.cap_drop = reader.texts("cap_drop");
    service.privileged = reader.flag("privileged");
    service.read_only = reader.flag("read_only");
    service.security_opt = reader.texts("security_opt");
    service.sysctls = reader.pairs("sysctls").collect();
    service.shm_size = reader.size("shm_size").filter(|size| *size > 0);
    service.oom_score_adj = reader.int("oom_score_adj");
    service.pid = reader.text("pid");
    service.ipc = reader.text("ipc");
    service.uts = reader.text("uts");
    service.ulimits = ulimits(reader);
    for node in reader.items("devices") {
        let device = Reader {
            node,
            at: format!("{}.devices", reader.at),
        };
        let (Some(source), Some(target)) = (device.text("source"), device.text("target")) else {
            continue;
        };
        let permissions = device.text("permissions");
        let permissions = permissions.unwrap_or_else(|| "rwm".to_owned());
        if !permissions.chars().all(|c| matches!(c, 'r' | 'w' | 'm')) {
            problems.error(
                node.span,
                format!(
                    "`{}`: permissions are of `r`, `w`, `m`, not `{permissions}`",
                    device.at
                ),
            );
        }
        if !source.starts_with('/') {
            service.cdi_devices.push(source);
            continue;
        }
        service.devices.push(Device {
            source,
            target,
            permissions,
        });
    }
}

fn ulimits(reader: &Reader<'_>) -> BTreeMap<String, Ulimit> {
    reader
        .map("ulimits")
        .into_iter()
        .flatten()
        .filter_map(|(name, entry)| {
            let part = |key: &str| {
                let found = entry.node.get(key).unwrap_or(&entry.node).as_int()?;
                i64::try_from(found).ok()
            };
            let limit = Ulimit {
                soft: part("soft")?,
                hard: part("hard")?,
            };
            Some((name.clone(), limit))
        })
        .collect()
}

fn port(node: &Node, at: &str, problems: &mut Problems) -> Option<PortMapping> {
    let reader = Reader {
        node,
        at: format!("{at}.ports"),
    };
    let protocol = match reader.text("protocol")?.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => {
            problems
                .error(
                    node.span,
                    format!(
                        "`{}`: the protocol `{other}` is not supported yet",
                        reader.at
                    ),
                )
                .help("use `tcp` or `udp`");
            return None;
        }
    };
    let published = match node.get("published").and_then(Node::scalar_text) {
        None => Published::Any,
        Some(text) if matches!(text.as_str(), "" | "0") => Published::Any,
        Some(text) => match ports::range(&text) {
            Ok((first, last)) if first == last => Published::Port(first),
            Ok((first, last)) => Published::Range(first, last),
            Err(error) => {
                problems.error(node.span, format!("`{}`: {error}", reader.at));
                return None;
            }
        },
    };
    let target: Option<u16> = reader.int("target");
    let Some(target) = target.filter(|target| *target > 0) else {
        let message = format!("`{}`: a port is a number from 1 to 65535", reader.at);
        problems.error(node.span, message);
        return None;
    };
    Some(PortMapping {
        target,
        published,
        host_ip: reader.parsed("host_ip", "an IP address", problems),
        protocol,
    })
}

fn dependencies(reader: &Reader<'_>) -> IndexMap<ServiceName, Dependency> {
    reader
        .map("depends_on")
        .into_iter()
        .flatten()
        .map(|(name, entry)| {
            let condition = entry.node.get("condition").and_then(Node::as_text);
            let dependency = Dependency {
                condition: match condition {
                    Some("service_healthy") => Condition::ServiceHealthy,
                    Some("service_completed_successfully") => {
                        Condition::ServiceCompletedSuccessfully
                    }
                    _ => Condition::ServiceStarted,
                },
                restart: entry.node.get("restart").and_then(Node::as_bool) == Some(true),
                required: entry.node.get("required").and_then(Node::as_bool) != Some(false),
            };
            (ServiceName::new(name), dependency)
        })
        .collect()
}
