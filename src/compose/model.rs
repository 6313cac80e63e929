//! The typed model of a stack: what every later part of the program reads.
//!
//! Everything is resolved: interpolated, merged, in long form, paths absolute, defaults filled in.
//! A field is `Option` only where "not given" means something of its own (mostly: the image decides).
//! The types serialise so that a supervisor can be handed the model and keep it on disk; this is
//! not the form of `stack config`, which `render` writes.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a name that the loader has already checked.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// A project's name: `[a-z0-9][a-z0-9_-]*`.
    ProjectName
}
name_type! {
    /// A service's key under `services:`.
    ServiceName
}
name_type! {
    /// A network's key under `networks:` (not its full name on the machine).
    NetworkKey
}
name_type! {
    /// A volume's key under `volumes:` (not its full name on the machine).
    VolumeKey
}

/// One project, as its files describe it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stack {
    /// The project's name.
    pub name: ProjectName,
    /// The project directory: relative paths were resolved against it.
    pub working_dir: PathBuf,
    /// The stack files it was loaded from, absolute, in the order of merging.
    pub files: Vec<PathBuf>,
    /// The services of the active profiles, in the order of the file.
    pub services: IndexMap<ServiceName, Service>,
    /// Services that no active profile switches on; naming one activates its profiles.
    pub disabled_services: IndexMap<ServiceName, Service>,
    /// Networks that a service uses (`default` is among them when one is on it).
    pub networks: IndexMap<NetworkKey, Network>,
    /// Named volumes that a service uses.
    pub volumes: IndexMap<VolumeKey, Volume>,
    /// Networks that are declared, but not used by a service that is on.
    #[serde(default)]
    pub unused_networks: IndexMap<NetworkKey, Network>,
    /// Named volumes that are declared, but not used by a service that is on.
    #[serde(default)]
    pub unused_volumes: IndexMap<VolumeKey, Volume>,
}

/// One service: the template of its containers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Image reference as written. `None` only with a `build` section.
    pub image: Option<String>,
    /// The service has a `build` section.
    pub has_build: bool,
    /// `pull_policy`.
    pub pull_policy: PullPolicy,
    /// `platform`, as written (`linux/amd64`).
    pub platform: Option<String>,
    /// Words of the command; `None` = the image's, `Some([])` = none.
    pub command: Option<Vec<String>>,
    /// Words of the entry point; `None` = the image's, `Some([])` = none.
    pub entrypoint: Option<Vec<String>>,
    /// Environment after `env_file` and `environment`; `None` = unset in the container.
    pub environment: IndexMap<String, Option<String>>,
    /// Working directory inside the container.
    pub working_dir: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    /// Supplementary groups, names or numbers.
    pub group_add: Vec<String>,
    /// Host name inside the container.
    pub hostname: Option<String>,
    /// Domain name inside the container.
    pub domainname: Option<String>,
    /// `container_name`.
    pub container_name: Option<String>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Ports that are only announced, as written (`8080`, `53/udp`, `7000-7010`).
    pub expose: Vec<String>,
    /// Mounts: binds, volumes and tmpfs, sorted as written; `tmpfs:` entries are among them.
    pub volumes: Vec<Mount>,
    /// How the service is on the network.
    pub network: ServiceNetwork,
    /// Services that this one waits for.
    pub depends_on: IndexMap<ServiceName, Dependency>,
    /// The health check; `None` = the image's, if it has one.
    pub healthcheck: Option<HealthCheck>,
    /// When a container that ended is started again.
    pub restart: RestartPolicy,
    /// Run a small init as PID 1.
    pub init: bool,
    /// Give the program a terminal.
    pub tty: bool,
    /// Keep standard input open.
    pub stdin_open: bool,
    /// Signal that asks the program to stop (`SIGTERM`, `15`); `None` = the image's.
    pub stop_signal: Option<String>,
    /// Time between the stop signal and SIGKILL; `None` = 10 s.
    pub stop_grace_period: Option<Duration>,
    /// Labels of the container.
    pub labels: IndexMap<String, String>,
    /// Annotations of the container.
    pub annotations: IndexMap<String, String>,
    /// Profiles that switch the service on; none = always on.
    pub profiles: Vec<String>,
    /// Capabilities to add, as written (`NET_ADMIN`, `CAP_NET_ADMIN`, `ALL`).
    pub cap_add: Vec<String>,
    /// Capabilities to drop, as written.
    pub cap_drop: Vec<String>,
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// The root file system is read-only.
    pub read_only: bool,
    /// Resource limits by name without `RLIMIT_`, lower case (`nofile`).
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// `security_opt`, as written.
    pub security_opt: Vec<String>,
    /// Devices of the host to make available.
    pub devices: Vec<Device>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// OOM score adjustment, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// `pid`, as written: `host`, `service:x`, `container:x`.
    pub pid: Option<String>,
    /// `ipc`, as written.
    pub ipc: Option<String>,
    /// `uts`, as written: `host`.
    pub uts: Option<String>,
    /// Limits and reservations; the old keys (`mem_limit`, `cpus`…) and `deploy.resources` end here.
    pub resources: Resources,
    /// Extra lines for `/etc/hosts`: name → address or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// Name servers instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Resolver options.
    pub dns_opt: Vec<String>,
    /// Number of containers: `scale`, `deploy.replicas`, or 1.
    pub replicas: u32,
    /// Show its output in the foreground `up`.
    pub attach: bool,
    /// Logging driver and options, as written.
    pub logging: Option<Logging>,
    /// What Docker Compose calls the service's hash input: the canonical JSON of the service after
    /// loading, without `build`, `pull_policy`, `scale`, `deploy.replicas`, `depends_on`, `profiles`.
    pub hash_input: String,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            image: None,
            has_build: false,
            pull_policy: PullPolicy::default(),
            platform: None,
            command: None,
            entrypoint: None,
            environment: IndexMap::new(),
            working_dir: None,
            user: None,
            group_add: Vec::new(),
            hostname: None,
            domainname: None,
            container_name: None,
            ports: Vec::new(),
            expose: Vec::new(),
            volumes: Vec::new(),
            network: ServiceNetwork::default(),
            depends_on: IndexMap::new(),
            healthcheck: None,
            restart: RestartPolicy::No,
            init: false,
            tty: false,
            stdin_open: false,
            stop_signal: None,
            stop_grace_period: None,
            labels: IndexMap::new(),
            annotations: IndexMap::new(),
            profiles: Vec::new(),
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            privileged: false,
            read_only: false,
            ulimits: BTreeMap::new(),
            sysctls: BTreeMap::new(),
            security_opt: Vec::new(),
            devices: Vec::new(),
            shm_size: None,
            oom_score_adj: None,
            pid: None,
            ipc: None,
            uts: None,
            resources: Resources::default(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_opt: Vec::new(),
            replicas: 1,
            attach: true,
            logging: None,
            hash_input: String::new(),
        }
    }
}

