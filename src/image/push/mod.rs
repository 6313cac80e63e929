//! Images to registries.
//!
//! Owns the order of things: blobs first, then manifests, then the index that names them, then the
//! tag. Layers that lie plain in the store, because they were made here, go compressed, and the manifest
//! that the registry gets names them so. All else goes as it is, byte for byte, so that digests and media
//! types stay.
//!
//! Invariant: a name at the registry never stands for something that is not all there.

mod layer;
mod rewrite;
mod upload;

#[cfg(test)]
mod compressed_tests;
#[cfg(test)]
mod push_tests;

use std::collections::{HashMap, HashSet};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use hyper::{Method, StatusCode, header};
use tokio::time::sleep;

use super::digest::Digest;
use super::oci::{Descriptor, Index, Manifest, gzip_type};
use super::progress::{Phase, Progress, ProgressSink};
use super::reference::Reference;
use super::registry::{
    Access, Client, Credentials, Failures, Payload, Registries, RegistryError, Request,
};
use super::store::ImageStore;
use super::{Error, Result};
use upload::Upload;

const PARALLEL: usize = 4;
/// An index may hold indexes, but not for ever.
const NESTING_MAX: usize = 4;

/// How an image is sent.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// How registries are spoken to; as the environment of the process says unless set.
    pub registries: Registries,
    /// Who we are.
    pub credentials: Credentials,
    /// Blobs sent at once; 0 = 4.
    pub parallel: usize,
    /// The manifest of what is sent, as it is; `None` = what the name stands for here.
    pub manifest: Option<Digest>,
}

/// How the layers go that lie plain in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plain {
    Compressed,
    AsTheyAre,
}

/// What a registry has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// Sends an image to the registry of its name; what is there already is not sent again.
///
/// Needs a tokio runtime with I/O and time enabled.
pub async fn push(
    store: &ImageStore,
    reference: &Reference,
    options: &PushOptions,
    progress: ProgressSink<'_>,
) -> Result<Pushed> {
    progress(Progress {
        layer: None,
        phase: Phase::Resolving,
    });
    // Nothing of it may be deleted meanwhile.
    let _coming = store.begin()?;
    let found = match &options.manifest {
        Some(manifest) => store.descriptor_of(manifest)?,
        None => store.descriptor(reference)?,
    };
    let Some(descriptor) = found else {
        return Err(Error::NoSuchImage {
            reference: reference.clone(),
        });
    };
    let siblings = store.siblings(reference)?;
    let mounts = siblings.iter().map(|(name, _)| name.clone()).collect();
    let known = (&options.registries, &options.credentials);
    let client = Client::new(reference, Access::Push { mounts }, known).await?;
    let push = Push {
        store,
        reference,
        client,
        siblings,
        parallel: if options.parallel == 0 {
            PARALLEL
        } else {
            options.parallel
        },
        progress,
    };
    let pushed = match options.manifest {
        None if descriptor.is_manifest() => push.image(&descriptor).await?,
        _ => {
            push.document(&descriptor, reference.version(), NESTING_MAX)
                .await?;
            Pushed {
                digest: descriptor.digest,
                size: descriptor.size,
            }
        }
    };
    if options.manifest.is_none() {
        store.note_push(reference, &pushed.digest)?;
    }
    progress(Progress {
        layer: None,
        phase: Phase::Done,
    });
    Ok(pushed)
}

struct Push<'a> {
    store: &'a ImageStore,
    reference: &'a Reference,
    client: Client,
    /// Other repositories of the registry, and blobs that they have.
    siblings: Vec<(String, HashSet<Digest>)>,
    parallel: usize,
    progress: ProgressSink<'a>,
}

