//! `x-stack`: what this program does beyond the Compose Specification, said in a place that other
//! tools leave alone.

use std::collections::BTreeSet;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::ServiceName;

/// `services.<name>.x-stack`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct XStack {
    /// How readiness is found without a program in the image; it takes the place of the health check.
    pub ready: Option<Ready>,
    /// What happens when a container turns unhealthy.
    pub on_unhealthy: OnUnhealthy,
    /// What restarts the service besides commands: dependency → events.
    pub follow: IndexMap<ServiceName, BTreeSet<Follow>>,
    /// How its programs are told that a config or secret has another content; `None`: containers are
    /// replaced.
    pub reload: Option<Reload>,
}

/// How a program is told that a config or a secret it was given has another content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reload {
    /// By this signal, given by its number.
    Signal(i32),
    /// By a program that runs in the container.
    Exec(Vec<String>),
    /// By being stopped and started.
    Restart,
}

impl std::fmt::Display for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(*number) {
                Ok(signal) => write!(f, "send {signal}"),
                Err(_) => write!(f, "send signal {number}"),
            },
            Self::Exec(words) => write!(f, "run `{}`", words.join(" ")),
            Self::Restart => f.write_str("restart it"),
        }
    }
}

/// A health check that the supervisor makes itself. Durations that are `None` take the defaults of
/// health checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// What is looked at.
    pub probe: ReadyProbe,
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

/// What tells that a program is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadyProbe {
    /// It accepts connections on this port.
    Tcp(u16),
    /// It answers `GET path` on this port with a status from 200 to 399.
    Http {
        /// The port.
        port: u16,
        /// Path and query, with the leading slash.
        path: String,
    },
    /// A line of its output matches this regular expression; once is enough for the run.
    Log(String),
}

/// What happens when a container turns unhealthy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnhealthy {
    /// Nothing: it is shown, and dependents that wait for it wait on.
    #[default]
    None,
    /// It is stopped and started.
    Restart,
    /// This program runs in it, once for each time it turns unhealthy.
    Exec(Vec<String>),
}

/// What may happen to a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Follow {
    /// A new container takes the place of one, or a command restarts it.
    Replaced,
    /// It is started again, for whatever reason.
    Restarted,
    /// It turns unhealthy.
    Unhealthy,
}

impl Follow {
    /// All of them, with their words.
    pub const ALL: [(&'static str, Self); 3] = [
        ("replaced", Self::Replaced),
        ("restarted", Self::Restarted),
        ("unhealthy", Self::Unhealthy),
    ];
}

impl std::fmt::Display for ReadyProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(port) => write!(f, "a connection to port {port}"),
            Self::Http { port, path } => write!(f, "GET {path} on port {port}"),
            Self::Log(pattern) => write!(f, "a line of output that matches `{pattern}`"),
        }
    }
}
