//! Why a step is done.

use std::fmt;
use std::time::Duration;

use crate::compose::model::ServiceName;

use super::Exit;

/// Why a step is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// It is in the model and not on the machine.
    Missing,
    /// It was made and has not been started.
    NotStarted,
    /// It ended before the last command, which wants it running.
    NotRunning(Exit),
    /// Its configuration is another one now; these parts changed.
    ConfigChanged(Vec<String>),
    /// Configs or secrets that it was given have another content; these.
    ContentChanged(Vec<String>),
    /// Its image is another one now.
    ImageChanged,
    /// The command asked for a new one.
    ForceRecreate,
    /// The command asked for a restart.
    RestartRequested,
    /// The command asked for it to stop.
    StopRequested,
    /// The command asked for another name.
    RenameRequested,
    /// The command asked for it to be removed.
    RemoveRequested,
    /// It takes the place of another container.
    Replaces(String),
    /// Another container takes its place.
    ReplacedBy(String),
    /// The update of its service is taken back: why.
    RolledBack(String),
    /// The container whose name it is to have is gone.
    InPlace,
    /// There are more replicas than asked for.
    ScaledDown {
        /// Replicas asked for.
        to: u32,
    },
    /// No service of the model has it.
    Orphan,
    /// The whole project goes.
    Down,
    /// Its restart policy.
    Restart {
        /// The policy, as written in a stack file.
        policy: String,
        /// How it ended.
        exit: Exit,
        /// Number of this attempt, from 1.
        attempt: u32,
        /// Time waited before it.
        delay: Duration,
    },
    /// It was stopped in order to be started again.
    Resumed,
    /// Its health check fails, and it is to be restarted then.
    Unhealthy,
    /// A dependency that it follows is about to be replaced.
    DependencyReplaced(ServiceName),
    /// A dependency that it follows was replaced, or restarted by a command.
    DependencyRestarted(ServiceName),
    /// A dependency that it follows was started again, for whatever reason.
    DependencyStartedAgain(ServiceName),
    /// A dependency that it follows turned unhealthy.
    DependencyUnhealthy(ServiceName),
    /// The service whose namespaces it shares has a new container.
    NamespaceOwnerRestarted(ServiceName),
    /// The service whose namespaces or volumes it shares has a new container.
    OwnerReplaced(ServiceName),
    /// A network it is on is made anew.
    NetworkChanged(String),
    /// A volume it has is made anew.
    VolumeChanged(String),
    /// The services that used it are gone.
    Unused,
    /// It belongs to a container that ended and was to be removed (`run --rm`).
    OneOffEnded,
    /// A service needs it.
    NeededBy(ServiceName),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it does not exist"),
            Self::NotStarted => f.write_str("it has not been started"),
            Self::NotRunning(exit) => write!(f, "it {exit}"),
            Self::ConfigChanged(parts) if parts.is_empty() => {
                f.write_str("its configuration changed")
            }
            Self::ConfigChanged(parts) => {
                write!(f, "its configuration changed: {}", parts.join(", "))
            }
            Self::ContentChanged(files) => {
                write!(f, "it has another content now: {}", files.join(", "))
            }
            Self::ImageChanged => f.write_str("its image changed"),
            Self::ForceRecreate => f.write_str("a new one was asked for"),
            Self::RestartRequested => f.write_str("a restart was asked for"),
            Self::StopRequested => f.write_str("it was asked to stop"),
            Self::RenameRequested => f.write_str("another name was asked for"),
            Self::RemoveRequested => f.write_str("it was asked to go"),
            Self::Replaces(reason) => write!(f, "it takes the place of the old one: {reason}"),
            Self::ReplacedBy(reason) => write!(f, "a new one takes its place: {reason}"),
            Self::RolledBack(reason) => write!(f, "the update is rolled back: {reason}"),
            Self::InPlace => f.write_str("the one that it takes the place of is gone"),
            Self::ScaledDown { to: 1 } => f.write_str("only 1 replica is asked for"),
            Self::ScaledDown { to } => write!(f, "only {to} replicas are asked for"),
            Self::Orphan => f.write_str("the stack file has no such service"),
            Self::Down => f.write_str("the project goes down"),
            Self::Restart {
                policy,
                exit,
                attempt,
                delay,
            } => write!(
                f,
                "it {exit} and has `restart: {policy}` (attempt {attempt}, after {} ms)",
                delay.as_millis()
            ),
            Self::Resumed => f.write_str("it was stopped to be started again"),
            Self::Unhealthy => f.write_str("it is unhealthy and has `on_unhealthy: restart`"),
            Self::DependencyReplaced(service) => {
                write!(f, "{service}, which it follows, is replaced")
            }
            Self::DependencyRestarted(service) => {
                write!(
                    f,
                    "{service}, which it depends on with `restart: true`, was restarted"
                )
            }
            Self::DependencyStartedAgain(service) => {
                write!(f, "{service}, which it follows, was started again")
            }
            Self::DependencyUnhealthy(service) => {
                write!(f, "{service}, which it follows, turned unhealthy")
            }
            Self::NamespaceOwnerRestarted(service) => {
                write!(
                    f,
                    "{service}, whose namespaces it shares, was started again"
                )
            }
            Self::OwnerReplaced(service) => {
                write!(
                    f,
                    "{service}, whose namespaces or volumes it shares, is replaced"
                )
            }
            Self::NetworkChanged(network) => write!(f, "network {network} is made anew"),
            Self::VolumeChanged(volume) => write!(f, "volume {volume} is made anew"),
            Self::Unused => f.write_str("no service is left that uses it"),
            Self::OneOffEnded => f.write_str("it ended and was to be removed then"),
            Self::NeededBy(service) => write!(f, "{service} needs it"),
        }
    }
}
