//! What the machine is to match.

use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::compose::model::{Network, NetworkKey, Service, ServiceName, Stack, Volume, VolumeKey};

/// What one project is to look like: kept on disk, so that a supervisor that dies is followed by
/// one that knows what this one knew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Desired {
    /// Format; 1.
    pub version: u32,
    /// The project.
    pub project: String,
    /// Its directory.
    pub working_dir: std::path::PathBuf,
    /// Its stack files.
    pub files: Vec<std::path::PathBuf>,
    /// Services that have been brought up, in the order of the stack file; orphans last.
    pub services: IndexMap<ServiceName, DesiredService>,
    /// Networks of the model.
    pub networks: IndexMap<NetworkKey, Network>,
    /// Volumes of the model.
    pub volumes: IndexMap<VolumeKey, Volume>,
    /// The project is to go away.
    pub down: Option<Down>,
    /// Models of one-off containers that wait for their networks, volumes and dependencies: a
    /// matter of those who wait now, not of what is written down.
    #[serde(skip)]
    pub one_offs: Vec<Service>,
}

/// One service as it is to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DesiredService {
    /// Its model.
    pub service: Service,
    /// Id of the image that its containers are to have; `None` = whatever the reference means.
    pub image_id: Option<String>,
    /// Hash of its configuration: containers with another one are replaced.
    pub hash: String,
    /// Number of containers.
    pub replicas: u32,
    /// Whether they are to run.
    pub run: Run,
    /// When that was last said. What ended before is started again; failures before are forgotten.
    pub since: Timestamp,
    /// Containers started before this are restarted.
    pub restart_before: Option<Timestamp>,
    /// Containers made before this are replaced.
    pub recreate_before: Option<Timestamp>,
    /// Leave containers as they are although the configuration is another one (`--no-recreate`).
    pub no_recreate: bool,
    /// Time that its containers are given to stop, when the command said one.
    pub timeout: Option<Duration>,
    /// The last stack file did not have it.
    pub orphan: bool,
    /// Dependencies are not waited for (`--no-deps`).
    pub no_deps: bool,
}

/// Whether containers are to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Run {
    /// They are to run.
    Running,
    /// They are to exist, started or not.
    Created,
    /// They are not to run; what does not exist is not made.
    Stopped,
}

/// How a project goes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Its volumes go too.
    pub volumes: bool,
    /// Time that containers are given to stop, when the command said one.
    pub timeout: Option<Duration>,
}

impl Desired {
    /// A project with nothing in it yet.
    pub fn new(project: &str) -> Self {
        Self {
            version: 1,
            project: project.to_owned(),
            working_dir: std::path::PathBuf::new(),
            files: Vec::new(),
            services: IndexMap::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            down: None,
            one_offs: Vec::new(),
        }
    }

    /// Takes over the parts of a stack that belong to no service.
    pub fn adopt(&mut self, stack: &Stack) {
        self.working_dir.clone_from(&stack.working_dir);
        self.files.clone_from(&stack.files);
        for (key, network) in &stack.networks {
            self.networks.insert(key.clone(), network.clone());
        }
        for (key, volume) in &stack.volumes {
            self.volumes.insert(key.clone(), volume.clone());
        }
        self.down = None;
    }
}

/// Hash of a service's configuration: what makes a container out of date.
pub fn config_hash(service: &Service) -> String {
    hex(&Sha256::digest(service.hash_input.as_bytes()))
}

/// Hash of a network's configuration.
pub fn network_hash(network: &Network) -> String {
    let text = serde_json::to_string(network).unwrap_or_default();
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The name of a replica's container.
pub fn container_name(
    project: &str,
    service: &ServiceName,
    model: &Service,
    number: u32,
) -> String {
    model
        .container_name
        .clone()
        .unwrap_or_else(|| format!("{project}-{service}-{number}"))
}
