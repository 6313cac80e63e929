//! `stack volume`: volumes of the machine, one file per sub-command.

pub(super) mod changed;
mod create;
mod inspect;
mod list;
mod prune;
mod remove;

use clap::Subcommand;

pub(super) use inspect::document;
pub(super) use list::Row;

use super::context::Context;
use super::error::Result;

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Volume {
    /// List volumes.
    #[command(visible_alias = "list")]
    Ls(list::List),
    /// Show all that is known of volumes, as JSON.
    Inspect(inspect::Inspect),
    /// Make a volume that stack files can use as `external`.
    Create(create::Create),
    /// Remove volumes that nobody uses, and what is in them.
    #[command(visible_alias = "remove")]
    Rm(remove::Remove),
    /// Remove all volumes without a name that no container and no project uses.
    Prune(prune::Prune),
}

impl Volume {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Ls(list) => list.run(context),
            Self::Inspect(inspect) => inspect.run(context),
            Self::Create(create) => create.run(context),
            Self::Rm(remove) => remove.run(context),
            Self::Prune(prune) => prune.run(context),
        }
    }
}
