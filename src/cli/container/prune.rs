//! `stack container prune`.

use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;

use crate::cli::cleaning::{Cleaned, Only, ended, remove_ended};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::Filters;
use crate::cli::prompt::confirm_removal;

/// Flags of `container prune`.
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
    pub(super) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("container prune")?;
        context.require_root()?;
        let filters = Filters::parse(&self.filter, &["label", "label!", "until"])?;
        let only = Only::of(&filters, Timestamp::now())?;
        let warning = "This will remove all containers that have ended and that nobody is going to start again.";
        confirm_removal(self.force, warning, "container prune")?;
        let mut cleaned = Cleaned::default();
        let removed = remove_ended(context, ended(context, &only)?, &mut cleaned);
        let mut out = std::io::stdout().lock();
        cleaned.write(&mut out)?;
        out.flush()?;
        removed
    }
}
