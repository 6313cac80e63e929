//! Images from registries, by the OCI distribution protocol.
//!
//! Owns the protocol and its connections. Writes nothing itself: bytes go to the store, which verifies
//! them.
//!
//! Invariant: no password or token goes to another host than the one it is for, nor over a connection
//! without TLS unless the registry is on this machine or was named as insecure.

mod auth;
mod client;
mod connect;
mod download;
mod error;
mod platform;
mod resolve;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod registry_tests;

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::config::parse_config;
use super::digest::Digest;
use super::oci::{Descriptor, Index, Manifest};
use super::progress::{Phase, Progress, ProgressSink};
use super::reference::Reference;
use super::store::{Image, ImageStore, NewImage, diff_ids};
use super::{Error, Result};
use client::{Client, accept};
use download::{Download, pause};

pub use auth::Credentials;
pub use error::RegistryError;
pub use platform::Platform;

pub(super) use platform::choose;

/// Longest manifest or index that is read; registries take no longer ones.
const MANIFEST_MAX: usize = 4 << 20;
/// Longest configuration.
const CONFIG_MAX: usize = 8 << 20;
/// An index may hold indexes, but not for ever.
const NESTING_MAX: usize = 4;
const ATTEMPTS: u32 = 4;
const PARALLEL: usize = 4;

/// How a registry is spoken to.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The machine the image is for; `None` = this one.
    pub platform: Option<Platform>,
    /// Registries (`host` or `host:port`) that may be spoken to without TLS if it cannot be had;
    /// those on this machine always may.
    pub plain_http: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// Layers fetched at once; 0 = 4.
    pub parallel: usize,
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
    let client = Client::new(reference, options).await?;
    let pull = Pull {
        client,
        reference,
        options,
        progress,
    };
    let found = pull.resolve().await?;
    if let Some(image) = store.get(reference).unwrap_or(None)
        && image.manifest == found.digest
    {
        progress(Progress {
            layer: None,
            phase: Phase::Done,
        });
        return Ok(image);
    }
    let config = pull.config(&found.manifest).await?;
    let (parsed, _) = parse_config(Path::new("the image's configuration"), &config)?;
    pull.check_platform(&parsed)?;
    let diff_ids = diff_ids(&parsed)?;
    let layers = &found.manifest.layers;
    if diff_ids.len() != layers.len() {
        return Err(Error::LayerCount {
            config: diff_ids.len(),
            manifest: layers.len(),
        });
    }
    for layer in layers {
        progress(Progress {
            layer: Some(layer.digest),
            phase: Phase::Waiting {
                total: Some(layer.size),
            },
        });
    }
    let downloads = layers.iter().zip(&diff_ids).map(|(layer, diff_id)| {
        let download = Download {
            store,
            client: &pull.client,
            layer,
            diff_id: *diff_id,
            progress,
            coming: Arc::clone(&coming),
        };
        download.run().boxed()
    });
    // Boxed in a list: the compiler cannot prove a stream of borrowing closures to be `Send`.
    let downloads = downloads.collect::<Vec<_>>();
    let parallel = if options.parallel == 0 {
        PARALLEL
    } else {
        options.parallel
    };
    stream::iter(downloads)
        .buffer_unordered(parallel)
        .try_collect::<()>()
        .await?;
    progress(Progress {
        layer: None,
        phase: Phase::Syncing,
    });
    let image = commit(store, reference, found, config, coming).await?;
    progress(Progress {
        layer: None,
        phase: Phase::Done,
    });
    Ok(image)
}

