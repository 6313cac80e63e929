//! What a person asks of a project, and what that makes of the desired state.
//!
//! Owns [`Command`], which travels from the command line to the supervisor as JSON, and what each of its
//! kinds does to [`Desired`]: `Command` × `Desired` × time → `Desired`. Never looks at a container: a
//! command is applied alike whatever runs, and the plan finds out what is left to do.
//!
//! What is asked for is written down as a state or as a moment ("restarted before"), never as a deed to be
//! done. What is no state at all (a signal, a one-off container) changes little here; the reconciler does it.

mod one_off;
mod removal;
mod single;
mod up;

pub use one_off::OneOff;
pub use removal::Removal;
pub use single::{Act, Single};
pub use up::{Recreate, Up, pre_stop};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Edit;
use crate::compose::model::{Follow, Hook, ServiceName};
use crate::plan::{Desired, DesiredService, Down, Run, Sweep, follows};

/// What a person asks of a project.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Make the machine match a stack.
    Up(Box<Up>),
    /// Apply an edit of the stack file that is followed.
    Edit(Box<Edit>),
    /// Start what exists.
    Start {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// Report only when everything is healthy too.
        wait: bool,
    },
    /// Stop what runs.
    Stop {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// Time to stop in; `None` = each container's own.
        timeout: Option<Duration>,
    },
    /// Stop and start.
    Restart {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// Time to stop in; `None` = each container's own.
        timeout: Option<Duration>,
        /// Leave dependents with `restart: true` alone.
        no_deps: bool,
    },
    /// Send a signal.
    Kill {
        /// Which; empty = all.
        services: Vec<ServiceName>,
        /// The signal's number.
        signal: i32,
        /// Containers of services that the stack file has no more, too.
        remove_orphans: bool,
    },
    /// Remove containers that do not run.
    Remove(Removal),
    /// Do something to one container.
    Single(Single),
    /// Remove everything that was made for the project.
    Down {
        /// Volumes too.
        volumes: bool,
        /// Time to stop in; `None` = each container's own.
        timeout: Option<Duration>,
        /// Only these services' containers, and what nobody uses then; empty = the whole project.
        services: Vec<ServiceName>,
    },
    /// Note what runs in containers before they are stopped, for the next command that stops some.
    Note {
        /// `pre_stop` of the services of today's stack file.
        pre_stop: BTreeMap<ServiceName, Vec<Hook>>,
    },
    /// Make a one-off container of a service and start it.
    Run(Box<OneOff>),
    /// Remove a container that was made by `Run`, stopping it first.
    RemoveOneOff {
        /// Its id.
        id: String,
    },
}

impl Command {
    /// What the command makes of the desired state.
    ///
    /// `now` becomes the time before which ends are started again and failures forgotten. Services
    /// that the command does not name stay as they are.
    pub fn apply(&self, desired: &mut Desired, now: Timestamp) {
        if !matches!(self, Self::Note { .. }) {
            desired.sweep = None;
        }
        match self {
            Self::Up(up) => up.apply(desired, now),
            Self::Edit(edit) => edit.apply(desired, now),
            Self::Start { services, .. } => {
                let services = with_dependencies(desired, services);
                each(desired, &services, |service| {
                    service.run = Run::Running;
                    service.since = now;
                });
            }
            Self::Stop { services, timeout } => each(desired, services, |service| {
                service.run = Run::Stopped;
                service.since = now;
                service.timeout = *timeout;
            }),
            Self::Restart {
                services,
                timeout,
                no_deps,
            } => restart(desired, services, (*timeout, *no_deps), now),
            // A signal is sent, and nothing is wanted from then on.
            Self::Kill { .. } => {}
            Self::Remove(removal) => removal.apply(desired),
            Self::Single(single) => single.apply(desired, now),
            Self::Down {
                volumes,
                timeout,
                services,
            } => down(desired, services, (*volumes, *timeout)),
            Self::Run(one_off) => desired.adopt(&one_off.stack),
            Self::Note { pre_stop } => desired.pre_stop.clone_from(pre_stop),
            Self::RemoveOneOff { .. } => {}
        }
    }

