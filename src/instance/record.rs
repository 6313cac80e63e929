//! What is kept of an instance: `projects/<project>/instance.json`. It goes with the project.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ports::Given;
use super::subnets::GivenSubnet;
use crate::compose::Instance;
use crate::state::{Lock, Paths, StateError, read_json, write_json};

/// What is kept of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Format; 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// The project that it is a copy of.
    pub of: String,
    /// The project's directory.
    pub working_dir: PathBuf,
    /// Ports of the host that its services were given.
    pub ports: Vec<Given>,
    /// Address ranges that its networks were given, of those that the file gives one.
    #[serde(default)]
    pub subnets: Vec<GivenSubnet>,
}

impl Record {
    /// A record of an instance with no port.
    pub fn new(instance: &Instance, working_dir: &Path) -> Self {
        Self {
            version: 1,
            name: instance.name.clone(),
            of: instance.of.clone(),
            working_dir: working_dir.to_owned(),
            ports: Vec::new(),
            subnets: Vec::new(),
        }
    }

    /// What is kept of a project; `None` when it is no instance, or was not brought up.
    pub fn read(paths: &Paths, project: &str) -> Result<Option<Self>, StateError> {
        read_json(&path(paths, project))
    }

    /// Writes it down.
    pub fn write(&self, paths: &Paths, project: &str) -> Result<(), StateError> {
        let path = path(paths, project);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|error| StateError::io("make", dir, error))?;
        }
        write_json(&path, self)
    }

    /// Keeps others from being given ports.
    pub fn lock(paths: &Paths) -> Result<Lock, StateError> {
        Lock::acquire(&paths.run().join("instances.lock"))
    }
}

fn path(paths: &Paths, project: &str) -> PathBuf {
    paths.project(project).join("instance.json")
}
