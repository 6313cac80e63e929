//! From the finished tree to the typed model.
//!
//! The tree has its forms and types already; what is left to go wrong are texts with a meaning of
//! their own: addresses, ports, policies.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use indexmap::IndexMap;

use super::diagnostic::Problems;
use super::model::{
    Attachment, Condition, Dependency, Device, HealthCheck, HealthTest, Logging, Mount,
    MountSource, Network, NetworkKey, PortMapping, Protocol, Published, PullPolicy, Resources,
    RestartPolicy, Service, ServiceName, ServiceNetwork, Subnet, Ulimit, Volume, VolumeKey,
};
use super::tree::{Map, Node};
use super::{bytes, duration, ports};

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
            super::tree::Value::Float(cpus) if cpus > 0.0 => Some((cpus * 1e9).round() as u64),
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
    bytes::parse(node.as_text()?).ok()
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
    service.volumes = mounts(&reader);
    service.network = network_of(&reader, problems);
    service.dns = reader
        .items("dns")
        .iter()
        .filter_map(|node| {
            let at = format!("{}.dns", reader.at);
            parsed(node.as_text()?, node, &at, "an IP address", problems)
        })
        .collect();
    service.restart = restart(&reader, problems);
    service.pull_policy = pull_policy(&reader, problems);
    service.resources = resources(&reader, problems);
    service
}

fn basics(reader: &Reader<'_>) -> Service {
    Service {
        image: reader.text("image"),
        has_build: reader.node.get("build").is_some(),
        platform: reader.text("platform"),
        command: words(reader, "command"),
        entrypoint: words(reader, "entrypoint"),
        environment: reader
            .map("environment")
            .into_iter()
            .flatten()
            .map(|(name, entry)| (name.clone(), entry.node.scalar_text()))
            .collect(),
        working_dir: reader.text("working_dir"),
        expose: reader.texts("expose"),
        depends_on: dependencies(reader),
        healthcheck: reader.inner("healthcheck").map(|inner| health(&inner)),
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
    service.extra_hosts = reader
        .texts("extra_hosts")
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, address)| (name.to_owned(), address.to_owned()))
        .collect();
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
        let permissions = device.text("permissions").unwrap_or_default();
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
            problems.error(
                node.span,
                format!(
                    "`{}`: `{source}` is not a path; only device nodes are supported yet",
                    device.at
                ),
            );
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
    Some(PortMapping {
        target: reader.int("target")?,
        published,
        host_ip: reader.parsed("host_ip", "an IP address", problems),
        protocol,
    })
}

fn mounts(reader: &Reader<'_>) -> Vec<Mount> {
    let volumes = reader.items("volumes").iter().filter_map(mount);
    let tmpfs = reader
        .items("tmpfs")
        .iter()
        .filter_map(|node| node.as_text().map(tmpfs_mount));
    volumes.chain(tmpfs).collect()
}

fn mount(node: &Node) -> Option<Mount> {
    let reader = Reader {
        node,
        at: String::new(),
    };
    let inner = |key: &str, field: &str| node.at(&[key, field]);
    let text = |key: &str, field: &str| inner(key, field)?.as_text().map(str::to_owned);
    let flag = |key: &str, field: &str| inner(key, field)?.as_bool();
    let source = match reader.text("type")?.as_str() {
        "bind" => MountSource::Bind {
            path: PathBuf::from(reader.text("source")?),
            create_host_path: flag("bind", "create_host_path") != Some(false),
            propagation: text("bind", "propagation"),
            recursive: text("bind", "recursive").as_deref() != Some("disabled"),
        },
        "tmpfs" => MountSource::Tmpfs {
            size: inner("tmpfs", "size")
                .and_then(size)
                .filter(|size| *size > 0),
            mode: inner("tmpfs", "mode")
                .and_then(Node::as_int)
                .and_then(|mode| u32::try_from(mode).ok()),
            options: Vec::new(),
        },
        _ => match reader.text("source") {
            None => MountSource::Anonymous,
            Some(volume) => MountSource::Volume {
                volume: VolumeKey::new(volume),
                nocopy: flag("volume", "nocopy") == Some(true),
                subpath: text("volume", "subpath"),
            },
        },
    };
    Some(Mount {
        target: reader.text("target")?,
        read_only: reader.flag("read_only"),
        source,
    })
}

