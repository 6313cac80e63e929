//! `stack network prune`.

use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;

use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::Filters;
use crate::cli::objects::{confirm, users};
use crate::cli::time;
use crate::engine::native::networks;
use crate::engine::native::objects::remove_network;

/// Flags of `network prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Only those that fit: `label=KEY[=VALUE]`, `until=TIME`.
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
        let now = Timestamp::now();
        let until = match filters.values("until").first() {
            Some(text) => Some(time::point(text, now)?),
            None => None,
        };
        confirm(
            self.force,
            "WARNING! This will remove all networks that no container and no project uses.",
            "network prune",
        )?;
        let users = users(context)?;
        let mut removed = Vec::new();
        for record in networks(&context.paths)? {
            let fits =
                filters.labels(&record.labels) && until.is_none_or(|until| record.created <= until);
            if fits && !users.need_network(&record.name) {
                remove_network(&context.paths, &record.name)?;
                removed.push(record.name);
            }
        }
        if !removed.is_empty() {
            let mut out = std::io::stdout().lock();
            writeln!(out, "Deleted Networks:\n{}\n", removed.join("\n"))?;
        }
        Ok(())
    }
}
