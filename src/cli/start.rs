//! `stack start`.

use std::time::Duration;

use clap::Args;

use super::context::Context;
use super::drive::drive_within;
use super::error::{Error, Result};
use super::project::Project;
use crate::compose::model::ServiceName;
use crate::control::Command;
use crate::engine::native::observe_services;

/// Flags of `start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Services to start; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Wait until they run or are healthy.
    #[arg(long)]
    wait: bool,
    /// Longest time to wait, in seconds.
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    wait_timeout: Option<u64>,
}

impl Start {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let named = project.named(&self.services)?;
        let observed = observe_services(&context.paths, &project.name, &[])?;
        let mut containers = observed.containers.values();
        if !containers.any(|container| !container.record.one_off) {
            return nothing_to_start(&project, &named);
        }
        let Some(services) = project.concerned(&self.services)? else {
            return Ok(());
        };
        let command = Command::Start {
            services,
            wait: self.wait,
        };
        let limit = self.wait_timeout.filter(|seconds| *seconds > 0);
        let limit = limit.map(Duration::from_secs);
        drive_within(context, &project.name, &command, ("start", limit))
    }
}

/// What comes of it where the project has no container: a failure of the first service, as in Docker
/// Compose, unless its file has none that is switched on.
fn nothing_to_start(project: &Project, named: &[ServiceName]) -> Result<()> {
    let first = named.first().or(project.switched_on().first());
    let what = match first {
        Some(service) => format!("service \"{service}\" has no container to start"),
        None if project.has_file() => return Ok(()),
        None => format!(
            "no container found for project \"{}\": not found",
            project.name
        ),
    };
    Err(Error::new(what).hint("make its containers with `stack up` or `stack create`"))
}
