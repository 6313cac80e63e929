//! `stack image prune`.

use clap::Args;
use jiff::Timestamp;

use crate::cli::cleaning::{Cleaned, remove_images};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::Filters;
use crate::cli::prompt::confirm_removal;
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
        let names = ["until", "label", "label!", "dangling"];
        let filters = Filters::parse(&self.filter, &names)?;
        let rules = PruneRules {
            all: self.all || filters.truth("dangling")? == Some(false),
            before: filters.until(Timestamp::now())?,
            labels: filters.label_rules(),
        };
        let warning = match rules.all {
            true => {
                "This will remove all images without at least one container associated to them."
            }
            false => "This will remove all dangling images.",
        };
        confirm_removal(self.force, warning, "image prune")?;
        let mut cleaned = Cleaned::default();
        remove_images(context, &rules, &mut cleaned)?;
        cleaned.write(&mut std::io::stdout().lock())
    }
}