impl Push<'_> {
    /// Sends an image under its name, with compressed layers.
    async fn image(&self, descriptor: &Descriptor) -> Result<Pushed> {
        let bytes = self.own(descriptor)?;
        let manifest = self.parse(descriptor, &bytes)?;
        let sent = self.blobs(&manifest, Plain::Compressed).await?;
        let bytes = rewrite::layers(bytes, &sent).map_err(|source| Error::Corrupt {
            path: self.store.blob(&descriptor.digest),
            source,
        })?;
        let pushed = Pushed {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
        };
        let version = self.reference.version();
        self.put(&version, &descriptor.media_type, bytes).await?;
        Ok(pushed)
    }

    /// Sends a manifest or index as it is, after all that it names. Boxed, for an index may hold indexes.
    fn document<'b>(
        &'b self,
        descriptor: &'b Descriptor,
        version: String,
        nesting: usize,
    ) -> BoxFuture<'b, Result<()>> {
        let work = async move {
            let bytes = self.own(descriptor)?;
            if descriptor.is_index() && nesting > 0 {
                let index: Index = self.parse(descriptor, &bytes)?;
                for inner in &index.manifests {
                    self.document(inner, inner.digest.to_string(), nesting - 1)
                        .await?;
                }
            } else if descriptor.is_manifest() {
                let manifest = self.parse(descriptor, &bytes)?;
                self.blobs(&manifest, Plain::AsTheyAre).await?;
            } else {
                return Err(Error::Registry(RegistryError::MediaType {
                    reference: Box::new(self.reference.clone()),
                    media_type: descriptor.media_type.clone(),
                }));
            }
            Ok(self.put(&version, &descriptor.media_type, bytes).await?)
        };
        work.boxed()
    }

    /// A document of the store. What goes under a digest has it, also after a damage of the disk.
    fn own(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let bytes = self.store.read_blob(&descriptor.digest).ok();
        let good = bytes.filter(|bytes| Digest::of(bytes) == descriptor.digest);
        good.ok_or_else(|| Error::BlobMissing {
            image: Box::new(self.reference.clone()),
            digest: descriptor.digest,
        })
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, from: &Descriptor, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|source| Error::Corrupt {
            path: self.store.blob(&from.digest),
            source,
        })
    }

    /// Sends what a manifest names; what the registry got in place of plain layers.
    async fn blobs(
        &self,
        manifest: &Manifest,
        plain: Plain,
    ) -> Result<HashMap<Digest, Descriptor>> {
        let mut seen = HashSet::new();
        let all = manifest.layers.iter().chain([&manifest.config]);
        // Layers that registries do not hold have their own addresses.
        let ours = |blob: &&Descriptor| {
            !blob.media_type.contains("foreign") && !blob.media_type.contains("nondistributable")
        };
        let blobs: Vec<_> = all
            .filter(|blob| seen.insert(blob.digest))
            .filter(ours)
            .collect();
        for blob in &blobs {
            self.tell(
                blob,
                Phase::Waiting {
                    total: Some(blob.size),
                },
            );
        }
        let uploads = blobs.into_iter().map(|blob| {
            let gzip = gzip_type(&blob.media_type).filter(|_| plain == Plain::Compressed);
            async move {
                match gzip {
                    Some(media_type) => {
                        let sent = self.compressed(blob, media_type).await?;
                        Ok(Some((blob.digest, sent)))
                    }
                    None => self.upload(blob, blob).run().await.map(|()| None),
                }
            }
            .boxed()
        });
        // Boxed in a list: the compiler cannot prove a stream of borrowing closures to be `Send`.
        let uploads = uploads.collect::<Vec<_>>();
        let sent = stream::iter(uploads).buffer_unordered(self.parallel);
        let sent = sent.try_collect::<Vec<Option<_>>>().await?;
        Ok(sent.into_iter().flatten().collect())
    }

    /// The way of a blob that the store knows as `layer`.
    fn upload<'b>(&'b self, blob: &'b Descriptor, layer: &'b Descriptor) -> Upload<'b> {
        let mut siblings = self.siblings.iter();
        let sibling = siblings.find(|(_, blobs)| blobs.contains(&layer.digest));
        Upload {
            client: &self.client,
            reference: self.reference,
            path: self.store.blob(&blob.digest),
            blob,
            layer,
            mount: sibling.map(|(name, _)| name.as_str()),
            progress: self.progress,
        }
    }

    fn tell(&self, blob: &Descriptor, phase: Phase) {
        (self.progress)(Progress {
            layer: Some(blob.digest),
            phase,
        });
    }

    /// Gives a document its name.
    async fn put(
        &self,
        version: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let path = format!("manifests/{version}");
        let digest = Digest::of(&bytes);
        let request = Request {
            headers: vec![(header::CONTENT_TYPE, media_type.to_owned())],
            payload: Payload::Whole(bytes.into()),
            ..Request::new(Method::PUT)
        };
        let mut failures = Failures::default();
        loop {
            let tried = async {
                let answer = self.client.ask(&path, &request).await?;
                match answer.status {
                    StatusCode::CREATED | StatusCode::OK | StatusCode::ACCEPTED => {
                        upload::check_digest(&answer, &digest)?;
                        self.client.end(answer).await;
                        Ok(())
                    }
                    _ => Err(self.client.refused(answer, &path).await),
                }
            };
            let Err(error) = tried.await else {
                return Ok(());
            };
            let pause = failures.pause(error)?;
            (self.progress)(Progress {
                layer: None,
                phase: Phase::Retrying {
                    attempt: failures.attempt(),
                },
            });
            sleep(pause).await;
        }
    }
}
