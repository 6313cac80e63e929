//! Images that are fetched, several at the same time, and how it is shown.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{self, StreamExt};
use indexmap::IndexMap;
use tokio::sync::mpsc;

use super::{Failures, Shown, place_in};
use crate::cli::context::Context;
use crate::cli::drive::{block_on, pause};
use crate::cli::error::{Error, Result};
use crate::compose::Positions;
use crate::compose::model::ServiceName;
use crate::control::{self, Kind, ProgressState};
use crate::image::{
    Digest, Image, ImageStore, Phase, Platform, PullOptions, Reference, Registries, pull,
};
use crate::ui::Progress;
use crate::ui::progress::Transfer;

/// An image to fetch and the services that want it.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) reference: Reference,
    pub(super) text: String,
    pub(super) platform: Option<Platform>,
    pub(super) services: Vec<ServiceName>,
}

/// How images are fetched.
pub(super) struct How<'a> {
    /// Where services were written.
    pub(super) positions: Option<&'a Positions>,
    pub(super) failures: Failures,
    pub(super) shown: Shown,
}

/// Fetches images by their names, apart from any stack; gives the names.
pub(in crate::cli) fn fetch(
    context: &Context,
    images: &[Reference],
    (platform, quiet): (Option<Platform>, bool),
) -> Result<Vec<String>> {
    let how = How {
        positions: None,
        failures: Failures::Fatal,
        shown: match quiet {
            true => Shown::Nothing,
            false => Shown::All,
        },
    };
    let fetches = images.iter().map(|reference| Fetch {
        reference: reference.clone(),
        text: reference.familiar(),
        platform: platform.clone(),
        services: Vec::new(),
    });
    fetch_all(context, &how, &context.images()?, fetches.collect())?;
    Ok(images.iter().map(Reference::familiar).collect())
}

/// Lets a process of its own wait for the disk, when there is much to wait for. Nobody needs to know
/// when it fails: what is not settled is unpacked again after a power cut.
pub(in crate::cli) fn settle_later(context: &Context, store: &ImageStore) {
    if store.is_settled().unwrap_or(true) {
        return;
    }
    let spawned = std::env::current_exe().and_then(|program| {
        std::process::Command::new(program)
            .args(["image", "settle"])
            .env("STACK_ROOT", context.paths.root())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    });
    if let Err(error) = spawned {
        tracing::debug!(%error, "nobody waits for the disk");
    }
}

/// What a fetch tells about itself.
enum Said {
    Progress(String, Transfer),
    /// Another process is at it.
    Elsewhere(String),
    End(Box<(Fetch, Result<Image, crate::image::Error>)>),
}

/// Fetches images at the same time and shows it.
pub(super) fn fetch_all(
    context: &Context,
    how: &How<'_>,
    store: &ImageStore,
    fetches: Vec<Fetch>,
) -> Result<IndexMap<ServiceName, String>> {
    let mut progress = match how.shown {
        Shown::Nothing => Progress::Quiet,
        Shown::All | Shown::Names => context.progress("pull"),
    };
    let registries = context.registries();
    let total = fetches.len();
    let at_once = usize::try_from(context.global.parallel)
        .unwrap_or(total)
        .max(1);
    for fetch in &fetches {
        progress.update(&change(&fetch.text, ProgressState::Pulling, None));
    }
    block_on(async {
        let (sender, mut said) = mpsc::unbounded_channel();
        let work = stream::iter(fetches)
            .map(|fetch| fetch_one(store, fetch, (&registries, sender.clone())))
            .buffer_unordered(at_once)
            .for_each(|()| std::future::ready(()));
        let watch = async {
            let mut ids = IndexMap::new();
            let mut errors = Vec::new();
            let mut ended = 0;
            while ended < total {
                let frame = progress.frame();
                tokio::select! {
                    Some(message) = said.recv() => match message {
                        Said::Progress(text, transfer) if how.shown == Shown::All => {
                            progress.transfer(&text, transfer);
                        }
                        Said::Progress(..) => {}
                        Said::Elsewhere(text) => {
                            let why = "another process is fetching it".to_owned();
                            progress.update(&change(&text, ProgressState::Waiting, Some(why)));
                        }
                        Said::End(end) => {
                            ended += 1;
                            fetched(how, *end, &mut progress, (&mut ids, &mut errors));
                        }
                    },
                    () = pause(frame) => progress.tick(),
                }
            }
            (ids, errors)
        };
        let ((), (ids, mut errors)) = tokio::join!(work, watch);
        progress.finish();
        settle_later(context, store);
        match errors.pop() {
            Some(error) if how.failures == Failures::Fatal => Err(error),
            _ => Ok(ids),
        }
    })
}

