//! What is written about each object.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnetwork::IpNetwork;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compose::model::{Protocol, Published, Service, ServiceName};

/// `container.json`: what a container was made from. Written once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Format of this file; 1.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name on the machine: `<project>-<service>-<number>` or `container_name`.
    pub name: String,
    /// The project it belongs to.
    pub project: String,
    /// The service it is a replica of.
    pub service: ServiceName,
    /// Number of the replica, from 1.
    pub number: u32,
    /// Made by `run`, not by `up`.
    pub one_off: bool,
    /// Remove it when it ends (`run --rm`).
    pub auto_remove: bool,
    /// A command that was about its service alone (`--no-deps`) had it made: what follows the service stays
    /// as it is.
    #[serde(default)]
    pub made_alone: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Hash of the service's configuration.
    pub config_hash: String,
    /// Image reference as the service names it.
    pub image: String,
    /// Id of the image (digest of its configuration).
    pub image_id: String,
    /// The service as it was when the container was made.
    pub template: Service,
    /// All labels, ours included.
    pub labels: BTreeMap<String, String>,
    /// Volumes without a name that were made for it: target → volume name.
    pub anonymous_volumes: BTreeMap<String, String>,
    /// What is mounted, for listings.
    pub mounts: Vec<MountRecord>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// How its health is probed, if at all.
    pub health: Option<HealthRecord>,
    /// The signal that asks it to stop.
    pub stop_signal: i32,
    /// How long it may take to stop.
    pub stop_grace: Duration,
    /// Full names of its networks, in the order of connection, with what it asks of each.
    pub networks: Vec<NetworkRequest>,
    /// Ports that the image announces (`80/tcp`).
    #[serde(default)]
    pub exposed: Vec<String>,
}

/// The label of a container that took the place of another, with the id of that one: Docker
/// Compose's.
const REPLACE_LABEL: &str = "com.docker.compose.replace";

impl ContainerRecord {
    /// Whether it was made to take the place of another container.
    pub fn took_a_place(&self) -> bool {
        self.labels.contains_key(REPLACE_LABEL)
    }

    /// The same, and what follows its service is to follow.
    pub fn is_followed(&self) -> bool {
        self.took_a_place() && !self.made_alone
    }

    /// Whether it was made with this volume, of a name of its own or without one.
    pub fn has_volume(&self, name: &str) -> bool {
        let mut mounts = self.mounts.iter();
        mounts.any(|mount| mount.kind == "volume" && mount.name == name)
            || self.anonymous_volumes.values().any(|volume| volume == name)
    }
}

/// One mount, as listings show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountRecord {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// Full name of the volume, empty for others.
    pub name: String,
    /// Path on the host, empty for a tmpfs.
    pub source: PathBuf,
    /// Path in the container.
    pub destination: String,
    /// Writes go through.
    pub writable: bool,
}

/// A resolved health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthRecord {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Time between probes.
    pub interval: Duration,
    /// Time a probe may take.
    pub timeout: Duration,
    /// Failures in a row that make a container unhealthy.
    pub retries: u32,
    /// Time at the start in which failures do not count.
    pub start_period: Duration,
    /// Time between probes within the start period.
    pub start_interval: Duration,
}

/// A container's wish for a place on a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRequest {
    /// Full name of the network.
    pub network: String,
    /// Names it answers to on this network, beside its own.
    pub aliases: Vec<String>,
    /// Fixed addresses.
    pub addresses: Vec<IpAddr>,
    /// Fixed hardware address.
    pub mac: Option<String>,
    /// Fixed interface name.
    pub interface: Option<String>,
    /// This network gives the default route.
    pub default_route: bool,
}