    /// What a person types for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up(up) if up.no_start => "create",
            Self::Up(_) | Self::Edit(_) => "up",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Kill { .. } => "kill",
            Self::Down { .. } => "down",
            Self::Run(_) => "run",
            Self::Remove(_) | Self::RemoveOneOff { .. } => "rm",
            Self::Single(single) => single.name(),
            Self::Note { .. } => "note",
        }
    }

    /// The services that the command is about; empty = all of the project.
    pub fn services(&self) -> &[ServiceName] {
        match self {
            Self::Up(up) => &up.services,
            Self::Edit(edit) => &edit.touched,
            Self::Start { services, .. }
            | Self::Stop { services, .. }
            | Self::Restart { services, .. }
            | Self::Kill { services, .. }
            | Self::Down { services, .. } => services,
            Self::Remove(removal) => &removal.services,
            Self::Single(single) => std::slice::from_ref(&single.service),
            Self::Note { .. } | Self::Run(_) | Self::RemoveOneOff { .. } => &[],
        }
    }
}

/// Services with all that they depend on, as far as it was brought up (Docker Compose starts that,
/// too); empty = all stays empty.
pub(super) fn with_dependencies(desired: &Desired, services: &[ServiceName]) -> Vec<ServiceName> {
    let mut all = services.to_vec();
    let mut next = 0;
    while let Some(name) = all.get(next) {
        let found = desired.services.get(name);
        let needed: Vec<ServiceName> = found
            .into_iter()
            .flat_map(|found| found.service.depends_on.keys())
            .filter(|needed| desired.services.contains_key(*needed) && !all.contains(needed))
            .cloned()
            .collect();
        all.extend(needed);
        next += 1;
    }
    all
}

fn each(
    desired: &mut Desired,
    services: &[ServiceName],
    mut change: impl FnMut(&mut DesiredService),
) {
    desired.ask_all(|name| services.is_empty() || services.contains(name));
    for (name, service) in &mut desired.services {
        if services.is_empty() || services.contains(name) {
            change(service);
        }
    }
}

fn restart(
    desired: &mut Desired,
    services: &[ServiceName],
    (timeout, no_deps): (Option<Duration>, bool),
    now: Timestamp,
) {
    let mut named: BTreeSet<ServiceName> = desired
        .services
        .keys()
        .filter(|name| services.is_empty() || services.contains(name))
        .cloned()
        .collect();
    // What depends on those that depend on them, too, as with Docker Compose.
    let mut more = !no_deps;
    while more {
        let is_new = |name: &ServiceName, service: &DesiredService| {
            let mut edges = service.service.depends_on.keys();
            let model = &service.service;
            let follows =
                edges.any(|to| named.contains(to) && follows(model, to, Follow::Replaced));
            service.run == Run::Running && follows && !named.contains(name)
        };
        let found = desired
            .services
            .iter()
            .find(|(name, service)| is_new(name, service));
        match found {
            Some((name, _)) => drop(named.insert(name.clone())),
            None => more = false,
        }
    }
    desired.ask_all(|name| named.contains(name));
    for name in named {
        if let Some(service) = desired.services.get_mut(&name) {
            service.run = Run::Running;
            service.since = now;
            service.restart_before = Some(now);
            service.timeout = timeout;
        }
    }
}

fn down(
    desired: &mut Desired,
    services: &[ServiceName],
    (volumes, timeout): (bool, Option<Duration>),
) {
    if services.is_empty() {
        desired.down = Some(Down { volumes, timeout });
    } else {
        desired.ask_all(|name| services.contains(name));
        // Containers without a service of the model are removed: exactly what is asked for.
        desired.services.retain(|name, _| !services.contains(name));
        desired.sweep = Some(Sweep { volumes });
    }
}

#[cfg(test)]
mod tests;
