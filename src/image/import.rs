//! A root file system archive becomes an image.

use std::io::Read;

use jiff::Timestamp;

use super::config::ConfigChange;
use super::progress::ProgressSink;
use super::reference::Reference;
use super::store::{Image, ImageStore};

/// How an archive becomes an image.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Put the archive as one more layer on this image, whose configuration is inherited.
    pub base: Option<Reference>,
    /// Changes of the configuration, in order.
    pub changes: Vec<ConfigChange>,
    /// A line for the image's history.
    pub message: Option<String>,
    /// When the image was made; `None` = now.
    pub created: Option<Timestamp>,
}

impl ImageStore {
    /// Makes an image of a root file system archive (tar; plain, gzip or zstd) and names it.
    ///
    /// The archive is read once: hashed, compressed into its blob and unpacked as it comes, in
    /// bounded memory.
    pub fn import_rootfs(
        &self,
        archive: impl Read + Send,
        reference: &Reference,
        options: &ImportOptions,
        progress: ProgressSink<'_>,
    ) -> super::Result<Image> {
        let _ = (archive, reference, options, progress);
        todo!()
    }
}