/// `TARGET[:OPTIONS]` with the options of mount(8).
fn tmpfs_mount(text: &str) -> Mount {
    let (target, written) = text.split_once(':').unwrap_or((text, ""));
    let (mut size, mut mode, mut read_only) = (None, None, false);
    let mut options = Vec::new();
    for option in written.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) if bytes::parse(value).is_ok() => size = bytes::parse(value).ok(),
            Some(("mode", value)) if u32::from_str_radix(value, 8).is_ok() => {
                mode = u32::from_str_radix(value, 8).ok();
            }
            None if option == "ro" => read_only = true,
            None if option == "rw" => read_only = false,
            _ => options.push(option.to_owned()),
        }
    }
    Mount {
        target: super::paths::clean_target(target),
        read_only,
        source: MountSource::Tmpfs {
            size,
            mode,
            options,
        },
    }
}

fn network_of(reader: &Reader<'_>, problems: &mut Problems) -> ServiceNetwork {
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
        interface_name: reader.text("interface_name"),
        priority: reader.int("priority").unwrap_or(0),
        gw_priority: reader.int("gw_priority").unwrap_or(0),
    }
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

fn health(reader: &Reader<'_>) -> HealthCheck {
    let mut words = reader.texts("test").into_iter();
    let test = match words.next().as_deref() {
        _ if reader.flag("disable") => Some(HealthTest::None),
        None => None,
        Some("NONE") => Some(HealthTest::None),
        Some("CMD-SHELL") => Some(HealthTest::Shell(words.collect::<Vec<_>>().join(" "))),
        Some(_) => Some(HealthTest::Command(words.collect())),
    };
    HealthCheck {
        test,
        interval: reader.duration("interval"),
        timeout: reader.duration("timeout"),
        retries: reader.int("retries"),
        start_period: reader.duration("start_period"),
        start_interval: reader.duration("start_interval"),
    }
}

fn restart(reader: &Reader<'_>, problems: &mut Problems) -> RestartPolicy {
    let never_limited = RestartPolicy::OnFailure {
        max_attempts: None,
        delay: None,
        window: None,
    };
    if let Some(policy) = reader.text("restart") {
        let policy_of = match policy.as_str() {
            "no" => Some(RestartPolicy::No),
            "always" => Some(RestartPolicy::Always),
            "unless-stopped" => Some(RestartPolicy::UnlessStopped),
            "on-failure" => Some(never_limited),
            other => other
                .strip_prefix("on-failure:")
                .and_then(|count| count.parse().ok())
                .map(|count: u32| RestartPolicy::OnFailure {
                    // Docker takes 0 for no limit.
                    max_attempts: Some(count).filter(|count| *count > 0),
                    delay: None,
                    window: None,
                }),
        };
        if policy_of.is_none() {
            bad_word(
                reader,
                "restart",
                "`no`, `always`, `on-failure`, `on-failure:N` or `unless-stopped`",
                problems,
            );
        }
        return policy_of.unwrap_or_default();
    }
    let policy = reader
        .inner("deploy")
        .and_then(|deploy| deploy.inner("restart_policy"));
    let Some(policy) = policy else {
        return RestartPolicy::No;
    };
    match policy.text("condition").as_deref() {
        Some("none") => RestartPolicy::No,
        None | Some("any") => RestartPolicy::Always,
        Some("on-failure") => RestartPolicy::OnFailure {
            max_attempts: policy.int("max_attempts").filter(|count| *count > 0),
            delay: policy.duration("delay"),
            window: policy.duration("window"),
        },
        Some(_) => {
            bad_word(
                &policy,
                "condition",
                "`none`, `on-failure` or `any`",
                problems,
            );
            RestartPolicy::No
        }
    }
}

fn bad_word(reader: &Reader<'_>, key: &str, wanted: &str, problems: &mut Problems) {
    if let Some(node) = reader.node.get(key) {
        let text = node.as_text().unwrap_or_default();
        problems
            .error(
                node.span,
                format!("`{}.{key}` cannot be `{text}`", reader.at),
            )
            .help(format!("use {wanted}"));
    }
}

