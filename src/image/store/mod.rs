//! The content store: an OCI image layout and the unpacked layers beside it.
//!
//! ```text
//! <root>/images/oci-layout index.json blobs/sha256/<hex>
//!        layers/<diff id>/…   see layers.rs
//!        layers/index.lock    exclusive while index.json is replaced
//!        layers/part-<hex>    the first bytes of a blob, see partial.rs
//!        layers/ingest.lock   shared while something comes in, exclusive while something is deleted
//! ```
//!
//! Readers take no lock. Whoever brings something in holds `ingest.lock` shared from its first file to
//! the index, so that nobody takes its blobs for garbage; when nobody holds it, all that the index
//! does not name is garbage.

mod commit;
mod disk;
mod garbage;
mod index;
mod layers;
mod partial;
mod prune;
mod snapshot;
mod usage;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::image::ImageConfiguration;

use super::Result;
use super::config::{Healthcheck, parse_config};
use super::digest::Digest;
use super::error::{Error, io_error};
use super::oci::{Descriptor, Index, Manifest};
use super::reference::Reference;
use index::{IMAGE_ID, PULLED, REPO_DIGEST, UNPACKED_SIZE};

pub(super) use commit::NewImage;
use disk::Durability;
pub(super) use disk::{Lock, Temporary};
pub use garbage::{Cleaning, InUse};
pub use prune::{LabelRule, PruneRules};
pub(super) use snapshot::PackedLayer;
pub use snapshot::{Hold, Snapshot, StoredLayer};
pub use usage::{Parts, Usage};

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
    /// What registries call it, as far as it was fetched from them or sent to them: names with digests.
    pub repo_digests: Vec<Reference>,
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
    /// When its registry was last asked for it; `None` = it came in another way.
    pub pulled: Option<Timestamp>,
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
    /// As [`Image::repo_digests`].
    pub repo_digests: Vec<Reference>,
    /// Bytes of the unpacked layers.
    pub size: u64,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// Labels of its configuration.
    pub labels: BTreeMap<String, String>,
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
        let store = Self {
            root: root.to_owned(),
        };
        if !store.index_path().exists() {
            store.create()?;
        }
        Ok(store)
    }

    fn create(&self) -> Result<()> {
        for directory in [self.images().join("blobs/sha256"), self.layers()] {
            fs::create_dir_all(&directory).map_err(io_error("create", &directory))?;
        }
        // Set-uid programs of images are in there: users of the host must not get at them.
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(self.layers(), private).map_err(io_error("protect", &self.layers()))?;
        let _lock = Lock::exclusive(&self.index_lock())?;
        let layout = self.images().join("oci-layout");
        disk::replace(
            &layout,
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            disk::Durability::Now,
        )?;
        if !self.index_path().exists() {
            self.write_index(&Index::new(), Durability::Now)?;
        }
        Ok(())
    }

    fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    fn index_path(&self) -> PathBuf {
        self.images().join("index.json")
    }

    fn index_lock(&self) -> PathBuf {
        self.layers().join("index.lock")
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.images().join("blobs/sha256").join(digest.hex())
    }

    /// The last index that is on the disk for certain, as a second name of the same file.
    fn synced_index_path(&self) -> PathBuf {
        self.images().join("index.synced.json")
    }

    fn read_index(&self) -> Result<Index> {
        let found = match disk::read_json(&self.index_path()) {
            // What a power cut leaves of an index that was on its way to the disk.
            Err(Error::Corrupt { path, source }) => {
                match disk::read_json(&self.synced_index_path()) {
                    Ok(Some(synced)) => Some(synced),
                    _ => return Err(Error::Corrupt { path, source }),
                }
            }
            other => other?,
        };
        Ok(found.unwrap_or_else(Index::new))
    }

    fn write_index(&self, index: &Index, durability: Durability) -> Result<()> {
        let (path, synced) = (self.index_path(), self.synced_index_path());
        let bytes = serde_json::to_vec(index).map_err(|source| Error::Corrupt {
            path: path.clone(),
            source,
        })?;
        // Without something to go back to, as on a file system without links, nothing is put off.
        let put_off = durability == Durability::WithTheNextSync
            && (synced.exists() || disk::link_over(&path, &synced).is_ok());
        if put_off {
            return disk::replace(&path, &bytes, Durability::WithTheNextSync);
        }
        disk::replace(&path, &bytes, Durability::Now)?;
        if let Err(error) = disk::link_over(&path, &synced) {
            tracing::debug!(%error, "the index has no second name");
        }
        Ok(())
    }

    /// Whether a power cut cannot take the index back to an earlier one.
    fn is_index_synced(&self) -> bool {
        let inode = |path: &Path| {
            let found = fs::metadata(path).ok()?;
            Some(std::os::unix::fs::MetadataExt::ino(&found))
        };
        inode(&self.index_path()) == inode(&self.synced_index_path())
    }

    pub(super) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob(digest);
        fs::read(&path).map_err(io_error("read", &path))
    }

    /// The image a name stands for. A few small reads, no lock.
    ///
    /// # Errors
    /// When the store is damaged, or the image has come in by another tool and is not unpacked.
    pub fn get(&self, reference: &Reference) -> Result<Option<Image>> {
        let index = self.read_index()?;
        index
            .find(reference)
            .map(|found| self.image(&index, found))
            .transpose()
    }

    /// The image with this ID (digest of its configuration).
    pub fn get_by_id(&self, id: &Digest) -> Result<Option<Image>> {
        let index = self.read_index()?;
        for descriptor in index.manifests.iter().filter(|found| found.is_manifest()) {
            if self.id_of(descriptor)? == *id {
                return self.image(&index, descriptor).map(Some);
            }
        }
        Ok(None)
    }

    /// The image that a user means by a name, an ID, or the first digits of one.
    ///
    /// # Errors
    /// As [`ImageStore::get`], and when several images have an ID that begins so.
    pub fn find(&self, text: &str) -> Result<Option<Image>> {
        if let Ok(reference) = text.parse()
            && let Some(image) = self.get(&reference)?
        {
            return Ok(Some(image));
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let mut ids = HashSet::new();
        for descriptor in self
            .read_index()?
            .manifests
            .iter()
            .filter(|found| found.is_manifest())
        {
            ids.insert(self.id_of(descriptor)?);
        }
        ids.retain(|id| id.hex().starts_with(digits));
        match ids.len() {
            0 | 1 => ids
                .into_iter()
                .next()
                .map_or(Ok(None), |id| self.get_by_id(&id)),
            count => Err(Error::Ambiguous {
                text: text.to_owned(),
                count,
            }),
        }
    }

    /// Every image, the newest first.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        let index = self.read_index()?;
        let mut seen = HashSet::new();
        let mut list = Vec::new();
        for descriptor in index.manifests.iter().filter(|found| found.is_manifest()) {
            if !seen.insert(descriptor.digest) {
                continue;
            }
            let (manifest, config) = self.documents(descriptor)?;
            let created = config
                .created()
                .as_deref()
                .and_then(|text| text.parse().ok());
            list.push(ImageSummary {
                id: manifest.config.digest,
                manifest: descriptor.digest,
                references: index.names(&descriptor.digest),
                repo_digests: index.repo_digests(&descriptor.digest),
                size: self.size_of(descriptor, &config)?,
                created,
                labels: labels_of(&config),
            });
        }
        list.sort_by(|a, b| b.created.cmp(&a.created).then(a.id.cmp(&b.id)));
        Ok(list)
    }

    fn image(&self, index: &Index, descriptor: &Descriptor) -> Result<Image> {
        let path = self.blob(&descriptor.digest);
        let manifest: Manifest = disk::parse(&path, &self.read_blob(&descriptor.digest)?)?;
        let (config, healthcheck) = parse_config(
            &self.blob(&manifest.config.digest),
            &self.read_blob(&manifest.config.digest)?,
        )?;
        let references = index.names(&descriptor.digest);
        let mut layers = Vec::new();
        for diff_id in diff_ids(&config)? {
            let layer = self.layer_files(&diff_id);
            if !layer.is_dir() || !self.has_layer(&diff_id)? {
                let name = references
                    .first()
                    .map_or(manifest.config.digest.to_string(), Reference::familiar);
                return Err(Error::LayerMissing {
                    image: name,
                    diff_id,
                });
            }
            layers.push(layer);
        }
        Ok(Image {
            id: manifest.config.digest,
            manifest: descriptor.digest,
            references,
            repo_digests: index.repo_digests(&descriptor.digest),
            size: self.size_of(descriptor, &config)?,
            created: config
                .created()
                .as_deref()
                .and_then(|text| text.parse().ok()),
            pulled: descriptor
                .annotations
                .get(PULLED)
                .and_then(|text| text.parse().ok()),
            config,
            healthcheck,
            layers,
        })
    }

    fn documents(&self, descriptor: &Descriptor) -> Result<(Manifest, ImageConfiguration)> {
        let path = self.blob(&descriptor.digest);
        let manifest: Manifest = disk::parse(&path, &self.read_blob(&descriptor.digest)?)?;
        let path = self.blob(&manifest.config.digest);
        let (config, _) = parse_config(&path, &self.read_blob(&manifest.config.digest)?)?;
        Ok((manifest, config))
    }

    /// The annotation saves reading the manifest; other tools do not write it.
    fn id_of(&self, descriptor: &Descriptor) -> Result<Digest> {
        if let Some(id) = descriptor
            .annotations
            .get(IMAGE_ID)
            .and_then(|text| text.parse().ok())
        {
            return Ok(id);
        }
        let manifest: Manifest = disk::parse(
            &self.blob(&descriptor.digest),
            &self.read_blob(&descriptor.digest)?,
        )?;
        Ok(manifest.config.digest)
    }

    fn size_of(&self, descriptor: &Descriptor, config: &ImageConfiguration) -> Result<u64> {
        if let Some(size) = descriptor
            .annotations
            .get(UNPACKED_SIZE)
            .and_then(|text| text.parse().ok())
        {
            return Ok(size);
        }
        diff_ids(config)?.iter().map(|id| self.layer_size(id)).sum()
    }

    /// Bytes of each layer of an image, the bottom one first.
    pub(super) fn layer_sizes(&self, image: &Image) -> Result<Vec<u64>> {
        let ids = diff_ids(&image.config)?;
        ids.iter().map(|id| self.layer_size(id)).collect()
    }

    /// Notes that the registry was asked for an image, and has nothing newer.
    pub(super) fn note_pull(&self, reference: &Reference, now: Timestamp) -> Result<()> {
        let _lock = Lock::exclusive(&self.index_lock())?;
        let mut index = self.read_index()?;
        index.note(reference, (PULLED, now.to_string()));
        self.write_index(&index, Durability::Now)
    }

    /// Notes what its registry calls an image that was sent to it.
    pub(super) fn note_push(&self, reference: &Reference, digest: &Digest) -> Result<()> {
        let _lock = Lock::exclusive(&self.index_lock())?;
        let mut index = self.read_index()?;
        index.note(reference, (REPO_DIGEST, digest.to_string()));
        self.write_index(&index, Durability::Now)
    }

    /// Whether a name stands for something here.
    pub fn contains(&self, reference: &Reference) -> Result<bool> {
        Ok(self.read_index()?.find(reference).is_some())
    }

    /// What a name stands for, whatever it is.
    pub(super) fn descriptor(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        Ok(self.read_index()?.find(reference).cloned())
    }

    /// A manifest or index that is here.
    pub(super) fn descriptor_of(&self, digest: &Digest) -> Result<Option<Descriptor>> {
        let index = self.read_index()?;
        let found = index.manifests.into_iter();
        Ok(found.into_iter().find(|found| found.digest == *digest))
    }

    /// The IDs of all images.
    pub fn ids(&self) -> Result<HashSet<Digest>> {
        let index = self.read_index()?;
        let images = index.manifests.iter().filter(|found| found.is_manifest());
        images.map(|found| self.id_of(found)).collect()
    }

    /// The other repositories of a registry that have a blob of this image, as far as we know.
    pub(super) fn siblings(&self, reference: &Reference) -> Result<Vec<(String, HashSet<Digest>)>> {
        let index = self.read_index()?;
        let Some(found) = index.find(reference) else {
            return Ok(Vec::new());
        };
        let wanted = self.blobs_of(found);
        let mut siblings: Vec<(String, HashSet<Digest>)> = Vec::new();
        for other in &index.manifests {
            let Some(name) = index::name_of(other) else {
                continue;
            };
            let same = name.registry() == reference.registry();
            if !same || name.repository() == reference.repository() {
                continue;
            }
            // One that is damaged is of no use to us, and somebody else's trouble.
            let mut blobs = self.blobs_of(other);
            blobs.retain(|blob| wanted.contains(blob));
            match siblings
                .iter_mut()
                .find(|(known, _)| known == name.repository())
            {
                Some((_, known)) => known.extend(blobs),
                None if blobs.is_empty() => {}
                None => siblings.push((name.repository().to_owned(), blobs)),
            }
        }
        Ok(siblings)
    }

    /// The layers of a manifest; none when it cannot be read.
    fn blobs_of(&self, descriptor: &Descriptor) -> HashSet<Digest> {
        let bytes = self.read_blob(&descriptor.digest).unwrap_or_default();
        let manifest = serde_json::from_slice::<Manifest>(&bytes);
        let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
        layers.iter().map(|layer| layer.digest).collect()
    }

    /// Gives the image `source` one more name.
    pub fn tag(&self, source: &Reference, target: &Reference) -> Result<()> {
        let _lock = Lock::exclusive(&self.index_lock())?;
        let mut index = self.read_index()?;
        let Some(mut descriptor) = index.find(source).cloned() else {
            return Err(Error::NoSuchImage {
                reference: source.clone(),
            });
        };
        // What one registry calls it another one has never heard of.
        if !source.shares_repository(target) {
            descriptor.annotations.remove(REPO_DIGEST);
        }
        index.set(target, descriptor);
        self.write_index(&index, Durability::Now)
    }
}

/// The labels of a configuration.
pub(super) fn labels_of(config: &ImageConfiguration) -> BTreeMap<String, String> {
    let labels = config
        .config()
        .as_ref()
        .and_then(|run| run.labels().clone());
    labels.unwrap_or_default().into_iter().collect()
}

/// The layers of an image, the bottom one first.
pub(super) fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Digest>> {
    Ok(config
        .rootfs()
        .diff_ids()
        .iter()
        .map(|id| id.parse())
        .collect::<Result<_, _>>()?)
}
