//! `stack kill`.

use clap::Args;

use super::choice;
use super::containers::{Listed, listed};
use super::context::Context;
use super::drive::drive;
use super::error::Result;
use super::project::Project;
use crate::control::{Command, Kind, Progress, ProgressState};
use crate::engine::native::observe_services;
use crate::ui::Terminal;

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
        let named = project.named(&self.services)?;
        let remove_orphans = self.remove_orphans
            || context
                .env("COMPOSE_REMOVE_ORPHANS")
                .is_some_and(|value| super::context::says_yes(&value));
        let services = match remove_orphans {
            true => Some(named),
            false => project.concerned(&self.services)?,
        };
        let Some(services) = services else {
            Terminal::say("No container to kill");
            return Ok(());
        };
        let observed = observe_services(&context.paths, &project.name, &services)?;
        let listed = listed(&observed, project.desired()?);
        let active = |listed: &&Listed| listed.state.is_active();
        let wanted: Vec<&Listed> = listed.iter().filter(active).collect();
        if wanted.is_empty() {
            Terminal::say("No container to kill");
            return Ok(());
        }
        if context.global.dry_run {
            rehearse(context, &wanted);
            return Ok(());
        }
        let command = Command::Kill {
            services,
            signal,
            remove_orphans,
        };
        drive(context, &project.name, &command, "kill")
    }
}

/// Shows what it would do.
fn rehearse(context: &Context, containers: &[&Listed]) {
    let mut progress = context.progress("");
    for listed in containers {
        for state in [ProgressState::Killing, ProgressState::Killed] {
            progress.rehearse(&Progress {
                kind: Kind::Container,
                name: listed.record().name.clone(),
                state,
                detail: None,
            });
        }
    }
}
