//! An image whose layers are in the store gets its name.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::super::Result;
use super::super::config::parse_config;
use super::super::digest::Digest;
use super::super::error::{Error, LayerSource, io_error};
use super::super::layer::{Blob, Chunked, Chunks, Ingested, Limits, Sink, ingest};
use super::super::oci::{Descriptor, MANIFEST, Manifest};
use super::super::reference::Reference;
use super::index::{IMAGE_ID, PULLED, REPO_DIGEST, UNPACKED_SIZE};
use super::{Durability, Image, ImageStore, Lock, Temporary, diff_ids, disk};

/// An image to be named. Its manifest and configuration are given as bytes: their digests are what
/// the outside knows them by.
pub(in crate::image) struct NewImage<'a> {
    pub(in crate::image) manifest: &'a [u8],
    /// `None` = the OCI one.
    pub(in crate::image) media_type: Option<&'a str>,
    pub(in crate::image) config: &'a [u8],
    /// None = it can only be found by its ID.
    pub(in crate::image) references: &'a [Reference],
    /// What the registry calls it, if that is not the manifest's digest.
    pub(in crate::image) repo_digest: Option<Digest>,
}

/// More than so many bytes that are not on the disk yet are nothing to wait for: see
/// [`ImageStore::settle`].
const SYNCED_AT_ONCE: u64 = 16 << 20;

impl ImageStore {
    /// Says that something is coming in: until the lock is dropped nothing is deleted.
    pub(in crate::image) fn begin(&self) -> Result<Lock> {
        self.sweep()?;
        Lock::shared(&self.ingest_lock())
    }

    pub(super) fn ingest_lock(&self) -> PathBuf {
        self.layers().join("ingest.lock")
    }

    /// A directory for something unfinished, gone when it is dropped.
    pub(in crate::image) fn unfinished(&self) -> Result<Temporary> {
        Temporary::new(&self.layers())
    }

    /// Reads a layer into a new unfinished directory.
    pub(in crate::image) fn receive(
        &self,
        input: impl std::io::Read,
        mode: Blob,
        layer: &LayerSource,
    ) -> Result<(Temporary, Ingested)> {
        let unfinished = self.unfinished()?;
        let blob = unfinished.path().join("blob");
        let file = File::create_new(&blob).map_err(io_error("create", &blob))?;
        let sink = Sink::new(file, &blob);
        let ingested = self.unpack((Chunked::new(input), mode), sink, (&unfinished, layer))?;
        Ok((unfinished, ingested))
    }

    /// Reads a layer that its registry says is `size` bytes long; its blob is the partial one, and
    /// `input` begins with what is there of it.
    pub(in crate::image) fn receive_blob(
        &self,
        input: impl Chunks,
        (writer, path, kept): (File, &Path, u64),
        (layer, most): (&Descriptor, u64),
    ) -> Result<(Temporary, Ingested)> {
        let unfinished = self.unfinished()?;
        let sink = Sink {
            kept,
            most,
            ..Sink::new(writer, path)
        };
        let source = LayerSource::Blob(layer.digest);
        let ingested = self.unpack((input, Blob::AsIs), sink, (&unfinished, &source))?;
        Ok((unfinished, ingested))
    }

