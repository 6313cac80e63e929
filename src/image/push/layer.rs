//! A layer that lies plain in the store, on its way to a registry that gets it compressed.
//!
//! What it becomes is noted beside the layer, so that the registry can be asked for it: only what it does
//! not have is compressed. The compressed archive goes when it is sent, for it can be made again.

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::super::digest::Digest;
use super::super::oci::Descriptor;
use super::super::progress::Phase;
use super::super::store::{ImageStore, PackedLayer};
use super::super::{Error, Result};
use super::Push;
use super::upload::Upload;

impl Push<'_> {
    /// Sees to it that the registry has a layer, compressed; what it is called there.
    pub(super) async fn compressed(
        &self,
        layer: &Descriptor,
        media_type: &str,
    ) -> Result<Descriptor> {
        if let Some(known) = self.known(layer, media_type)? {
            let upload = self.upload(&known, layer);
            if self.store.has_blob(&known) {
                upload.run().await?;
                return Ok(known);
            }
            if let Some(phase) = upload.find().await? {
                self.tell(layer, phase);
                return Ok(known);
            }
        }
        let packed = self.compress(layer).await?;
        let sent = Descriptor::new(media_type, packed.blob.digest, packed.blob.size);
        let upload = Upload {
            path: packed.path.clone(),
            ..self.upload(&sent, layer)
        };
        upload.run().await?;
        self.store.note_compressed(&layer.digest, &packed.blob)?;
        Ok(sent)
    }

    /// What the layer became when it was fetched, or sent before.
    fn known(&self, layer: &Descriptor, media_type: &str) -> Result<Option<Descriptor>> {
        // A record that is damaged says nothing.
        let known = self.store.compressed(&layer.digest).ok().flatten();
        let known = known.filter(|known| known.media_type.ends_with("gzip"));
        Ok(known.map(|known| Descriptor::new(media_type, known.digest, known.size)))
    }

    async fn compress(&self, layer: &Descriptor) -> Result<PackedLayer> {
        let (sender, mut receiver) = watch::channel(0);
        let (store, digest) = (self.store.clone(), layer.digest);
        let mut work = spawn_blocking(move || pack(&store, &digest, &sender));
        let packed = loop {
            tokio::select! {
                packed = &mut work => break packed,
                Ok(()) = receiver.changed() => {
                    let done = *receiver.borrow_and_update();
                    if done < layer.size {
                        self.tell(layer, Phase::Compressing { done, total: layer.size });
                    }
                }
            }
        };
        let packed = packed.unwrap_or_else(|error| {
            Err(Error::Io {
                action: "compress",
                path: self.store.blob(&layer.digest),
                source: std::io::Error::other(error),
            })
        });
        let packed = packed?.ok_or_else(|| Error::BlobMissing {
            image: Box::new(self.reference.clone()),
            digest: layer.digest,
        })?;
        let total = layer.size;
        self.tell(layer, Phase::Compressing { done: total, total });
        Ok(packed)
    }
}

/// Ends early when nobody listens any more: the push was given up.
fn pack(
    store: &ImageStore,
    layer: &Digest,
    told: &watch::Sender<u64>,
) -> Result<Option<PackedLayer>> {
    store.compress_layer(layer, |done| {
        told.send(done)
            .map_err(|_| std::io::Error::other("the push was given up"))
    })
}
