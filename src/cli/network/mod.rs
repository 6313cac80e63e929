//! `stack network`: networks of the machine, one file per sub-command.

mod create;
mod inspect;
mod list;
mod prune;
mod remove;

use clap::Subcommand;

pub(super) use inspect::document;

use super::context::Context;
use super::error::{Error, Result};
use crate::state::records::NetworkRecord;

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    /// List networks.
    #[command(visible_alias = "list")]
    Ls(list::List),
    /// Show all that is known of networks, as JSON.
    Inspect(inspect::Inspect),
    /// Make a network that stack files can use as `external`.
    Create(create::Create),
    /// Remove networks that nobody uses.
    #[command(visible_alias = "remove")]
    Rm(remove::Remove),
    /// Remove all networks that no container and no project uses.
    Prune(prune::Prune),
}

impl Network {
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

/// The network that a user means by its name, id, or the first digits of its id.
pub(super) fn find<'a>(all: &'a [NetworkRecord], text: &str) -> Result<Option<&'a NetworkRecord>> {
    let exact = |record: &&NetworkRecord| record.name == text || record.id == text;
    if let Some(record) = all.iter().find(exact) {
        return Ok(Some(record));
    }
    let mut alike = all.iter().filter(|record| record.id.starts_with(text));
    match (alike.next(), alike.next()) {
        _ if text.is_empty() => Ok(None),
        (found, None) => Ok(found),
        _ => Err(Error::new(format!(
            "several networks have ids that begin with {text}; give more digits"
        ))),
    }
}