async fn fetch_one(
    store: &ImageStore,
    fetch: Fetch,
    (registries, sender): (&Registries, mpsc::UnboundedSender<Said>),
) {
    let options = PullOptions {
        platform: fetch.platform.clone(),
        registries: registries.clone(),
        ..PullOptions::default()
    };
    let layers: Mutex<BTreeMap<Digest, Transfer>> = Mutex::new(BTreeMap::new());
    let told = AtomicBool::new(false);
    let tell = |step: crate::image::Progress| {
        let elsewhere = matches!(step.phase, Phase::Elsewhere { .. });
        if elsewhere && !told.swap(true, Ordering::Relaxed) {
            let _ = sender.send(Said::Elsewhere(fetch.text.clone()));
        }
        let mut layers = layers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sum) = account(&mut layers, &step) {
            let _ = sender.send(Said::Progress(fetch.text.clone(), sum));
        }
    };
    let result = pull(store, &fetch.reference, &options, &tell).await;
    let _ = sender.send(Said::End(Box::new((fetch, result))));
}

/// Takes a step into account; the sum over all layers when it changed.
pub(in crate::cli) fn account(
    layers: &mut BTreeMap<Digest, Transfer>,
    step: &crate::image::Progress,
) -> Option<Transfer> {
    let layer = layers.entry(step.layer?).or_default();
    match step.phase {
        Phase::Waiting { total } => layer.total = total.unwrap_or(layer.total),
        Phase::Transfer { done, total } => {
            layer.done = done;
            layer.total = total.unwrap_or(layer.total).max(done);
        }
        Phase::Elsewhere { done, total } => {
            layer.done = done;
            layer.total = total.max(done);
        }
        // The other half is sending it.
        Phase::Compressing { done, total } => {
            layer.done = done / 2;
            layer.total = total.max(done);
        }
        Phase::Unpacked | Phase::Present | Phase::Mounted | Phase::Sent => layer.done = layer.total,
        Phase::Resolving | Phase::Retrying { .. } | Phase::Syncing | Phase::Done => return None,
    }
    let sum = |part: fn(&Transfer) -> u64| {
        layers
            .values()
            .fold(0_u64, |sum, layer| sum.saturating_add(part(layer)))
    };
    Some(Transfer {
        done: sum(|layer| layer.done),
        total: sum(|layer| layer.total),
    })
}

fn fetched(
    how: &How<'_>,
    (fetch, result): (Fetch, Result<Image, crate::image::Error>),
    progress: &mut Progress,
    (ids, errors): (&mut IndexMap<ServiceName, String>, &mut Vec<Error>),
) {
    match result {
        Ok(image) => {
            progress.update(&change(&fetch.text, ProgressState::Pulled, None));
            for service in fetch.services {
                ids.insert(service, image.id.to_string());
            }
        }
        Err(error) => {
            let why = error.to_string();
            progress.update(&change(&fetch.text, ProgressState::Error, Some(why)));
            errors.push(not_fetched(how, &fetch, error));
        }
    }
}

fn not_fetched(how: &How<'_>, fetch: &Fetch, error: crate::image::Error) -> Error {
    let services: Vec<String> = fetch
        .services
        .iter()
        .map(|name| format!("{name}{}", place_in(how.positions, name)))
        .collect();
    let word = if services.len() == 1 {
        "service"
    } else {
        "services"
    };
    let text = &fetch.text;
    if fetch.services.is_empty() {
        return Error::new(format!("image {text} cannot be fetched")).because(error);
    }
    Error::new(format!(
        "{word} {}: image {text} cannot be fetched",
        services.join(", ")
    ))
    .because(error)
    .hint(format!(
        "bring it in with `stack image import FILE {text}` or `stack image load -i FILE`, or see to it that its registry can be reached"
    ))
}

fn change(image: &str, state: ProgressState, detail: Option<String>) -> control::Progress {
    control::Progress {
        kind: Kind::Image,
        name: image.to_owned(),
        state,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_all_layers_add_up_and_hostile_numbers_do_not_overflow() {
        let mut layers = BTreeMap::new();
        let mut step = |layer: &[u8], phase| {
            let step = crate::image::Progress {
                layer: Some(Digest::of(layer)),
                phase,
            };
            account(&mut layers, &step)
        };
        step(b"a", Phase::Waiting { total: Some(100) });
        step(b"b", Phase::Waiting { total: Some(50) });
        let transfer = Phase::Transfer {
            done: 30,
            total: Some(100),
        };
        let sum = step(b"a", transfer).unwrap();
        assert_eq!((sum.done, sum.total), (30, 150));
        let sum = step(b"b", Phase::Present).unwrap();
        assert_eq!((sum.done, sum.total), (80, 150));
        let endless = Phase::Waiting {
            total: Some(u64::MAX),
        };
        assert_eq!(step(b"c", endless).unwrap().total, u64::MAX);
        assert_eq!(step(b"c", Phase::Syncing), None);
    }
}
