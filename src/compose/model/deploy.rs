//! How containers are replaced, which devices they are given, and what else `deploy` says.

use std::collections::BTreeMap;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// What `deploy` says besides the number of containers, their limits and restarts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Deploy {
    /// `replicated` or `global`, as written.
    pub mode: Option<String>,
    /// Labels of the service, not of its containers.
    pub labels: IndexMap<String, String>,
    /// How containers are replaced when the service has changed.
    pub update: Option<UpdateConfig>,
    /// How containers are replaced when an update is taken back.
    pub rollback: Option<UpdateConfig>,
    /// Machines of a cluster on which the service runs.
    pub placement: Placement,
    /// `vip` or `dnsrr`, as written.
    pub endpoint_mode: Option<String>,
    /// Counted resources to keep, by kind.
    pub generic_resources: Vec<(String, i64)>,
}

/// How containers are replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateConfig {
    /// Containers replaced at a time; `None` = all at once.
    pub parallelism: Option<u64>,
    /// Time between one group and the next.
    pub delay: Duration,
    /// What follows when an update fails.
    pub failure_action: FailureAction,
    /// Time for which a new container is watched; `None` = the engine's choice.
    pub monitor: Option<Duration>,
    /// Part of the containers that may fail, from 0 to 1.
    pub max_failure_ratio: f64,
    /// Which of the two containers goes first.
    pub order: UpdateOrder,
}

/// What follows when an update fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FailureAction {
    /// Stop replacing.
    #[default]
    Pause,
    /// Go on.
    Continue,
    /// Take the update back.
    Rollback,
}

/// Which container goes first when one is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum UpdateOrder {
    /// The old one stops before the new one starts.
    #[default]
    StopFirst,
    /// The new one starts before the old one stops.
    StartFirst,
}

/// Machines of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// What must hold of a machine, as written.
    pub constraints: Vec<String>,
    /// Labels over whose values containers are spread.
    pub spread: Vec<String>,
    /// Containers on one machine at the most; `None` = no limit.
    pub max_replicas_per_node: Option<u64>,
}

/// Devices that a container asks for by what they can do (`gpus`, `deploy…devices`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// What they must be able to do (`gpu`, `compute`).
    pub capabilities: Vec<String>,
    /// Driver, as written (`nvidia`, `cdi`).
    pub driver: Option<String>,
    /// Which of them.
    pub devices: DeviceChoice,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// Which devices a request means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeviceChoice {
    /// All that fit.
    All,
    /// Any, this many.
    Count(u32),
    /// These.
    Ids(Vec<String>),
}

/// Share of and limits on input and output of block devices (`blkio_config`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockIo {
    /// Weight against other containers, 10 to 1000.
    pub weight: Option<u16>,
    /// Weights for single devices: path, weight.
    pub weight_device: Vec<(String, u16)>,
    /// Reading: path, bytes a second.
    pub read_bps: Vec<(String, u64)>,
    /// Reading: path, operations a second.
    pub read_iops: Vec<(String, u64)>,
    /// Writing: path, bytes a second.
    pub write_bps: Vec<(String, u64)>,
    /// Writing: path, operations a second.
    pub write_iops: Vec<(String, u64)>,
}