/// Off the thread that serves the network: it waits for the disk.
async fn commit(
    store: &ImageStore,
    reference: &Reference,
    found: Found,
    config: Vec<u8>,
    coming: Arc<super::store::Lock>,
) -> Result<Image> {
    let (store, reference) = (store.clone(), reference.clone());
    let committing = tokio::task::spawn_blocking(move || {
        let _coming = coming;
        store.commit(&NewImage {
            manifest: &found.bytes,
            media_type: Some(&found.media_type),
            config: &config,
            references: std::slice::from_ref(&reference),
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

/// A manifest, verified.
struct Found {
    bytes: Vec<u8>,
    media_type: String,
    digest: Digest,
    manifest: Manifest,
    /// What the name stands for at the registry: the manifest or an index.
    repo_digest: Digest,
}

struct Pull<'a> {
    client: Client<'a>,
    reference: &'a Reference,
    options: &'a PullOptions,
    progress: ProgressSink<'a>,
}

impl Pull<'_> {
    /// From the name to the manifest for the machine.
    async fn resolve(&self) -> Result<Found, RegistryError> {
        let mut version = self.reference.version();
        let mut expected = self.reference.digest().copied();
        let mut repo_digest = None;
        for _ in 0..=NESTING_MAX {
            let (bytes, media_type) = self.manifest(&version).await?;
            let digest = Digest::of(&bytes);
            if let Some(expected) = expected.filter(|expected| *expected != digest) {
                return Err(RegistryError::Mismatch {
                    expected,
                    actual: digest,
                });
            }
            let repo_digest = *repo_digest.get_or_insert(digest);
            let kind = Descriptor::new(&media_type, digest, bytes.len() as u64);
            if kind.is_manifest() {
                let manifest = parse("a manifest", &bytes)?;
                return Ok(Found {
                    bytes,
                    media_type,
                    digest,
                    manifest,
                    repo_digest,
                });
            }
            if !kind.is_index() {
                return Err(RegistryError::MediaType {
                    reference: Box::new(self.reference.clone()),
                    media_type,
                });
            }
            let next = self.choose(&parse::<Index>("an index", &bytes)?)?;
            (version, expected) = (next.to_string(), Some(next));
        }
        Err(RegistryError::Protocol {
            registry: self.client.registry().to_owned(),
            what: "its indexes hold indexes without end",
        })
    }

    fn choose(&self, index: &Index) -> Result<Digest, RegistryError> {
        let wanted = self.options.platform.clone().unwrap_or_else(Platform::this);
        let found = choose(&index.manifests, &wanted).map(|found| found.digest);
        found.ok_or_else(|| RegistryError::Platform {
            reference: Box::new(self.reference.clone()),
            wanted: wanted.to_string(),
            offered: offered(index),
        })
    }

    /// An image that comes alone does not say what it is for before its configuration is read.
    fn check_platform(
        &self,
        config: &oci_spec::image::ImageConfiguration,
    ) -> Result<(), RegistryError> {
        let wanted = self.options.platform.clone().unwrap_or_else(Platform::this);
        let (os, architecture) = (config.os().to_string(), config.architecture().to_string());
        if os == wanted.os && architecture == wanted.architecture {
            return Ok(());
        }
        Err(RegistryError::Platform {
            reference: Box::new(self.reference.clone()),
            wanted: wanted.to_string(),
            offered: vec![format!("{os}/{architecture}")],
        })
    }

    async fn manifest(&self, version: &str) -> Result<(Vec<u8>, String), RegistryError> {
        let path = format!("manifests/{version}");
        let (bytes, headers) = self.document(&path, MANIFEST_MAX).await?;
        let said = headers
            .get(hyper::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let said = said.map(|value| {
            value
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        });
        // Servers of plain files do not know what they serve; the document itself mostly does.
        let known = said.filter(|said| Descriptor::new(said, Digest::of(b""), 0).is_known());
        let media_type = match known {
            Some(known) => known,
            None => parse::<Kind>("a manifest", &bytes)?.media_type,
        };
        Ok((bytes, media_type))
    }

    async fn config(&self, manifest: &Manifest) -> Result<Vec<u8>, RegistryError> {
        let expected = manifest.config.digest;
        let (bytes, _) = self
            .document(&format!("blobs/{expected}"), CONFIG_MAX)
            .await?;
        match Digest::of(&bytes) {
            actual if actual == expected => Ok(bytes),
            actual => Err(RegistryError::Mismatch { expected, actual }),
        }
    }

    /// A small document, tried again if the network or the registry has a bad moment.
    async fn document(
        &self,
        path: &str,
        most: usize,
    ) -> Result<(Vec<u8>, hyper::HeaderMap), RegistryError> {
        let mut failures = 0;
        loop {
            let tried = async {
                let answer = self.client.get(path, &[accept()]).await?;
                let headers = answer.headers.clone();
                Ok((self.client.read(answer, most).await?, headers))
            };
            match tried.await {
                Err(error) if RegistryError::is_transient(&error) && failures + 1 < ATTEMPTS => {
                    failures += 1;
                    (self.progress)(Progress {
                        layer: None,
                        phase: Phase::Retrying {
                            attempt: failures + 1,
                        },
                    });
                    tokio::time::sleep(pause(failures)).await;
                }
                other => return other,
            }
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind {
    #[serde(default)]
    media_type: String,
}

fn parse<T: serde::de::DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|source| RegistryError::Document { what, source })
}

fn offered(index: &Index) -> Vec<String> {
    let platforms = index
        .manifests
        .iter()
        .filter_map(|image| image.platform.as_ref());
    let known = platforms.filter(|platform| platform.os != "unknown");
    let mut names = known.map(Platform::to_string).collect::<Vec<_>>();
    names.dedup();
    if names.is_empty() {
        names.push("no machine at all".to_owned());
    }
    names
}
