//! `stack builder …`: what builds leave for later ones.

use std::collections::HashSet;
use std::io::Write as _;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::cleaning::{Cleaned, prune_builds};
use super::context::Context;
use super::error::{Error, Result};
use super::filter::Filters;
use super::prompt::confirm_removal;
use crate::build::{Cache, CacheRules, EntryKind};
use crate::ui::{Table, words};

/// The sub-commands of `builder`.
#[derive(Debug, Subcommand)]
pub(crate) enum Builder {
    /// List what builds have left.
    Du,
    /// Remove what builds have left.
    Prune(Prune),
}

/// Flags of `builder prune`.
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Remove also what images have: the next build makes those steps again.
    #[arg(short, long)]
    all: bool,
    /// Only these: `until=24h` or `until=TIME` (not used since).
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Do not ask.
    #[arg(short, long)]
    force: bool,
    /// Keep this much; what was not used for the longest time goes first.
    #[arg(
        long,
        alias = "keep-storage",
        alias = "reserved-space",
        value_name = "BYTES"
    )]
    max_used_space: Option<String>,
}

impl Builder {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Du => list(context),
            Self::Prune(prune) => prune.run(context),
        }
    }
}

impl Prune {
    fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("builder prune")?;
        context.require_root()?;
        let filters = Filters::parse(&self.filter, &["until"])?;
        let rules = CacheRules {
            all: self.all,
            before: filters.until(Timestamp::now())?,
            keep: self.max_used_space.as_deref().map(size).transpose()?,
        };
        let warning = match self.all {
            true => "This will remove all build cache.",
            false => "This will remove all dangling build cache.",
        };
        confirm_removal(self.force, warning, "builder prune")?;
        let mut cleaned = Cleaned::default();
        prune_builds(context, &rules, &mut cleaned)?;
        cleaned.write(&mut std::io::stdout().lock())
    }
}

fn size(text: &str) -> Result<u64> {
    crate::compose::parse_bytes(text)
        .ok_or_else(|| Error::new(format!("`{text}` is no size")).hint("write it like `512m`"))
}

fn list(context: &Context) -> Result<()> {
    let usage = context.images()?.usage()?;
    let named: HashSet<_> = usage
        .images
        .iter()
        .flat_map(|(_, parts)| &parts.layers)
        .collect();
    let cache = Cache::open(context.paths.root())?;
    let entries = cache.entries(|layer| usage.layers.get(layer).copied().unwrap_or(0));
    let now = Timestamp::now();
    let mut table = Table::new(&["ID", "KIND", "SHARED", "SIZE", "LAST USED", "STEP"]);
    let mut total = 0;
    for entry in &entries {
        let shared = entry.layer.is_some_and(|layer| named.contains(&layer));
        if !shared {
            total += entry.bytes;
        }
        let kind = match entry.kind {
            EntryKind::Step => "step",
            EntryKind::Mount => "mount",
        };
        table.row(vec![
            entry.id.chars().take(12).collect(),
            kind.to_owned(),
            shared.to_string(),
            words::size(entry.bytes),
            words::ago(entry.used, now),
            entry.text.clone(),
        ]);
    }
    let mut out = std::io::stdout().lock();
    table.write(&mut out)?;
    writeln!(out, "Total: {}", words::size(total))?;
    Ok(out.flush()?)
}
