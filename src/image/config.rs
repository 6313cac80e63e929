//! The configuration of an image: reading it, and changing it on import.

use serde::{Deserialize, Serialize};

/// A health check as images carry it: Docker's extension of the OCI image configuration.
///
/// Durations are nanoseconds; 0 = not given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]`, `["CMD-SHELL", line]`; empty = inherit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between probes.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Time a probe may take.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time at the start in which failures do not count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between probes within the start period.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// One change of an image's configuration, as `docker import --change` takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigChange {
    /// `CMD`.
    Cmd(Vec<String>),
    /// `ENTRYPOINT`.
    Entrypoint(Vec<String>),
    /// `ENV name=value`.
    Env {
        /// Name of the variable.
        name: String,
        /// Its value.
        value: String,
    },
    /// `EXPOSE 80/tcp`.
    Expose(String),
    /// `USER`.
    User(String),
    /// `WORKDIR`.
    Workdir(String),
    /// `VOLUME`.
    Volume(String),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `LABEL name=value`.
    Label {
        /// Name of the label.
        name: String,
        /// Its value.
        value: String,
    },
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
}

impl ConfigChange {
    /// Reads one instruction in the words of a Dockerfile; `ENV`, `LABEL`, `EXPOSE` and `VOLUME` may
    /// hold several settings, so one line gives a list.
    pub fn parse(line: &str) -> super::Result<Vec<Self>> {
        todo!("{line}")
    }
}