fn pull_policy(reader: &Reader<'_>, problems: &mut Problems) -> PullPolicy {
    let day = Duration::from_secs(86_400);
    let Some(text) = reader.text("pull_policy") else {
        return PullPolicy::Missing;
    };
    let every = text
        .strip_prefix("every_")
        .and_then(|duration| duration::parse(duration).ok());
    match (text.as_str(), every) {
        ("missing" | "if_not_present", _) => PullPolicy::Missing,
        ("always" | "refresh", _) => PullPolicy::Always,
        ("never", _) => PullPolicy::Never,
        ("build", _) => PullPolicy::Build,
        ("daily", _) => PullPolicy::Every(day),
        ("weekly", _) => PullPolicy::Every(day * 7),
        (_, Some(duration)) => PullPolicy::Every(duration),
        _ => {
            bad_word(
                reader,
                "pull_policy",
                "`always`, `missing`, `never`, `build`, `daily`, `weekly` or `every_<DURATION>`",
                problems,
            );
            PullPolicy::Missing
        }
    }
}

fn resources(reader: &Reader<'_>, problems: &mut Problems) -> Resources {
    let deploy = reader
        .inner("deploy")
        .and_then(|deploy| deploy.inner("resources"));
    let part = |key: &str| deploy.as_ref().and_then(|deploy| deploy.inner(key));
    let (limits, reservations) = (part("limits"), part("reservations"));
    let limits = limits.as_ref();
    let not_zero = |size: &u64| *size > 0;
    let resources = Resources {
        nano_cpus: reader
            .nano_cpus("cpus")
            .or_else(|| limits?.nano_cpus("cpus")),
        cpu_shares: reader.int("cpu_shares").filter(not_zero),
        cpu_quota: reader.int("cpu_quota").filter(|quota| *quota != 0),
        cpu_period: reader.int("cpu_period").filter(not_zero),
        cpuset: reader.text("cpuset"),
        memory: reader
            .size("mem_limit")
            .or_else(|| limits?.size("memory"))
            .filter(not_zero),
        memory_reservation: reader
            .size("mem_reservation")
            .or_else(|| reservations?.size("memory"))
            .filter(not_zero),
        memory_swap: match reader.node.get("memswap_limit").and_then(Node::as_text) {
            Some("-1") => Some(-1),
            Some(text) => text.parse().ok().filter(|swap| *swap != 0),
            None => None,
        },
        pids: reader
            .int("pids_limit")
            .or_else(|| limits?.int("pids"))
            .filter(|pids| *pids != 0),
    };
    if let (Some(memory), Some(swap)) = (resources.memory, resources.memory_swap)
        && swap >= 0
        && swap.unsigned_abs() < memory
        && let Some(node) = reader.node.get("memswap_limit")
    {
        problems
            .error(
                node.span,
                format!("`{}.memswap_limit` is below the memory limit", reader.at),
            )
            .help("it is memory and swap together");
    }
    resources
}

/// The model of one network.
pub(super) fn network(key: &str, node: &Node, problems: &mut Problems) -> Network {
    let reader = Reader {
        node,
        at: format!("networks.{key}"),
    };
    let driver = reader.text("driver").filter(|driver| driver != "default");
    if let Some(name) = driver.as_deref()
        && !matches!(name, "bridge" | "host" | "none")
        && let Some(node) = node.get("driver")
    {
        problems
            .error(
                node.span,
                format!("the network driver `{name}` is not supported"),
            )
            .help("use `bridge`, or leave `driver` out");
    }
    if node.get("enable_ipv4").and_then(Node::as_bool) == Some(false)
        && let Some(node) = node.get("enable_ipv4")
    {
        problems
            .warn(node.span, "a network without IPv4 is not supported yet")
            .label("ignored");
    }
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

/// The model of one volume.
pub(super) fn volume(key: &str, node: &Node, problems: &mut Problems) -> Volume {
    let reader = Reader {
        node,
        at: format!("volumes.{key}"),
    };
    let driver = reader.text("driver");
    if let Some(name) = driver.as_deref().filter(|name| *name != "local")
        && let Some(node) = node.get("driver")
    {
        problems
            .error(
                node.span,
                format!("the volume driver `{name}` is not supported"),
            )
            .help("use `local`, or leave `driver` out");
    }
    Volume {
        name: reader.text("name").unwrap_or_default(),
        external: reader.flag("external"),
        driver,
        driver_opts: reader.pairs("driver_opts").collect(),
        labels: reader.pairs("labels").collect(),
    }
}
