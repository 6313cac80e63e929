//! The typed model of a stack: what every later part of the program reads.
//!
//! Everything is resolved: interpolated, merged, in long form, paths absolute, defaults filled in.
//! A field is `Option` only where "not given" means something of its own (mostly: the image decides).
//! The types serialise so that a supervisor can be handed the model and keep it on disk; this is
//! not the form of `stack config`, which `render` writes.

mod build;
mod deploy;
mod develop;
mod files;
mod mounts;
mod network;
mod outside;
mod separator;
mod x_stack;

pub use build::{Build, BuildContext, Dockerfile, SshKey};
pub use deploy::{
    BlockIo, Deploy, DeviceChoice, DeviceRequest, FailureAction, Placement, UpdateConfig,
    UpdateOrder,
};
pub use develop::{Hook, PreStart, WatchAction, WatchRule};
pub use files::{FileObject, FileSource, FileUse};
pub use mounts::{Mount, MountSource, Volume, VolumesFrom, VolumesSource};
pub use network::{Attachment, Network, ServiceNetwork, Subnet};
pub use outside::{CredentialSpec, ExternalLink, Link, Model, ModelUse, Provider};
pub use separator::Separator;
pub use x_stack::{Follow, OnUnhealthy, Ready, ReadyProbe, Reload, XStack};

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use indexmap::IndexMap;
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
    /// Configs by key.
    #[serde(default)]
    pub configs: IndexMap<String, FileObject>,
    /// Secrets by key.
    #[serde(default)]
    pub secrets: IndexMap<String, FileObject>,
    /// Language models by key.
    #[serde(default)]
    pub models: IndexMap<String, Model>,
    /// How containers and images are named.
    #[serde(default)]
    pub separator: Separator,
}

impl Stack {
    /// A project without anything in it.
    pub fn new(name: ProjectName, working_dir: impl Into<PathBuf>) -> Self {
        Self {
            name,
            working_dir: working_dir.into(),
            files: Vec::new(),
            services: IndexMap::new(),
            disabled_services: IndexMap::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            unused_networks: IndexMap::new(),
            unused_volumes: IndexMap::new(),
            configs: IndexMap::new(),
            secrets: IndexMap::new(),
            models: IndexMap::new(),
            separator: Separator::default(),
        }
    }
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
    /// The `build` section.
    pub build: Option<Build>,
    /// What follows changes of files.
    pub watch: Vec<WatchRule>,
    /// Steps that must succeed before it starts.
    pub pre_start: Vec<PreStart>,
    /// Commands that run in a container after it has started.
    pub post_start: Vec<Hook>,
    /// Commands that run in a container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// Configs that a container is given.
    pub configs: Vec<FileUse>,
    /// Secrets that a container is given.
    pub secrets: Vec<FileUse>,
    /// Devices that are asked for by what they can do.
    pub device_requests: Vec<DeviceRequest>,
    /// Devices by their names for the Container Device Interface (`vendor/class=name`).
    pub cdi_devices: Vec<String>,
    /// Rules for devices that may be used, as written (`c 1:3 mr`).
    pub device_cgroup_rules: Vec<String>,
    /// What else `deploy` says.
    pub deploy: Deploy,
    /// Input and output of block devices.
    pub block_io: Option<BlockIo>,
    /// Mounts that are taken over.
    pub volumes_from: Vec<VolumesFrom>,
    /// Other names under which services are reached.
    pub links: Vec<Link>,
    /// Containers of other projects that are reached by name.
    pub external_links: Vec<ExternalLink>,
    /// The program that provides the service instead of a container.
    pub provider: Option<Provider>,
    /// Language models that it uses, by key.
    pub models: IndexMap<String, ModelUse>,
    /// Options of the container's file system (`size`).
    pub storage_opt: BTreeMap<String, String>,
    /// Control group namespace, as written: `host`, `private`.
    pub cgroup: Option<String>,
    /// Control group above that of the container.
    pub cgroup_parent: Option<String>,
    /// How readily memory is swapped out, 0 to 100.
    pub mem_swappiness: Option<i64>,
    /// Never end it for want of memory.
    pub oom_kill_disable: bool,
    /// `userns_mode`, as written: `host`.
    pub userns_mode: Option<String>,
    /// `runtime`, as written.
    pub runtime: Option<String>,
    /// `isolation`, as written (Windows).
    pub isolation: Option<String>,
    /// Account of the service (Windows).
    pub credential_spec: Option<CredentialSpec>,
    /// Give the container access to the engine.
    pub use_api_socket: bool,
    /// Age from which the image is fetched again, as written.
    pub pull_refresh_after: Option<String>,
    /// What `x-stack` says.
    pub x_stack: XStack,
    /// What Docker Compose calls the service's hash input: the canonical JSON of the service after
    /// loading, without `build`, `pull_policy`, `scale`, `deploy.replicas`, `depends_on`, `profiles`.
    /// Empty when it was [left out](crate::compose::Skip::hashes).
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
            build: None,
            watch: Vec::new(),
            pre_start: Vec::new(),
            post_start: Vec::new(),
            pre_stop: Vec::new(),
            configs: Vec::new(),
            secrets: Vec::new(),
            device_requests: Vec::new(),
            cdi_devices: Vec::new(),
            device_cgroup_rules: Vec::new(),
            deploy: Deploy::default(),
            block_io: None,
            volumes_from: Vec::new(),
            links: Vec::new(),
            external_links: Vec::new(),
            provider: None,
            models: IndexMap::new(),
            storage_opt: BTreeMap::new(),
            cgroup: None,
            cgroup_parent: None,
            mem_swappiness: None,
            oom_kill_disable: false,
            userns_mode: None,
            runtime: None,
            isolation: None,
            credential_spec: None,
            use_api_socket: false,
            pull_refresh_after: None,
            x_stack: XStack::default(),
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
    /// However it ended, with limits (`deploy.restart_policy`).
    Any {
        /// Failed attempts at the most; `None` = no limit.
        max_attempts: Option<u32>,
        /// Time before an attempt; `None` = back-off.
        delay: Option<Duration>,
        /// An attempt has succeeded when the container lives this long; `None` = it always fails.
        window: Option<Duration>,
    },
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
    /// Real-time CPU time in each period, in µs.
    pub cpu_rt_runtime: Option<i64>,
    /// Period of real-time scheduling in µs.
    pub cpu_rt_period: Option<u64>,
    /// Number of CPUs (Windows).
    pub cpu_count: Option<u64>,
    /// Share of all CPUs in percent (Windows).
    pub cpu_percent: Option<u8>,
    /// CPU time to keep, in billionths of a CPU.
    pub nano_cpus_reserved: Option<u64>,
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
