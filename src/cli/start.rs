//! `stack start`.

use std::time::Duration;

use clap::Args;

use super::context::{Context, Warnings};
use super::drive::drive_within;
use super::error::{Error, Result};
use super::project::Project;
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
        let services = project.named(&self.services)?;
        let recorded = project.desired()?.map(|desired| &desired.services);
        let missing = services
            .iter()
            .find(|service| recorded.is_none_or(|recorded| !recorded.contains_key(*service)));
        let none = recorded.is_none_or(indexmap::IndexMap::is_empty);
        let what = match missing {
            Some(service) => Some(format!("service \"{service}\" has no container to start")),
            None if none => Some(nothing_of(context, &project)),
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

/// What is said of a project without containers: of its first service, as Docker Compose does, where its
/// file says what that is.
fn nothing_of(context: &Context, project: &Project) -> String {
    let loaded = project.has_file().then(|| context.load(Warnings::Hidden));
    let loaded = loaded.and_then(Result::ok);
    let services = loaded.as_ref().map(|loaded| &loaded.stack.services);
    match services.and_then(|services| services.keys().next()) {
        Some(service) => format!("service \"{service}\" has no container to start"),
        None => format!(
            "no container found for project \"{}\": not found",
            project.name
        ),
    }
}
