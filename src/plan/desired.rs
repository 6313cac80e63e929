//! What the machine is to match.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::compose::model::{
    FileObject, FileSource, Hook, MountSource, Network, NetworkKey, Separator, Service,
    ServiceName, ServiceNetwork, Stack, Volume, VolumeKey,
};

use super::rolling::Update;

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
    /// How its containers are named.
    #[serde(default)]
    pub separator: Separator,
    /// Its stack files.
    pub files: Vec<std::path::PathBuf>,
    /// Services that have been brought up, in the order of the stack file; orphans last.
    pub services: IndexMap<ServiceName, DesiredService>,
    /// Networks of the model.
    pub networks: IndexMap<NetworkKey, Network>,
    /// Volumes of the model.
    pub volumes: IndexMap<VolumeKey, Volume>,
    /// Networks that are there although no service uses them (`--all-resources`).
    #[serde(default)]
    pub kept_networks: BTreeSet<NetworkKey>,
    /// The same of volumes.
    #[serde(default)]
    pub kept_volumes: BTreeSet<VolumeKey>,
    /// Configs of the model.
    #[serde(default)]
    pub configs: IndexMap<String, FileObject>,
    /// Secrets of the model.
    #[serde(default)]
    pub secrets: IndexMap<String, FileObject>,
    /// What runs in a container before it is stopped, as the stack file of the last command had it;
    /// services that are not here: as the container was made.
    #[serde(default)]
    pub pre_stop: BTreeMap<ServiceName, Vec<Hook>>,
    /// One-off containers that ended before this go, too (`--remove-orphans`).
    #[serde(default)]
    pub clear_one_offs_before: Option<Timestamp>,
    /// Volumes that may be made anew, though what is in them is lost: the hash of the configuration
    /// that a person agreed to.
    #[serde(default)]
    pub agreed: BTreeMap<VolumeKey, String>,
    /// What no service uses goes, since the last command took services away.
    #[serde(default)]
    pub sweep: Option<Sweep>,
    /// The project is to go away.
    pub down: Option<Down>,
    /// Ids of ended containers that are to be removed, and whether their volumes without a name go too.
    #[serde(default)]
    pub removals: BTreeMap<String, bool>,
    /// Updates of services that are not complete.
    #[serde(default)]
    pub updates: IndexMap<ServiceName, Update>,
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
    /// Containers made before this do not hand on their volumes without a name.
    #[serde(default)]
    pub renew_before: Option<Timestamp>,
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

/// What goes when nobody is left to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Volumes, too; networks always do.
    pub volumes: bool,
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
            separator: Separator::default(),
            files: Vec::new(),
            services: IndexMap::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            kept_networks: BTreeSet::new(),
            kept_volumes: BTreeSet::new(),
            configs: IndexMap::new(),
            secrets: IndexMap::new(),
            pre_stop: BTreeMap::new(),
            clear_one_offs_before: None,
            agreed: BTreeMap::new(),
            sweep: None,
            down: None,
            removals: BTreeMap::new(),
            updates: IndexMap::new(),
            one_offs: Vec::new(),
        }
    }

    /// Takes over the parts of a stack that belong to no service.
    pub fn adopt(&mut self, stack: &Stack) {
        self.working_dir.clone_from(&stack.working_dir);
        self.files.clone_from(&stack.files);
        self.separator = stack.separator;
        for (key, network) in &stack.networks {
            self.networks.insert(key.clone(), network.clone());
        }
        for (key, volume) in &stack.volumes {
            self.volumes.insert(key.clone(), volume.clone());
        }
        self.configs.extend(stack.configs.clone());
        self.secrets.extend(stack.secrets.clone());
        self.down = None;
    }

    /// Has the networks and volumes of a stack made that no service uses.
    pub fn keep_unused(&mut self, stack: &Stack) {
        self.kept_networks = stack.unused_networks.keys().cloned().collect();
        self.kept_volumes = stack.unused_volumes.keys().cloned().collect();
        self.networks.extend(stack.unused_networks.clone());
        self.volumes.extend(stack.unused_volumes.clone());
    }

    /// What no service uses is not made again should somebody remove it.
    pub fn forget_unused(&mut self) {
        self.kept_networks.clear();
        self.kept_volumes.clear();
    }

    /// The name of a replica's container.
    pub fn container_name(&self, service: &ServiceName, model: &Service, number: u32) -> String {
        container_name((&self.project, self.separator), service, model, number)
    }
}

/// Hash of a service's configuration, as Docker Compose makes it and as its label has it.
pub fn config_hash(service: &Service) -> String {
    hex(&Sha256::digest(service.hash_input.as_bytes()))
}

