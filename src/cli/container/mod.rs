//! `stack container`: single containers of any project, by name or id.
//!
//! What acts on containers tells the supervisor of their project, as the commands for services do; only what
//! reads is done here.

mod act;
mod freeze;
mod inside;
mod inspect;
mod list;
mod one;

use clap::Subcommand;

use super::context::Context;
use super::error::Result;

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Container {
    /// List containers of all projects.
    #[command(visible_aliases = ["ps", "list"])]
    Ls(list::List),
    /// Show all that is known of containers, as JSON.
    Inspect(inspect::Inspect),
    /// Show the output of a container.
    Logs(inside::Logs),
    /// Run a program in a container that runs.
    Exec(inside::Exec),
    /// Start containers.
    Start(act::Start),
    /// Stop containers.
    Stop(act::Stop),
    /// Stop containers and start them again.
    Restart(act::Stop),
    /// Send a signal to containers.
    Kill(act::Kill),
    /// Freeze the processes of containers.
    Pause(freeze::Freeze),
    /// Let the processes of containers go on.
    Unpause(freeze::Freeze),
    /// Remove containers.
    #[command(visible_alias = "remove")]
    Rm(act::Remove),
}

impl Container {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Ls(list) => list.run(context),
            Self::Inspect(inspect) => inspect.run(context),
            Self::Logs(logs) => logs.run(context),
            Self::Exec(exec) => exec.run(context),
            Self::Start(start) => start.run(context),
            Self::Stop(stop) => stop.stop(context),
            Self::Restart(stop) => stop.restart(context),
            Self::Kill(kill) => kill.run(context),
            Self::Pause(freeze) => freeze.pause(context),
            Self::Unpause(freeze) => freeze.unpause(context),
            Self::Rm(remove) => remove.run(context),
        }
    }
}
