//! Networks and volumes that people make, look at and remove by name, beside those of a stack file.
//!
//! What is made here belongs to no project: it is what `external: true` in a stack file means.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;

use super::observe::{objects, read_if_whole};
use super::volume::{make, remove};
use super::{network, new_id};
use crate::compose::model::{MountSource, Network, NetworkKey, Service, ServiceNetwork, Volume};
use crate::engine::EngineError;
use crate::plan::{Desired, Observed};
use crate::state::records::{NetworkRecord, VolumeRecord};
use crate::state::{Paths, read_json};

/// Names that mean something else wherever a network can be named.
const RESERVED: [&str; 4] = ["bridge", "host", "none", "default"];

/// Every volume of the machine, by name.
pub fn volumes(paths: &Paths) -> Result<Vec<VolumeRecord>, EngineError> {
    let mut records = Vec::new();
    for name in objects(&paths.volumes())? {
        records.extend(read_if_whole::<VolumeRecord>(
            &paths.volume(&name).join("volume.json"),
        )?);
    }
    Ok(records)
}

/// One volume of the machine, by its name.
pub fn volume(paths: &Paths, name: &str) -> Result<Option<VolumeRecord>, EngineError> {
    Ok(read_if_whole(&paths.volume(name).join("volume.json"))?)
}

/// Where the files of a volume are.
pub fn mountpoint(paths: &Paths, name: &str) -> PathBuf {
    paths.volume(name).join("data")
}

/// Makes a network that belongs to no project; `pools` replaces the default address pools.
pub fn create_network(
    paths: &Paths,
    wanted: &Network,
    pools: Option<&str>,
) -> Result<NetworkRecord, EngineError> {
    let name = &wanted.name;
    check_name("network", name)?;
    if RESERVED.contains(&name.as_str()) {
        return Err(EngineError::Value(format!(
            "network {name} cannot be made: the name has a meaning of its own"
        )));
    }
    let record = || read_json::<NetworkRecord>(&paths.network(name).join("network.json"));
    if record()?.is_some() {
        return Err(EngineError::Value(format!(
            "network with name {name} already exists"
        )));
    }
    network::create(paths, "", (&NetworkKey::new(""), wanted), pools)?;
    record()?.ok_or_else(|| EngineError::NoNetwork(name.clone()))
}

/// Makes a volume that belongs to no project. Without a name it gets one of its own, and counts as
/// one without. One that is there already is left as it is, as Docker does.
pub fn create_volume(paths: &Paths, wanted: &Volume) -> Result<String, EngineError> {
    if let Some(driver) = wanted.driver.as_deref().filter(|driver| *driver != "local") {
        return Err(EngineError::Value(format!(
            "there is no volume driver `{driver}`; there is only `local`"
        )));
    }
    let mut labels: std::collections::BTreeMap<String, String> = wanted
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let name = match wanted.name.as_str() {
        "" => {
            labels.insert(ANONYMOUS.to_owned(), String::new());
            new_id()
        }
        name => {
            check_name("volume", name)?;
            name.to_owned()
        }
    };
    make(
        paths,
        &VolumeRecord {
            version: 1,
            name: name.clone(),
            project: String::new(),
            key: String::new(),
            created: Timestamp::now(),
            config_hash: String::new(),
            options: wanted.driver_opts.clone(),
            labels,
        },
    )?;
    Ok(name)
}

/// The label of a volume that was made without a name.
pub const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Removes a network, whoever made it. That nobody uses it is for the caller to see to.
pub fn remove_network(paths: &Paths, name: &str) -> Result<(), EngineError> {
    network::remove(paths, name)
}

/// Removes a volume and what is in it. That nobody uses it is for the caller to see to.
pub fn remove_volume(paths: &Paths, name: &str) -> Result<(), EngineError> {
    remove(paths, name)
}

/// Docker's rule for names; none of them leads out of a directory.
fn check_name(kind: &str, name: &str) -> Result<(), EngineError> {
    let good = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    let starts_well = name.starts_with(|char: char| char.is_ascii_alphanumeric());
    if starts_well && name.chars().all(good) && name.len() <= 255 {
        return Ok(());
    }
    Err(EngineError::Value(format!(
        "`{name}` is no name for a {kind}: it begins with a letter or a digit, and letters, digits, \
         `_`, `.` and `-` follow"
    )))
}