/// Hash of all that makes a container out of date: the configuration, the contents of the configs and
/// secrets that the service is given, which Docker Compose's own hash leaves out, and the names of
/// networks and volumes that are not called after the project.
pub fn service_hash(stack: &Stack, service: &Service) -> String {
    let uses = [
        (&stack.configs, &service.configs),
        (&stack.secrets, &service.secrets),
    ];
    let mut hasher = Sha256::new_with_prefix(service.hash_input.as_bytes());
    for (objects, uses) in uses {
        for object in uses.iter().filter_map(|given| objects.get(&given.source)) {
            let content = match &object.source {
                FileSource::File(_) => object.content_hash.as_deref(),
                FileSource::Environment { value, .. } => value.as_deref(),
                FileSource::Content(text) => Some(text.as_str()),
                FileSource::External => None,
            };
            let digest = content.map(|content| Sha256::digest(content.as_bytes()));
            hasher.update(digest.unwrap_or_default());
        }
    }
    for name in chosen_names(stack, service) {
        hasher.update(name.as_bytes());
    }
    if let Some(ready) = &service.x_stack.ready {
        // A container is made with its health check.
        hasher.update(serde_json::to_vec(ready).unwrap_or_default());
    }
    hex(&hasher.finalize())
}

/// The names of a service's networks and volumes that another name than the usual one was chosen for:
/// a container is made with them.
fn chosen_names(stack: &Stack, service: &Service) -> Vec<String> {
    let chosen = |kind: &str, key: &str, name: &str| {
        let usual = name.strip_prefix(stack.name.as_str());
        let is_usual = usual.and_then(|rest| rest.strip_prefix('_')) == Some(key);
        (!is_usual && !name.is_empty()).then(|| format!("{kind} {key} {name}"))
    };
    let mut names = Vec::new();
    if let ServiceNetwork::Networks(networks) = &service.network {
        let keys = networks.keys();
        let models = keys.filter_map(|key| Some((key, stack.networks.get(key)?)));
        names.extend(models.filter_map(|(key, net)| chosen("network", key.as_str(), &net.name)));
    }
    for mount in &service.volumes {
        if let MountSource::Volume { volume: key, .. } = &mount.source
            && let Some(volume) = stack.volumes.get(key)
        {
            names.extend(chosen("volume", key.as_str(), &volume.name));
        }
    }
    names
}

/// Hash of a volume's configuration, as Docker Compose makes it: of what the file says, as JSON.
pub fn volume_hash(volume: &Volume) -> String {
    #[derive(Serialize)]
    struct Hashed<'a> {
        name: &'a str,
        driver: &'a str,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        driver_opts: &'a BTreeMap<String, String>,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<&'a String, &'a String>,
    }
    let hashed = Hashed {
        name: &volume.name,
        driver: volume.driver.as_deref().unwrap_or("local"),
        driver_opts: &volume.driver_opts,
        labels: volume.labels.iter().collect(),
    };
    let text = serde_json::to_string(&hashed).unwrap_or_default();
    // Go writes these so, and they stand in texts only.
    let text = text.replace('<', "\\u003c").replace('>', "\\u003e");
    hex(&Sha256::digest(text.replace('&', "\\u0026").as_bytes()))
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
    (project, separator): (&str, Separator),
    service: &ServiceName,
    model: &Service,
    number: u32,
) -> String {
    model
        .container_name
        .clone()
        .unwrap_or_else(|| separator.join(&[project, service.as_str(), &number.to_string()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_volume_is_docker_compose_s() {
        let volume = |name: &str, labels: &[(&str, &str)], options: &[(&str, &str)]| {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            volume_hash(&Volume {
                name: name.to_owned(),
                labels: labels.iter().map(owned).collect(),
                driver_opts: options.iter().map(owned).collect(),
                ..Volume::default()
            })
        };
        // Labels of volumes that Docker Compose v5.6.1 has made.
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m")];
        for (found, expected) in [
            (
                volume("hashes_aa", &[], &[]),
                "244b26da0fb30ea394b67a8e5bf3ae6799d78c241ace432ec3fa6001e2cf1032",
            ),
            (
                volume("hashes_bb", &[("z", "1"), ("a", "x<y")], &[]),
                "5f4b9a538c77dc2d019dd5ec6d67a9eb4eb4fd3385c054eb5d2fdfe74eb6eb9c",
            ),
            (
                volume("chosen", &[], &options),
                "55d9266592d1fcf0572e11c23c9c1de8a47e147aefa3363b9ff00523a80ff675",
            ),
        ] {
            assert_eq!(found, expected);
        }
    }
}
