//! `stack restart`.

use clap::Args;

use super::choice::timeout;
use super::context::Context;
use super::drive::{drive, tell_hooks, warn};
use super::error::Result;
use super::project::Project;
use crate::compose::model::ServiceName;
use crate::control::Command;
use crate::plan::service_hash;

/// Flags of `restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Services to restart; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Time that containers are given to stop, in seconds.
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Do not restart services that depend on them with `restart: true`.
    #[arg(long)]
    no_deps: bool,
}

impl Restart {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let services = project.named(&self.services)?;
        if project.desired.is_none() {
            return Ok(());
        }
        let changed = changed_services(&project, &services);
        if !changed.is_empty() {
            let message = format!(
                "restart does not apply changes of the stack file, and there are some for: {}; run `stack up` for them",
                changed.join(", ")
            );
            warn(&message, context.terminal.stderr);
        }
        tell_hooks(context, &project)?;
        let command = Command::Restart {
            services,
            timeout: timeout(self.timeout),
            no_deps: self.no_deps,
        };
        drive(context, &project.name, &command, "restart")
    }
}

/// Services whose configuration in the stack file is another one than the recorded one.
fn changed_services(project: &Project, named: &[ServiceName]) -> Vec<String> {
    let (Some(loaded), Some(desired)) = (&project.loaded, &project.desired) else {
        return Vec::new();
    };
    let concerned = |name: &ServiceName| named.is_empty() || named.contains(name);
    let services = desired.services.iter().filter(|(name, _)| concerned(name));
    services
        .filter(|(name, recorded)| {
            let today = loaded.stack.services.get(*name);
            today.is_some_and(|today| service_hash(&loaded.stack, today) != recorded.hash)
        })
        .map(|(name, _)| name.to_string())
        .collect()
}
