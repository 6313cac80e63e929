//! `stack kill`.

use clap::Args;

use super::choice;
use super::context::Context;
use super::drive::drive;
use super::error::{Error, Result};
use super::project::Project;
use crate::control::Command;

/// Flags of `kill`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// Services to signal; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// The signal, by name or number.
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL")]
    signal: String,
    /// Containers of services that the stack file does not have, too.
    #[arg(long)]
    remove_orphans: bool,
}

impl Kill {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let signal = choice::signal(&self.signal)?;
        let project = Project::find(context)?;
        let services = project.named(&self.services)?;
        if project.desired.is_none() {
            return Err(Error::new("no container to kill"));
        }
        let command = Command::Kill {
            services,
            signal,
            remove_orphans: self.remove_orphans,
        };
        drive(context, &project.name, &command, "kill")
    }
}
