//! The digests of images, asked of their registries.

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::drive::block_on;
use super::error::{Error, Result};
use crate::compose::config::Pinned;
use crate::image::{PullOptions, Reference, Registries, remote_digest};

/// Registries asked at once.
const PARALLEL: usize = 8;

/// The full names of images with their digests, as `docker.io/library/nginx:1.27@sha256:…`. A name that
/// has a digest already is only written in full.
pub(crate) fn pinned(images: &[String], registries: &Registries) -> Result<Pinned> {
    if images.is_empty() {
        return Ok(Pinned::new());
    }
    let options = PullOptions {
        registries: registries.clone(),
        ..PullOptions::default()
    };
    let options = &options;
    block_on(
        stream::iter(images)
            .map(|image| async move {
                Ok::<_, Error>((image.clone(), full_name(image, options).await?))
            })
            .buffer_unordered(PARALLEL)
            .try_collect(),
    )
}

async fn full_name(image: &str, options: &PullOptions) -> Result<String> {
    let reference: Reference = image
        .parse()
        .map_err(|error| Error::new(format!("`{image}` is no name of an image")).because(error))?;
    let name = format!("{}/{}", reference.registry(), reference.repository());
    if let Some(digest) = reference.digest() {
        return Ok(format!("{name}@{digest}"));
    }
    let tag = reference.tag().unwrap_or("latest");
    let digest = remote_digest(&reference, options).await.map_err(|error| {
        Error::new(format!("cannot find the digest of {name}:{tag}")).because(error)
    })?;
    Ok(format!("{name}:{tag}@{digest}"))
}
