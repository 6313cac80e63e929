//! `stack image prune`.

use clap::Args;
use jiff::Timestamp;

use crate::cli::cleaning::{Filters, prune_images, reclaimed};
use crate::cli::confirm::confirm;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::image::PruneRules;

/// Flags of `image prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove all images that no container was made of, not only those without a name.
    #[arg(short, long)]
    all: bool,
    /// Only these: `until=24h` or `until=TIME` (made before), `label=NAME[=VALUE]`, `label!=…`.
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image prune")?;
        context.require_root()?;
        let names = ["until", "label", "dangling"];
        let filters = Filters::parse(&self.filter, &names, Timestamp::now())?;
        let rules = PruneRules {
            all: self.all || filters.dangling == Some(false),
            before: filters.before,
            labels: filters.labels,
        };
        let warning = match rules.all {
            true => {
                "This will remove all images without at least one container associated to them."
            }
            false => "This will remove all dangling images.",
        };
        let mut out = std::io::stdout().lock();
        if !self.force && !confirm(warning)? {
            return reclaimed(0, &mut out);
        }
        let bytes = prune_images(context, &rules, &mut out)?;
        reclaimed(bytes, &mut out)
    }
}