/// Who uses networks and volumes.
#[derive(Debug, Default)]
pub struct Users {
    containers: Vec<User>,
    projects: Vec<Needs>,
}

/// Full names of what the services of a project have.
#[derive(Debug, Default)]
struct Needs {
    networks: BTreeSet<String>,
    volumes: BTreeSet<String>,
}

/// A container that uses networks and volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its project.
    pub project: String,
    /// Whether it was made by `run`.
    pub one_off: bool,
    networks: BTreeSet<String>,
    volumes: BTreeSet<String>,
}

impl Users {
    /// Those among these containers and projects.
    pub fn of(observed: &Observed, projects: &[Desired]) -> Self {
        let containers = observed.containers.values().map(|container| {
            let record = &container.record;
            let named = record.mounts.iter().filter(|mount| mount.kind == "volume");
            User {
                name: record.name.clone(),
                id: record.id.clone(),
                project: record.project.clone(),
                one_off: record.one_off,
                networks: record
                    .networks
                    .iter()
                    .map(|request| request.network.clone())
                    .collect(),
                volumes: named
                    .map(|mount| mount.name.clone())
                    .chain(record.anonymous_volumes.values().cloned())
                    .collect(),
            }
        });
        Self {
            containers: containers.collect(),
            projects: projects.iter().map(needs).collect(),
        }
    }

    /// The containers that are, or would be when started, on a network.
    pub fn of_network<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a User> {
        let uses = move |user: &&User| user.networks.contains(name);
        self.containers.iter().filter(uses)
    }

    /// The containers that have a volume.
    pub fn of_volume<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a User> {
        let uses = move |user: &&User| user.volumes.contains(name);
        self.containers.iter().filter(uses)
    }

    /// Whether a container has it, or a project that was brought up is going to.
    pub fn need_network(&self, name: &str) -> bool {
        let planned = |needs: &Needs| needs.networks.contains(name);
        self.of_network(name).next().is_some() || self.projects.iter().any(planned)
    }

    /// The same of a volume.
    pub fn need_volume(&self, name: &str) -> bool {
        let planned = |needs: &Needs| needs.volumes.contains(name);
        self.of_volume(name).next().is_some() || self.projects.iter().any(planned)
    }
}

/// What the services need that a project was brought up with.
fn needs(desired: &Desired) -> Needs {
    let services: Vec<&Service> = desired
        .services
        .values()
        .map(|service| &service.service)
        .collect();
    let networks = services.iter().flat_map(|service| match &service.network {
        ServiceNetwork::Networks(networks) => networks.keys().collect(),
        _ => Vec::new(),
    });
    let volumes = services
        .iter()
        .flat_map(|service| &service.volumes)
        .filter_map(|mount| match &mount.source {
            MountSource::Volume { volume, .. } => desired.volumes.get(volume),
            _ => None,
        });
    Needs {
        networks: networks
            .filter_map(|key| desired.networks.get(key))
            .map(|network| network.name.clone())
            .collect(),
        volumes: volumes.map(|volume| volume.name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_never_a_path() {
        for good in ["shared", "a", "0.b_c-d"] {
            assert!(check_name("volume", good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "-a", "a b", "ä", "a\0"] {
            assert!(check_name("volume", bad).is_err(), "{bad:?}");
        }
        assert!(check_name("volume", &"a".repeat(256)).is_err());
    }

    #[test]
    fn a_volume_without_a_name_gets_one_and_one_that_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::at(dir.path());
        let name = create_volume(&paths, &Volume::default()).unwrap();
        assert_eq!(name.len(), 64);
        let mut wanted = Volume {
            name: "data".to_owned(),
            ..Volume::default()
        };
        create_volume(&paths, &wanted).unwrap();
        std::fs::write(mountpoint(&paths, "data").join("x"), "kept").unwrap();
        wanted.labels.insert("a".to_owned(), "b".to_owned());
        create_volume(&paths, &wanted).unwrap();
        assert!(mountpoint(&paths, "data").join("x").exists());
        let all = volumes(&paths).unwrap();
        let anonymous = all.iter().find(|volume| volume.name == name).unwrap();
        assert!(anonymous.labels.contains_key(ANONYMOUS));
        let named = all.iter().find(|volume| volume.name == "data").unwrap();
        assert!(named.labels.is_empty() && named.project.is_empty());
        wanted.driver = Some("nfs".to_owned());
        assert!(create_volume(&paths, &wanted).is_err());
    }
}
