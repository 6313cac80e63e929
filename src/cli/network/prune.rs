//! `stack network prune`.

use clap::Args;
use jiff::Timestamp;

use crate::cli::cleaning::{Cleaned, Only, remove_networks, unused_networks, users_besides};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::Filters;
use crate::cli::prompt::confirm_removal;

/// Flags of `network prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only those that fit: `label=KEY[=VALUE]`, `label!=…`, `until=TIME`.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("network prune")?;
        context.require_root()?;
        let filters = Filters::parse(&self.filter, &["label", "label!", "until"])?;
        let only = Only::of(&filters, Timestamp::now())?;
        let warning = "This will remove all networks that no container and no project uses.";
        confirm_removal(self.force, warning, "network prune")?;
        let mut cleaned = Cleaned::default();
        let names = unused_networks(context, &users_besides(context, &[])?, &only)?;
        let removed = remove_networks(context, names, &mut cleaned);
        cleaned.list(&mut std::io::stdout().lock())?;
        removed
    }
}
