//! `stack container`: single containers of any project, by name or id.
//!
//! What acts on containers tells the supervisor of their project, as the commands for services do; only what
//! reads is done here.

mod act;
mod diff;
mod files;
mod freeze;
mod inside;
mod inspect;
mod list;
mod look;
mod one;
mod prune;

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
    /// Join the terminal of a container that runs.
    Attach(inside::Attach),
    /// Show the processes of a container.
    Top(inside::Top),
    /// Show what containers use of the machine.
    Stats(look::Stats),
    /// Show where the ports of a container are published.
    Port(look::Port),
    /// Copy files into a container, or out of one.
    Cp(files::Cp),
    /// Show which files of a container are not as in its image.
    Diff(diff::Diff),
    /// Write the files of a container into an archive.
    Export(files::Export),
    /// Make an image of a container.
    Commit(files::Commit),
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
    /// Wait until containers have ended.
    Wait(look::Wait),
    /// Give a container another name.
    Rename(act::Rename),
    /// Remove containers that have ended.
    Prune(prune::Prune),
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
            Self::Attach(attach) => attach.run(context),
            Self::Top(top) => top.run(context),
            Self::Stats(stats) => stats.run(context),
            Self::Port(port) => port.run(context),
            Self::Cp(cp) => cp.run(context),
            Self::Diff(diff) => diff.run(context),
            Self::Export(export) => export.run(context),
            Self::Commit(commit) => commit.run(context),
            Self::Start(start) => start.run(context),
            Self::Stop(stop) => stop.stop(context),
            Self::Restart(stop) => stop.restart(context),
            Self::Kill(kill) => kill.run(context),
            Self::Pause(freeze) => freeze.pause(context),
            Self::Unpause(freeze) => freeze.unpause(context),
            Self::Wait(wait) => wait.run(context),
            Self::Rename(rename) => rename.run(context),
            Self::Prune(prune) => prune.run(context),
            Self::Rm(remove) => remove.run(context),
        }
    }
}
