//! `stack stop`.

use clap::Args;

use super::choice::timeout;
use super::context::Context;
use super::drive::{drive, tell_hooks};
use super::error::Result;
use super::project::Project;
use super::provider;
use crate::control::Command;

/// Flags of `stop`.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Services to stop; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Time that containers are given to stop, in seconds.
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
}

impl Stop {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let named = project.named(&self.services)?;
        if project.has_providers() {
            let (_, loaded) = Project::find_with_stack(context)?;
            provider::stop(context, loaded.as_ref(), &named)?;
        }
        let Some(services) = project.concerned(&self.services)? else {
            return Ok(());
        };
        if !project.was_up() {
            return Ok(());
        }
        if project.has_stop_hooks()? {
            let (project, loaded) = Project::find_with_stack(context)?;
            tell_hooks(context, &project, loaded.as_ref())?;
        }
        let command = Command::Stop {
            services,
            timeout: timeout(self.timeout),
        };
        drive(context, &project.name, &command, "stop")
    }
}