    fn unpack(
        &self,
        (input, mode): (impl Chunks, Blob),
        sink: Sink<'_>,
        (unfinished, layer): (&Temporary, &LayerSource),
    ) -> Result<Ingested> {
        let files = unfinished.path().join("fs");
        std::fs::create_dir(&files).map_err(io_error("create", &files))?;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&files, open).map_err(io_error("protect", &files))?;
        let limits = Limits::default()
            .within(self.free_space()?)
            .within(sink.most);
        ingest(input, mode, (sink, &files), limits).map_err(Error::layer(layer.clone()))
    }

    /// Bytes that a layer may fill: a disk that is full to the brim helps nobody.
    fn free_space(&self) -> Result<u64> {
        let layers = self.layers();
        let found = rustix::fs::statvfs(&layers);
        let found = found.map_err(|error| io_error("look at", &layers)(error.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize) / 10 * 9)
    }

    /// Sees to it that everything in the store survives a power cut. This takes as long as the disk
    /// does; until then the layers that came last are believed only as long as the machine runs.
    pub fn settle(&self) -> Result<()> {
        let unsynced = self.unsettled()?;
        if !unsynced.is_empty() {
            let inode = |diff_id: &Digest| self.inode(diff_id);
            let before = unsynced.iter().map(inode).collect::<Vec<_>>();
            self.sync()?;
            // Whoever deletes layers need not wait for the disk as well. One that has gone, or has
            // come anew since then, gets no mark.
            let _coming = Lock::shared(&self.ingest_lock())?;
            let same = |(diff_id, before): (&Digest, Option<u64>)| {
                (before.is_some() && inode(diff_id) == before).then_some(*diff_id)
            };
            let same = unsynced.iter().zip(before).filter_map(same);
            self.mark_synced(&same.collect::<Vec<_>>())?;
        }
        if !self.is_index_synced() {
            let _lock = Lock::exclusive(&self.index_lock())?;
            self.write_index(&self.read_index()?, Durability::Now)?;
        }
        Ok(())
    }

    /// Whether [`ImageStore::settle`] has something to do.
    pub fn is_settled(&self) -> Result<bool> {
        Ok(self.is_index_synced() && self.unsettled()?.is_empty())
    }

    fn sync(&self) -> Result<()> {
        let layers = self.layers();
        let synced = File::open(&layers)
            .and_then(|directory| rustix::fs::syncfs(directory).map_err(Into::into));
        synced.map_err(io_error("sync", &layers))
    }

    /// What tells a layer's directory from a later one of the same name.
    fn inode(&self, diff_id: &Digest) -> Option<u64> {
        let found = std::fs::metadata(self.layer_files(diff_id)).ok()?;
        Some(std::os::unix::fs::MetadataExt::ino(&found))
    }

    /// Unpacks layers again, from their blobs, that cannot be believed after a power cut.
    pub fn restore(&self, reference: &Reference) -> Result<Option<Image>> {
        let _coming = self.begin()?;
        let Some(descriptor) = self.descriptor(reference)? else {
            return Ok(None);
        };
        let (manifest, config) = self.documents(&descriptor)?;
        for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids(&config)?) {
            if self.has_layer(diff_id)? {
                continue;
            }
            let source = LayerSource::Blob(layer.digest);
            let path = self.blob(&layer.digest);
            let blob = File::open(&path).map_err(io_error("open", &path))?;
            let (unfinished, ingested) = self.receive(blob, Blob::AsIs, &source)?;
            let checked = ingested.verify(layer, diff_id);
            checked.map_err(Error::layer(source))?;
            self.install(&unfinished, &ingested)?;
        }
        self.inherit_attributes(&diff_ids(&config)?)?;
        self.get(reference)
    }

    /// Stores a document under its digest.
    pub(in crate::image) fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        disk::replace(&self.blob(&digest), bytes, Durability::WithTheNextSync)?;
        Ok(digest)
    }

    /// Names an image whose layers are all in the store: one sync for all of it, then the index.
    pub(in crate::image) fn commit(&self, new: &NewImage<'_>) -> Result<Image> {
        self.commit_with(new, Durability::Now)
    }

    /// The same. What can be made again need not wait for the disk: a power cut takes the name back.
    pub(super) fn commit_with(&self, new: &NewImage<'_>, durability: Durability) -> Result<Image> {
        let config_digest = self.put_blob(new.config)?;
        let manifest_digest = self.put_blob(new.manifest)?;
        let config_path = self.blob(&config_digest);
        let (config, _) = parse_config(&config_path, new.config)?;
        let manifest: Manifest = disk::parse(&self.blob(&manifest_digest), new.manifest)?;
        let diff_ids = diff_ids(&config)?;
        if diff_ids.len() != manifest.layers.len() {
            return Err(Error::LayerCount {
                config: diff_ids.len(),
                manifest: manifest.layers.len(),
            });
        }
        let media_type = new.media_type.unwrap_or(MANIFEST);
        let mut descriptor =
            Descriptor::new(media_type, manifest_digest, new.manifest.len() as u64);
        let size = diff_ids
            .iter()
            .map(|id| self.layer_size(id))
            .sum::<Result<u64>>()?;
        let notes = &mut descriptor.annotations;
        notes.insert(IMAGE_ID.to_owned(), config_digest.to_string());
        notes.insert(UNPACKED_SIZE.to_owned(), size.to_string());
        if let Some(digest) = new.repo_digest {
            notes.insert(REPO_DIGEST.to_owned(), digest.to_string());
            notes.insert(PULLED.to_owned(), jiff::Timestamp::now().to_string());
        }
        let _lock = Lock::exclusive(&self.index_lock())?;
        self.inherit_attributes(&diff_ids)?;
        if durability == Durability::Now && self.unsynced(&diff_ids)? <= SYNCED_AT_ONCE {
            self.sync()?;
            self.mark_synced(&diff_ids)?;
        }
        let mut index = self.read_index()?;
        for reference in new.references {
            index.set(reference, descriptor.clone());
        }
        if new.references.is_empty() {
            index.add(descriptor.clone());
        }
        self.write_index(&index, durability)?;
        let found = index
            .manifests
            .iter()
            .find(|found| found.digest == manifest_digest);
        self.image(&index, found.unwrap_or(&descriptor))
    }
}