/// When an image is fetched although, or because, it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Fetch what is missing.
    #[default]
    Missing,
    /// Fetch at every `up`.
    Always,
    /// Never fetch.
    Never,
    /// Build, never fetch.
    Build,
    /// Fetch when the local copy is older than this.
    Every(Duration),
}

/// One published port: a single target and a single host port (ranges are expanded).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// Port inside the container.
    pub target: u16,
    /// What to bind on the host.
    pub published: Published,
    /// Host address to bind; `None` = all, IPv4 and IPv6.
    pub host_ip: Option<IpAddr>,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// The host side of a published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Published {
    /// Any free port.
    Any,
    /// This port.
    Port(u16),
    /// The first free port of an inclusive range (`8000-8010:80`).
    Range(u16, u16),
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Something mounted into the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the container.
    pub target: String,
    /// No writes through this mount.
    pub read_only: bool,
    /// What is mounted.
    pub source: MountSource,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MountSource {
    /// A path of the host.
    Bind {
        /// Absolute host path.
        path: PathBuf,
        /// Make a missing path as a directory.
        create_host_path: bool,
        /// Mount propagation (`rprivate`, `rshared`…), as written.
        propagation: Option<String>,
        /// `false`: mounts below the path are not carried over.
        recursive: bool,
    },
    /// A volume of the top-level `volumes`.
    Volume {
        /// Its key.
        volume: VolumeKey,
        /// Do not fill an empty volume from the image.
        nocopy: bool,
        /// Mount only this directory of the volume.
        subpath: Option<String>,
    },
    /// A volume without a name, which goes with the container.
    Anonymous,
    /// A tmpfs.
    Tmpfs {
        /// Size limit in bytes.
        size: Option<u64>,
        /// Permission bits of the root.
        mode: Option<u32>,
        /// Other mount options of the short form (`noexec`, `uid=1000`), as written.
        options: Vec<String>,
    },
}

/// How a service is on the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ServiceNetwork {
    /// On these networks, in order of priority.
    Networks(IndexMap<NetworkKey, Attachment>),
    /// Loopback only.
    None,
    /// The host's own network.
    Host,
    /// In the network namespace of another service's container.
    Service(ServiceName),
    /// In the network namespace of a container, by name or id.
    Container(String),
}

