//! Images from registries.
//!
//! Owns the way from a name to an image in the store. Speaks through `registry/`, and writes nothing
//! itself: bytes go to the store, which verifies them.
//!
//! Invariant: whatever a registry does, the store names nothing that is not complete and verified.
//! What was fetched of a blob before a pull was killed stays, and the next one goes on from there.

mod download;
mod platform;
mod resolve;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod killed_tests;
#[cfg(test)]
mod refused_tests;
#[cfg(test)]
mod registry_tests;

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::config::parse_config;
use super::digest::Digest;
use super::oci::Descriptor;
use super::progress::{Phase, Progress, ProgressSink};
use super::reference::Reference;
use super::registry::{Client, Credentials, Registries};
use super::store::{Image, ImageStore, NewImage, diff_ids};
use super::{Error, Result};
use download::Download;
use resolve::{Found, Resolve};

pub use platform::{Platform, PlatformError};

pub(super) use platform::choose;

const PARALLEL: usize = 4;

/// How an image is fetched.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The machine the image is for; `None` = this one.
    pub platform: Option<Platform>,
    /// How registries are spoken to; as the environment of the process says unless set.
    pub registries: Registries,
    /// Who we are.
    pub credentials: Credentials,
    /// Layers fetched at once; 0 = 4.
    pub parallel: usize,
    /// Most bytes that one layer may unpack to; 0 = what a layer of its size can be expected to,
    /// and the disk has room for.
    pub layer_max: u64,
    /// The image gets no name here: it can only be found by its ID.
    pub unnamed: bool,
}

/// The digest that a name stands for at its registry: that of the index, where there is one.
///
/// Needs a tokio runtime with I/O and time enabled.
pub async fn remote_digest(reference: &Reference, options: &PullOptions) -> Result<Digest> {
    let sources = Client::sources(reference, (&options.registries, &options.credentials)).await?;
    let resolve = Resolve {
        sources: &sources,
        reference,
        platform: options.platform.as_ref(),
        progress: &super::no_progress,
    };
    Ok(resolve.digest().await?)
}

/// Fetches an image from its registry; what is in the store already is not fetched again.
///
/// Needs a tokio runtime with I/O and time enabled. When the future is dropped, the pull is given up:
/// layers that were complete stay for the next one, the rest is gone.
pub async fn pull(
    store: &ImageStore,
    reference: &Reference,
    options: &PullOptions,
    progress: ProgressSink<'_>,
) -> Result<Image> {
    progress(Progress {
        layer: None,
        phase: Phase::Resolving,
    });
    let coming = Arc::new(store.begin()?);
    let sources = Client::sources(reference, (&options.registries, &options.credentials)).await?;
    let resolve = Resolve {
        sources: &sources,
        reference,
        platform: options.platform.as_ref(),
        progress,
    };
    let found = resolve.manifest().await?;
    if !options.unnamed
        && let Some(image) = store.get(reference).unwrap_or(None)
        && (image.manifest == found.digest
            || image.repo_digests.contains(&reference.at(found.digest)))
    {
        store.note_pull(reference, jiff::Timestamp::now())?;
        progress(Progress {
            layer: None,
            phase: Phase::Done,
        });
        return Ok(image);
    }
    let config = resolve.config(&found).await?;
    let (parsed, _) = parse_config(Path::new("the image's configuration"), &config)?;
    resolve.check_platform(&parsed)?;
    let diff_ids = diff_ids(&parsed)?;
    let layers = &found.manifest.layers;
    if diff_ids.len() != layers.len() {
        return Err(Error::LayerCount {
            config: diff_ids.len(),
            manifest: layers.len(),
        });
    }
    // The largest first: begun last, it would keep one core busy while the others have nothing to do.
    let mut wanted = layers.iter().zip(&diff_ids).collect::<Vec<_>>();
    wanted.sort_by_key(|(layer, _)| std::cmp::Reverse(layer.size));
    let downloads = wanted.into_iter().map(|(layer, diff_id)| Download {
        store,
        sources: &sources[found.source..],
        layer,
        layer_max: options.layer_max,
        diff_id: *diff_id,
        progress,
        coming: Arc::clone(&coming),
    });
    fetch(layers, downloads.collect(), options.parallel, progress).await?;
    progress(Progress {
        layer: None,
        phase: Phase::Syncing,
    });
    let name = (!options.unnamed).then(|| reference.clone());
    let image = commit(store, name, found, config, coming).await?;
    progress(Progress {
        layer: None,
        phase: Phase::Done,
    });
    Ok(image)
}

/// Fetches layers, several at once (0 = as many as usual), all of which are told of before.
async fn fetch(
    layers: &[Descriptor],
    downloads: Vec<Download<'_>>,
    parallel: usize,
    progress: ProgressSink<'_>,
) -> Result<()> {
    for layer in layers {
        progress(Progress {
            layer: Some(layer.digest),
            phase: Phase::Waiting {
                total: Some(layer.size),
            },
        });
    }
    // Boxed in a list: the compiler cannot prove a stream of borrowing closures to be `Send`.
    let downloads = downloads.into_iter().map(|download| download.run().boxed());
    let downloads = downloads.collect::<Vec<_>>();
    let parallel = if parallel == 0 { PARALLEL } else { parallel };
    stream::iter(downloads)
        .buffer_unordered(parallel)
        .try_collect()
        .await
}

/// Off the thread that serves the network: it waits for the disk.
async fn commit(
    store: &ImageStore,
    name: Option<Reference>,
    found: Found,
    config: Vec<u8>,
    coming: Arc<super::store::Lock>,
) -> Result<Image> {
    let store = store.clone();
    let committing = tokio::task::spawn_blocking(move || {
        let _coming = coming;
        store.commit(&NewImage {
            manifest: &found.bytes,
            media_type: Some(&found.media_type),
            config: &config,
            references: name.as_slice(),
            repo_digest: Some(found.repo_digest),
        })
    });
    committing.await.unwrap_or_else(|error| {
        Err(Error::Io {
            action: "finish",
            path: "the image".into(),
            source: std::io::Error::other(error),
        })
    })
}
