//! `run`: one container beside the replicas of its service.

use serde::{Deserialize, Serialize};

use crate::compose::model::{Service, ServiceName, Stack};

/// `run`: one container of a service beside its replicas. `stack` and `service` have the command
/// line's changes in them already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OneOff {
    /// The whole model, for networks and volumes.
    pub stack: Stack,
    /// The service.
    pub service: ServiceName,
    /// Id of its image.
    pub image_id: String,
    /// Name of the container; `None` = `<project>-<service>-run-<random>`.
    pub name: Option<String>,
    /// Remove the container when it ends.
    pub auto_remove: bool,
    /// Start the program only when a client has attached.
    pub wait_attach: bool,
    /// It answers to the service's name and aliases on its networks.
    pub use_aliases: bool,
    /// Do not wait for dependencies.
    pub no_deps: bool,
}

impl OneOff {
    /// The model of its container.
    pub fn model(&self) -> Option<&Service> {
        self.stack.services.get(&self.service)
    }
}