impl Default for ServiceNetwork {
    fn default() -> Self {
        Self::Networks(IndexMap::new())
    }
}

/// A service's place on one network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attachment {
    /// Extra names on this network.
    pub aliases: Vec<String>,
    /// Fixed IPv4 address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// Fixed IPv6 address.
    pub ipv6_address: Option<Ipv6Addr>,
    /// Fixed hardware address, as written (`02:42:ac:11:00:02`).
    pub mac_address: Option<String>,
    /// Name of the interface inside the container.
    pub interface_name: Option<String>,
    /// Order in which networks are connected, highest first.
    pub priority: i64,
    /// The network with the highest value gives the default route.
    pub gw_priority: i64,
}

/// What must hold of a dependency before a dependent starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What to wait for.
    pub condition: Condition,
    /// Restart the dependent when the dependency is replaced or restarted by a command.
    pub restart: bool,
    /// `false`: a missing or failed dependency is a warning.
    pub required: bool,
}

/// The states of a dependency that can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Its containers have started.
    ServiceStarted,
    /// Its containers are healthy.
    ServiceHealthy,
    /// Its containers have exited with 0.
    ServiceCompletedSuccessfully,
}

/// How health is probed. Durations that are `None` take the image's value, then the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// What to run; `None` = the image's test.
    pub test: Option<HealthTest>,
    /// Time between probes (30 s).
    pub interval: Option<Duration>,
    /// Time a probe may take (30 s).
    pub timeout: Option<Duration>,
    /// Failures in a row that make a container unhealthy (3).
    pub retries: Option<u32>,
    /// Time at the start in which failures do not count (0 s).
    pub start_period: Option<Duration>,
    /// Time between probes within the start period (5 s).
    pub start_interval: Option<Duration>,
}

/// What a health probe runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HealthTest {
    /// No probe, also not the image's (`disable: true`, `["NONE"]`).
    None,
    /// A program with its arguments.
    Command(Vec<String>),
    /// A line for the image's shell.
    Shell(String),
}

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whatever it ended with.
    Always,
    /// Unless it was stopped by a command.
    UnlessStopped,
    /// When it failed.
    OnFailure {
        /// Attempts at the most; `None` = no limit.
        max_attempts: Option<u32>,
        /// Time before an attempt (`deploy.restart_policy.delay`); `None` = back-off.
        delay: Option<Duration>,
        /// An attempt has succeeded when the container lives this long (`window`).
        window: Option<Duration>,
    },
}

/// A resource limit, soft and hard; -1 = unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// A device node of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Limits and reservations of one container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// CPUs, in billionths (1.5 CPUs = 1_500_000_000).
    pub nano_cpus: Option<u64>,
    /// Relative weight of CPU time, 2 to 262144.
    pub cpu_shares: Option<u64>,
    /// CFS quota in µs.
    pub cpu_quota: Option<i64>,
    /// CFS period in µs.
    pub cpu_period: Option<u64>,
    /// CPUs that may be used (`0-2,4`).
    pub cpuset: Option<String>,
    /// Memory limit in bytes.
    pub memory: Option<u64>,
    /// Memory reservation in bytes.
    pub memory_reservation: Option<u64>,
    /// Memory plus swap in bytes; -1 = unlimited.
    pub memory_swap: Option<i64>,
    /// Processes and threads; -1 = unlimited.
    pub pids: Option<i64>,
}

/// Logging driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// `json-file`, `local`, `none`…
    pub driver: Option<String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// A network of the stack.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Full name on the machine (`<project>_<key>` unless given).
    pub name: String,
    /// It must exist already and is never made or removed.
    pub external: bool,
    /// `driver`; `None` and `bridge` are the same.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// No way out of it.
    pub internal: bool,
    /// Give out IPv6 addresses.
    pub enable_ipv6: bool,
    /// Address ranges; empty = one is chosen.
    pub subnets: Vec<Subnet>,
    /// Labels.
    pub labels: IndexMap<String, String>,
}

/// One address range of a network (`ipam.config`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subnet {
    /// The range.
    pub subnet: IpNetwork,
    /// Part of it that addresses are taken from.
    pub ip_range: Option<IpNetwork>,
    /// The bridge's own address; `None` = the first of the range.
    pub gateway: Option<IpAddr>,
    /// Addresses that are not given out, by host name.
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// A named volume of the stack.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Full name on the machine (`<project>_<key>` unless given).
    pub name: String,
    /// It must exist already and is never made or removed.
    pub external: bool,
    /// `driver`; `None` and `local` are the same.
    pub driver: Option<String>,
    /// Options of the driver (`type`, `o`, `device` of `local`).
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
}