/// `status.json`: what the supervisor knows of a container. Replaced at each change.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    /// Format of this file; 1.
    pub version: u32,
    /// Times it was started again by its restart policy since the last command.
    pub restart_count: u32,
    /// Of these, those that ended again sooner than the policy's `window`; the last run is not
    /// among them yet.
    pub failed_attempts: u32,
    /// Starts in a row that ended soon: what the back-off grows with.
    pub streak: u32,
    /// The loop stopped it in order to start it again.
    pub interrupted: bool,
    /// Since when its check has succeeded in this run; kept when it ends.
    pub ready_since: Option<Timestamp>,
    /// Health, for containers that have a check.
    pub health: Option<HealthState>,
    /// When it last turned unhealthy, in this run or one before.
    pub unhealthy_at: Option<Timestamp>,
    /// The time of `unhealthy_at` that `on_unhealthy: exec` was run for.
    pub reacted_at: Option<Timestamp>,
    /// Its places on networks while it runs.
    pub endpoints: Vec<EndpointRecord>,
    /// Its published ports while it runs.
    pub ports: Vec<PortRecord>,
    /// The signal that a person sent it last.
    pub signalled: Option<Signalled>,
    /// The configs and secrets that it was given to keep up to date while it runs: name → hash of the
    /// content.
    pub contents: BTreeMap<String, String>,
    /// Its processes stand still for a moment, while these are renewed.
    pub renewing: bool,
    /// The end that was last written into the journal.
    pub told_end: Option<Timestamp>,
    /// The addresses of its last run: it gets them again when they are free.
    pub last_addresses: Vec<IpAddr>,
}

/// A signal that a person sent (`kill`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    /// Its number.
    pub signal: i32,
    /// When.
    pub at: Timestamp,
    /// It asks the program to end.
    pub ends: bool,
}

/// Health of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthState {
    /// The verdict.
    pub status: HealthStatus,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five probes, oldest first.
    pub log: Vec<ProbeRecord>,
}

/// The verdict on a container's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No probe has succeeded yet, and not enough have failed.
    Starting,
    /// The last counted probe succeeded.
    Healthy,
    /// Too many failed in a row.
    Unhealthy,
}

/// One probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Its exit code; -1 when it was killed at its timeout.
    pub exit_code: i32,
    /// The start of its output.
    pub output: String,
}

/// A place on a network that a running container has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Full name of the network.
    pub network: String,
    /// Its addresses with prefix lengths.
    pub addresses: Vec<IpNetwork>,
    /// The network's gateway.
    pub gateway: Option<IpAddr>,
    /// Hardware address.
    pub mac: String,
    /// All names it answers to.
    pub names: Vec<String>,
}

/// A published port that a running container has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRecord {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Host address; `None` = all.
    pub host_ip: Option<IpAddr>,
    /// Host port.
    pub host_port: u16,
    /// Container port.
    pub target: u16,
    /// What was asked for.
    pub requested: Published,
}

/// `network.json`: a network of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Format of this file; 1.
    pub version: u32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// Full name.
    pub name: String,
    /// The project that made it; empty when made by hand.
    pub project: String,
    /// Its key in the project's files.
    pub key: String,
    /// When it was made.
    pub created: Timestamp,
    /// Hash of what it was made from.
    pub config_hash: String,
    /// The bridge.
    pub bridge: String,
    /// Its address ranges.
    pub subnets: Vec<SubnetRecord>,
    /// No way out of it.
    pub internal: bool,
    /// Containers of others may join it; they always may.
    #[serde(default)]
    pub attachable: bool,
    /// Options of its driver, as they were given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Largest packet.
    pub mtu: u32,
    /// All labels, ours included.
    pub labels: BTreeMap<String, String>,
}

/// One address range of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubnetRecord {
    /// The range.
    pub subnet: IpNetwork,
    /// Part of it that addresses are taken from.
    pub ip_range: Option<IpNetwork>,
    /// The bridge's address.
    pub gateway: IpAddr,
    /// Addresses that are not given out, by the names of those who have them.
    #[serde(default)]
    pub aux_addresses: BTreeMap<String, IpAddr>,
}

/// `volume.json`: a volume of the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VolumeRecord {
    /// Format of this file; 1.
    pub version: u32,
    /// Full name.
    pub name: String,
    /// The project that made it; empty when made by hand.
    pub project: String,
    /// Its key in the project's files; empty for one without a name.
    pub key: String,
    /// When it was made.
    pub created: Timestamp,
    /// Hash of what it was made from; empty for one that no stack file has.
    #[serde(default)]
    pub config_hash: String,
    /// Options of the `local` driver.
    pub options: BTreeMap<String, String>,
    /// All labels, ours included.
    pub labels: BTreeMap<String, String>,
}
