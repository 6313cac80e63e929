//! Images, and what builds have left.

use std::collections::HashSet;
use std::time::Duration;

use super::{Cleaned, ImageGone};
use crate::build::{Cache, CacheRules, Entry};
use crate::cli::context::Context;
use crate::cli::drive::warn;
use crate::cli::error::Result;
use crate::cli::images::in_use;
use crate::image::{Cleaning, Digest, Error as StoreError, ImageStore, PruneRules, Removed, Usage};

/// After so long it is said what is waited for.
const SAY: Duration = Duration::from_millis(500);
/// Longer than builds take; a person ends it sooner.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The right to delete from the store, as soon as nothing comes in.
fn cleaning<'a>(context: &Context, store: &'a ImageStore) -> Result<Cleaning<'a>> {
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

/// Removes images.
pub(in crate::cli) fn prune_images(context: &Context, rules: &PruneRules) -> Result<Removed> {
    let store = context.images()?;
    let cleaning = cleaning(context, &store)?;
    Ok(cleaning.prune(rules, &in_use(context, &store)?)?)
}

/// The same, for the report of all.
pub(in crate::cli) fn remove_images(
    context: &Context,
    rules: &PruneRules,
    cleaned: &mut Cleaned,
) -> Result<()> {
    let removed = prune_images(context, rules)?;
    cleaned.space_reclaimed += removed.bytes;
    if !removed.images.is_empty() {
        let names = removed.references.iter().map(|name| name.familiar());
        let ids = removed.images.iter().map(ToString::to_string);
        let gone = names.map(ImageGone::Untagged);
        cleaned.images_deleted.extend(gone);
        cleaned.images_deleted.extend(ids.map(ImageGone::Deleted));
    }
    Ok(())
}

/// What of earlier builds would go.
pub(in crate::cli) fn doomed_builds(context: &Context, rules: &CacheRules) -> Result<Vec<Entry>> {
    let usage = context.images()?.usage()?;
    let entries = entries(&Cache::open(context.paths.root())?, &usage);
    let doomed = rules.doomed(&entries, &named_layers(&usage));
    Ok(doomed.into_iter().cloned().collect())
}

/// Removes what earlier builds have left.
pub(in crate::cli) fn prune_builds(
    context: &Context,
    rules: &CacheRules,
    cleaned: &mut Cleaned,
) -> Result<()> {
    let store = context.images()?;
    let cleaning = cleaning(context, &store)?;
    let cache = Cache::open(context.paths.root())?;
    let usage = store.usage()?;
    let entries = entries(&cache, &usage);
    let doomed = rules.doomed(&entries, &named_layers(&usage));
    cache.forget(&doomed)?;
    cleaned.space_reclaimed += cleaning.collect(&in_use(context, &store)?)?;
    for entry in &doomed {
        let short = &entry.id[..entry.id.len().min(25)];
        cleaned.caches_deleted.push(short.to_owned());
        if entry.layer.is_none() {
            cleaned.space_reclaimed += entry.bytes;
        }
    }
    Ok(())
}

fn entries(cache: &Cache, usage: &Usage) -> Vec<Entry> {
    cache.entries(|layer| usage.layers.get(layer).copied().unwrap_or(0))
}

/// The layers of all images.
fn named_layers(usage: &Usage) -> HashSet<Digest> {
    let images = usage.images.iter();
    images
        .flat_map(|(_, parts)| parts.layers.iter().copied())
        .collect()
}
