//! Images from archives and layouts that other tools wrote.

use std::io::Read;
use std::path::Path;

use super::progress::ProgressSink;
use super::reference::Reference;
use super::store::ImageStore;

impl ImageStore {
    /// Loads every image of a docker-archive or oci-archive (plain, gzip or zstd) and gives the
    /// names they came with.
    pub fn load(
        &self,
        archive: impl Read + Send,
        progress: ProgressSink<'_>,
    ) -> super::Result<Vec<Reference>> {
        let _ = (archive, progress);
        todo!()
    }

    /// Loads a file as [`ImageStore::load`] does, or a directory that is an OCI image layout.
    pub fn load_path(
        &self,
        path: &Path,
        progress: ProgressSink<'_>,
    ) -> super::Result<Vec<Reference>> {
        let _ = (path, progress);
        todo!()
    }
}
