//! What the store takes of the disk.

use std::collections::BTreeMap;
use std::fs;

use super::super::Result;
use super::super::digest::Digest;
use super::super::oci::Descriptor;
use super::{ImageStore, ImageSummary, diff_ids};

/// What images take of the disk, and who needs it.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// Every image with what it is made of, the newest first.
    pub images: Vec<(ImageSummary, Parts)>,
    /// Bytes of each unpacked layer that is here, also of those that no image needs.
    pub layers: BTreeMap<Digest, u64>,
    /// Bytes of each blob that an image needs.
    pub blobs: BTreeMap<Digest, u64>,
}

/// What an image is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Diff ids of its layers.
    pub layers: Vec<Digest>,
    /// Its manifest, its configuration and the archives of its layers.
    pub blobs: Vec<Digest>,
}

impl ImageStore {
    /// Adds up what is there. Reads two documents of each image and one record of each layer.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        for summary in self.list()? {
            let descriptor = Descriptor::new("", summary.manifest, 0);
            // One that is damaged takes no more than its name.
            let parts = self.parts_of(&descriptor).unwrap_or_default();
            for blob in &parts.blobs {
                let bytes = fs::metadata(self.blob(blob)).map_or(0, |found| found.len());
                usage.blobs.insert(*blob, bytes);
            }
            usage.images.push((summary, parts));
        }
        for path in super::garbage::children(&self.layers())? {
            let name = path.file_name().and_then(|name| name.to_str());
            let digest = name.and_then(|name| format!("sha256:{name}").parse::<Digest>().ok());
            if let Some(digest) = digest {
                usage
                    .layers
                    .insert(digest, self.layer_size(&digest).unwrap_or(0));
            }
        }
        Ok(usage)
    }

    fn parts_of(&self, descriptor: &Descriptor) -> Result<Parts> {
        let (manifest, config) = self.documents(descriptor)?;
        let mut blobs = vec![descriptor.digest, manifest.config.digest];
        blobs.extend(manifest.layers.iter().map(|layer| layer.digest));
        Ok(Parts {
            layers: diff_ids(&config)?,
            blobs,
        })
    }
}
