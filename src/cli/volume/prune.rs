//! `stack volume prune`.

use clap::Args;
use jiff::Timestamp;

use crate::cli::cleaning::{Cleaned, Only, Volumes, remove_volumes, unused_volumes, users_besides};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::Filters;
use crate::cli::prompt::confirm_removal;

/// Flags of `volume prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Those with a name, too.
    #[arg(short, long)]
    all: bool,
    /// Only those that fit: `label=KEY[=VALUE]`, `label!=…`, `all=BOOL`.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("volume prune")?;
        context.require_root()?;
        let filters = Filters::parse(&self.filter, &["label", "label!", "all"])?;
        let only = Only::of(&filters, Timestamp::now())?;
        let (which, what) = match self.all || filters.truth("all")? == Some(true) {
            true => (Volumes::All, "all volumes"),
            false => (Volumes::Anonymous, "all volumes without a name"),
        };
        let warning = format!("This will remove {what} that no container and no project uses.");
        confirm_removal(self.force, &warning, "volume prune")?;
        let mut cleaned = Cleaned::default();
        let users = users_besides(context, &[])?;
        let names = unused_volumes(context, &users, (which, &only))?;
        let removed = remove_volumes(context, names, &mut cleaned);
        cleaned.write(&mut std::io::stdout().lock())?;
        removed
    }
}
