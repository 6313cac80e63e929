//! `stack pause` and `stack unpause`.
//!
//! The freezer of a container's cgroup is all there is to it: no process is asked, and the
//! supervisor sees the state where everybody else does, in the kernel.

use clap::Args;

use super::containers::{self, cgroup};
use super::context::Context;
use super::error::{Error, Result};
use super::project::Project;
use crate::plan::{ObservedContainer, Phase};
use crate::state::journal::{Entry, note};

/// Flags of `pause`.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Services to freeze; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

/// Flags of `unpause`.
#[derive(Debug, Args)]
pub(crate) struct Unpause {
    /// Services to thaw; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    /// They stand still.
    Frozen,
    /// They go on.
    Thawed,
}

impl Pause {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        change(context, &self.services, To::Frozen)
    }
}

impl Unpause {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        change(context, &self.services, To::Thawed)
    }
}

fn change(context: &Context, names: &[String], to: To) -> Result<()> {
    let dry_run = context.global.dry_run;
    if !dry_run {
        context.require_root()?;
    }
    let project = Project::find(context)?;
    let Some(services) = project.concerned(names)? else {
        return Ok(());
    };
    let mut progress = context.progress(match to {
        To::Frozen => "pause",
        To::Thawed => "unpause",
    });
    let mut errors = Vec::new();
    for container in containers::of_services(context, &project.name, &services)? {
        let concerned = match to {
            To::Frozen => matches!(container.phase, Phase::Running { .. }),
            To::Thawed => matches!(container.phase, Phase::Paused { .. }),
        };
        if !concerned {
            let name = &container.record.name;
            match (to, &container.phase) {
                _ if names.is_empty() => {}
                (To::Frozen, Phase::Paused { .. }) => {
                    errors.push(format!("container {name} is already paused"));
                }
                (To::Thawed, Phase::Running { .. }) => {
                    errors.push(format!("container {name} is not paused"));
                }
                _ => {}
            }
            continue;
        }
        let name = &container.record.name;
        let done = match dry_run {
            true => Ok(()),
            false => turn(context, &container, to),
        };
        match (done, to) {
            (Ok(()), To::Frozen) => progress.note(&format!("Container {name} Paused")),
            (Ok(()), To::Thawed) => progress.note(&format!("Container {name} Unpaused")),
            (Err(error), _) => errors.push(error),
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Error::several(errors)),
    }
}

/// Freezes the processes of a container, or lets them go on; why that cannot be done.
pub(super) fn turn(context: &Context, container: &ObservedContainer, to: To) -> Result<(), String> {
    let record = &container.record;
    let result = cgroup(record).and_then(|cgroup| match to {
        To::Frozen => cgroup.freeze(),
        To::Thawed => cgroup.thaw(),
    });
    result.map_err(|error| format!("container {}: {error}", record.name))?;
    let action = match to {
        To::Frozen => "pause",
        To::Thawed => "unpause",
    };
    note(&context.paths, &Entry::of(record, action));
    Ok(())
}
