//! What the commands that clean up have in common: their filters, the right to delete, what they say.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::context::Context;
use super::drive::warn;
use super::error::{Error, Result};
use super::images::in_use;
use super::time;
use crate::build::{Cache, CacheRules};
use crate::image::{Cleaning, Digest, Error as StoreError, ImageStore, LabelRule, PruneRules};
use crate::ui::words;

/// After so long it is said what is waited for.
const SAY: Duration = Duration::from_millis(500);
/// Longer than builds take; a person ends it sooner.
const PATIENCE: Duration = Duration::from_secs(3600);

/// `--filter` of the commands that clean up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filters {
    /// `until=`: only what is older.
    pub(super) before: Option<Timestamp>,
    /// `label=` and `label!=`.
    pub(super) labels: Vec<LabelRule>,
    /// `dangling=`: only what has no name.
    pub(super) dangling: Option<bool>,
}

impl Filters {
    /// Reads them; `names` are those that the command knows.
    pub(super) fn parse(texts: &[String], names: &[&str], now: Timestamp) -> Result<Self> {
        let mut filters = Self::default();
        for text in texts {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Error::new(format!("`{text}` is no filter")).hint(format!(
                    "write NAME=VALUE; the names are {}",
                    names.join(", ")
                ))
            })?;
            let unknown = || {
                Error::new(format!("there is no filter `{key}`"))
                    .hint(format!("there are {}", names.join(", ")))
            };
            if !names.contains(&key.trim_end_matches('!')) {
                return Err(unknown());
            }
            match key {
                "until" => filters.before = Some(time::point(value, now)?),
                "label" | "label!" => {
                    let (name, wanted) = match value.split_once('=') {
                        Some((name, wanted)) => (name, Some(wanted.to_owned())),
                        None => (value, None),
                    };
                    filters.labels.push(LabelRule {
                        name: name.to_owned(),
                        value: wanted,
                        wanted: key == "label",
                    });
                }
                "dangling" => {
                    let yes = matches!(value, "1" | "true");
                    if !yes && !matches!(value, "0" | "false") {
                        return Err(Error::new(format!("`{value}` is neither true nor false")));
                    }
                    filters.dangling = Some(yes);
                }
                _ => return Err(unknown()),
            }
        }
        Ok(filters)
    }
}

/// The right to delete from the store, as soon as nothing comes in.
pub(super) fn cleaning<'a>(context: &Context, store: &'a ImageStore) -> Result<Cleaning<'a>> {
    match store.clean(SAY) {
        Err(StoreError::Busy) => {}
        other => return Ok(other?),
    }
    warn(
        "images are pulled, loaded or built just now: waiting for the end of that",
        context.terminal.stderr,
    );
    Ok(store.clean(PATIENCE)?)
}

/// Removes images, and tells which; gives the bytes freed.
pub(super) fn prune_images(
    context: &Context,
    rules: &PruneRules,
    out: &mut dyn Write,
) -> Result<u64> {
    let store = context.images()?;
    let cleaning = cleaning(context, &store)?;
    let removed = cleaning.prune(rules, &in_use(context, &store)?)?;
    if !removed.images.is_empty() {
        writeln!(out, "Deleted Images:")?;
        for reference in &removed.references {
            writeln!(out, "untagged: {}", reference.familiar())?;
        }
        for image in &removed.images {
            writeln!(out, "deleted: {image}")?;
        }
        writeln!(out)?;
    }
    Ok(removed.bytes)
}

/// Removes what earlier builds have left, and tells what; gives the bytes freed.
pub(super) fn prune_builds(
    context: &Context,
    rules: &CacheRules,
    out: &mut dyn Write,
) -> Result<u64> {
    let store = context.images()?;
    let cleaning = cleaning(context, &store)?;
    let cache = Cache::open(context.paths.root())?;
    let usage = store.usage()?;
    let named: HashSet<Digest> = usage
        .images
        .iter()
        .flat_map(|(_, parts)| parts.layers.iter().copied())
        .collect();
    let entries = cache.entries(|layer| usage.layers.get(layer).copied().unwrap_or(0));
    let doomed = rules.doomed(&entries, &named);
    cache.forget(&doomed)?;
    let mut freed = cleaning.collect(&in_use(context, &store)?)?;
    if !doomed.is_empty() {
        writeln!(out, "Deleted build cache objects:")?;
        for entry in &doomed {
            writeln!(out, "{}", &entry.id[..entry.id.len().min(25)])?;
            if entry.layer.is_none() {
                freed += entry.bytes;
            }
        }
        writeln!(out)?;
    }
    Ok(freed)
}

/// What every such command ends with.
pub(super) fn reclaimed(bytes: u64, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "Total reclaimed space: {}", words::size(bytes))?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_docker_reads_them() {
        let now = Timestamp::from_second(100_000).unwrap();
        let names = ["until", "label", "dangling"];
        let read = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Filters::parse(&texts, &names, now)
        };
        let found = read(&["until=24h", "label=a", "label!=b=c", "dangling=false"]).unwrap();
        assert_eq!(found.before, Some(Timestamp::from_second(13_600).unwrap()));
        assert_eq!(found.dangling, Some(false));
        let labels: Vec<_> = found
            .labels
            .iter()
            .map(|rule| (rule.name.as_str(), rule.value.as_deref(), rule.wanted))
            .collect();
        assert_eq!(labels, [("a", None, true), ("b", Some("c"), false)]);
        for wrong in [
            "until",
            "until=soon",
            "size=3",
            "dangling=perhaps",
            "until!=1h",
        ] {
            assert!(read(&[wrong]).is_err(), "{wrong}");
        }
    }
}
