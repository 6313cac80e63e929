//! `stack start`.

use std::time::Duration;

use clap::Args;

use super::context::Context;
use super::drive::drive_within;
use super::error::{Error, Result};
use super::project::Project;
use crate::compose::model::ServiceName;
use crate::control::Command;

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
        let services = with_dependencies(&project, project.named(&self.services)?);
        let recorded = project.desired.as_ref().map(|desired| &desired.services);
        let missing = services
            .iter()
            .find(|service| recorded.is_none_or(|recorded| !recorded.contains_key(*service)));
        let none = recorded.is_none_or(indexmap::IndexMap::is_empty);
        let what = match missing {
            Some(service) => Some(format!("service \"{service}\" has no container to start")),
            None if none => Some(format!(
                "no container found for project \"{}\": not found",
                project.name
            )),
            None => None,
        };
        if let Some(what) = what {
            return Err(
                Error::new(what).hint("make its containers with `stack up` or `stack create`")
            );
        }
        let command = Command::Start {
            services,
            wait: self.wait,
        };
        let limit = self.wait_timeout.filter(|seconds| *seconds > 0);
        let limit = limit.map(Duration::from_secs);
        drive_within(context, &project.name, &command, ("start", limit))
    }
}

/// Services and all that they need, as it was recorded.
fn with_dependencies(project: &Project, mut services: Vec<ServiceName>) -> Vec<ServiceName> {
    let Some(desired) = &project.desired else {
        return services;
    };
    let mut next = 0;
    while let Some(service) = services.get(next) {
        let needed = desired.services.get(service);
        let needed = needed
            .into_iter()
            .flat_map(|desired| &desired.service.depends_on);
        let needed = needed.filter(|(name, _)| desired.services.contains_key(*name));
        let new: Vec<ServiceName> = needed
            .filter(|(name, _)| !services.contains(name))
            .map(|(name, _)| name.clone())
            .collect();
        services.extend(new);
        next += 1;
    }
    services
}
