//! The content store: an OCI image layout and the unpacked layers beside it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::image::ImageConfiguration;

use super::Result;
use super::config::Healthcheck;
use super::digest::Digest;
use super::reference::Reference;

/// The images of one stack root.
#[derive(Debug, Clone)]
pub struct ImageStore {
    root: PathBuf,
}

/// An image that containers can be made of.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the configuration: what Docker calls the image's ID.
    pub id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// The names that stand for this image.
    pub references: Vec<Reference>,
    /// What to run and how.
    pub config: ImageConfiguration,
    /// The health check, for which the OCI configuration has no words.
    pub healthcheck: Option<Healthcheck>,
    /// The unpacked layers, the bottom one first.
    pub layers: Vec<PathBuf>,
    /// Bytes of the unpacked layers.
    pub size: u64,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// One image as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Digest of the configuration.
    pub id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// The names that stand for it; none = it was replaced by a newer one.
    pub references: Vec<Reference>,
    /// Bytes of the unpacked layers.
    pub size: u64,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// What a removal has freed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names taken away.
    pub references: Vec<Reference>,
    /// Images that no name stands for any more.
    pub images: Vec<Digest>,
    /// Bytes of blobs and layers deleted.
    pub bytes: u64,
}

impl ImageStore {
    /// Opens the store below `root`, the directory with everything of stack, and makes it if need be.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The image a name stands for. A few small reads, no lock.
    pub fn get(&self, reference: &Reference) -> Result<Option<Image>> {
        let _ = (reference, &self.root);
        todo!()
    }

    /// The image with this ID (digest of its configuration).
    pub fn get_by_id(&self, id: &Digest) -> Result<Option<Image>> {
        let _ = id;
        todo!()
    }

    /// The image that a user means by a name, an ID, or the first digits of one.
    pub fn find(&self, text: &str) -> Result<Option<Image>> {
        let _ = text;
        todo!()
    }

    /// Every image, the newest first.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        todo!()
    }

    /// Gives the image `source` one more name.
    pub fn tag(&self, source: &Reference, target: &Reference) -> Result<()> {
        let _ = (source, target);
        todo!()
    }

    /// Takes a name away, and with the last one the blobs and layers that no other image needs and
    /// that are not `in_use` (paths as in [`Image::layers`]).
    pub fn remove(&self, reference: &Reference, in_use: &HashSet<PathBuf>) -> Result<Removed> {
        let _ = (reference, in_use);
        todo!()
    }

    /// Takes away every image without a name, and blobs and layers that nobody needs.
    pub fn prune(&self, in_use: &HashSet<PathBuf>) -> Result<Removed> {
        let _ = in_use;
        todo!()
    }

    /// Takes away what killed imports and pulls have left behind. Cheap when there is nothing.
    pub fn sweep(&self) -> Result<()> {
        todo!()
    }
}
