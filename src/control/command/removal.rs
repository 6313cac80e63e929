//! `rm`: what is removed, and what its service is to be without it.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::compose::model::ServiceName;
use crate::plan::Desired;

/// `rm`: containers that have ended, or were never started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Their ids.
    pub containers: Vec<String>,
    /// How many containers their services have left. What is gone is not made again: a service
    /// without any is forgotten.
    pub left: IndexMap<ServiceName, u32>,
    /// Services of the containers.
    pub services: Vec<ServiceName>,
    /// Their volumes without a name go too.
    pub volumes: bool,
}

impl Removal {
    pub(super) fn apply(&self, desired: &mut Desired) {
        for id in &self.containers {
            desired.removals.insert(id.clone(), self.volumes);
        }
        for (name, left) in &self.left {
            desired.keep(name, *left);
        }
    }
}
