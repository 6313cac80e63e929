//! `stack container`: single containers of any project, by name or id.

mod inspect;
mod list;

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
}

impl Container {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Ls(list) => list.run(context),
            Self::Inspect(inspect) => inspect.run(context),
        }
    }
}
