//! `stack volume prune`.

use std::io::Write as _;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::Filters;
use crate::cli::inspect::size_of;
use crate::cli::objects::{confirm, users};
use crate::engine::native::objects::{ANONYMOUS, mountpoint, remove_volume, volumes};
use crate::state::records::VolumeRecord;
use crate::ui::words;

/// Flags of `volume prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Those with a name, too.
    #[arg(short, long)]
    all: bool,
    /// Only those that fit: `label=KEY[=VALUE]`, `all=BOOL`.
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
        let all = self.all || filters.truth("all")? == Some(true);
        let which = match all {
            true => "all volumes",
            false => "all volumes without a name",
        };
        confirm(
            self.force,
            &format!("WARNING! This will remove {which} that no container and no project uses."),
            "volume prune",
        )?;
        let users = users(context)?;
        let (mut removed, mut bytes) = (Vec::new(), 0);
        for record in volumes(&context.paths)? {
            let meant = (all || is_anonymous(&record)) && filters.labels(&record.labels);
            if meant && !users.need_volume(&record.name) {
                bytes += size_of(&mountpoint(&context.paths, &record.name));
                remove_volume(&context.paths, &record.name)?;
                removed.push(record.name);
            }
        }
        let mut out = std::io::stdout().lock();
        if !removed.is_empty() {
            writeln!(out, "Deleted Volumes:\n{}\n", removed.join("\n"))?;
        }
        writeln!(out, "Total reclaimed space: {}", words::size(bytes))?;
        Ok(())
    }
}

fn is_anonymous(record: &VolumeRecord) -> bool {
    record.labels.contains_key(ANONYMOUS)
}
