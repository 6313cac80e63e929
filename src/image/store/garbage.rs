//! Taking away what nobody needs.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::Result;
use super::super::digest::Digest;
use super::super::error::{Error, io_error};
use super::super::layer::remove_tree;
use super::super::oci::{Descriptor, Index};
use super::super::reference::Reference;
use super::disk::{Durability, UNFINISHED, read_json};
use super::index::name_of;
use super::layers::LayerRecord;
use super::partial::{is_partial, is_stale};
use super::prune::{Candidate, PruneRules};
use super::{ImageStore, Lock, Removed, Temporary, diff_ids, labels_of};

/// How long [`ImageStore::clean`] waits before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// What containers need.
#[derive(Debug, Clone, Default)]
pub struct InUse {
    /// IDs of the images that they were made of.
    pub images: HashSet<Digest>,
    /// The layers that they stand on (paths as in [`super::Image::layers`]).
    pub layers: HashSet<PathBuf>,
}

/// The right to delete: nothing comes in while this lives. What is in use is to be looked up after it was
/// got, for whoever makes a container of an image holds the store until the container is there.
#[derive(Debug)]
pub struct Cleaning<'a> {
    store: &'a ImageStore,
    _lock: Lock,
}

impl ImageStore {
    /// Waits until nothing comes in, and keeps everything out from then on.
    ///
    /// # Errors
    /// [`Error::Busy`] when something still comes in after `patience`.
    pub fn clean(&self, patience: Duration) -> Result<Cleaning<'_>> {
        let started = Instant::now();
        loop {
            if let Some(lock) = Lock::try_exclusive(&self.ingest_lock())? {
                return Ok(Cleaning {
                    store: self,
                    _lock: lock,
                });
            }
            if started.elapsed() >= patience {
                return Err(Error::Busy);
            }
            std::thread::sleep(ASK_AGAIN);
        }
    }

    /// Takes a name away. An image that has no other stays, without a name, until it is pruned or
    /// [forgotten](ImageStore::forget).
    pub fn untag(&self, reference: &Reference) -> Result<Vec<Reference>> {
        let _lock = Lock::exclusive(&self.index_lock())?;
        let mut index = self.read_index()?;
        let Some(found) = index.find(reference).map(|found| found.digest) else {
            return Err(Error::NoSuchImage {
                reference: reference.clone(),
            });
        };
        let mut names = index.names(&found);
        // A digest takes the names with it that it was found under.
        names.retain(|name| name == reference || reference.digest().is_some());
        for name in &names {
            index.forget(name);
        }
        self.write_index(&index, Durability::Now)?;
        Ok(names)
    }

    /// Takes images away with all their names; blobs and layers go with the next
    /// [`Cleaning::collect`]. One that is not there is passed over.
    pub fn forget(&self, ids: &[Digest]) -> Result<Removed> {
        let _lock = Lock::exclusive(&self.index_lock())?;
        let mut index = self.read_index()?;
        let mut removed = Removed::default();
        let mut kept = Vec::with_capacity(index.manifests.len());
        for found in std::mem::take(&mut index.manifests) {
            let id = self.id_or_digest(&found);
            if !found.is_manifest() || !ids.contains(&id) {
                kept.push(found);
                continue;
            }
            removed.references.extend(name_of(&found));
            if !removed.images.contains(&id) {
                removed.images.push(id);
            }
        }
        index.manifests = kept;
        if !removed.images.is_empty() {
            self.write_index(&index, Durability::Now)?;
        }
        Ok(removed)
    }

    /// The images that the rules name.
    pub fn doomed(&self, rules: &PruneRules, in_use: &InUse) -> Result<Vec<Digest>> {
        Ok(rules.doomed(&self.candidates()?, &in_use.images))
    }

    fn candidates(&self) -> Result<Vec<Candidate>> {
        let index = self.read_index()?;
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        for descriptor in index.manifests.iter().filter(|found| found.is_manifest()) {
            if !seen.insert(descriptor.digest) {
                continue;
            }
            // One that is damaged can still be taken away.
            let config = self.documents(descriptor).map(|(_, config)| config).ok();
            let labels = config.as_ref().map(labels_of);
            let created = config.and_then(|config| config.created().as_deref()?.parse().ok());
            found.push(Candidate {
                id: self.id_or_digest(descriptor),
                is_named: !index.names(&descriptor.digest).is_empty(),
                created,
                labels: labels.unwrap_or_default(),
            });
        }
        Ok(found)
    }

    /// What people know an image by. One that is damaged can still be taken away.
    fn id_or_digest(&self, descriptor: &Descriptor) -> Digest {
        self.id_of(descriptor).unwrap_or(descriptor.digest)
    }

    /// Takes away what killed imports and pulls have left behind. Cheap when there is nothing.
    pub fn sweep(&self) -> Result<()> {
        let Some(_lock) = Lock::try_exclusive(&self.ingest_lock())? else {
            return Ok(());
        };
        self.sweep_unfinished()
    }

    /// With the ingest lock held exclusively nobody is at work on an unfinished thing, except on the
    /// index, which has a lock of its own.
    fn sweep_unfinished(&self) -> Result<()> {
        for directory in [self.layers(), self.images().join("blobs/sha256")] {
            Self::sweep_directory(&directory)?;
        }
        match Lock::try_exclusive(&self.index_lock())? {
            Some(_lock) => Self::sweep_directory(&self.images()),
            None => Ok(()),
        }
    }

    fn sweep_directory(directory: &Path) -> Result<()> {
        for path in children(directory)? {
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            if name.is_some_and(|name| name.contains(UNFINISHED)) || is_stale(&path) {
                remove_tree(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    /// A layer goes by rename, so that it is never there in part.
    fn discard(&self, layer: &Path) -> Result<()> {
        let gone = Temporary::new(&self.layers())?;
        let aside = gone.path().join("layer");
        fs::rename(layer, &aside).map_err(io_error("move away", layer))
    }

    /// File names of the blobs and layers that the index needs.
    fn needed(&self, index: &Index) -> Result<(HashSet<String>, HashSet<String>)> {
        let mut layers = self.kept_elsewhere();
        let mut blobs = layers.clone();
        for name in &layers {
            blobs.extend(self.compressed_name(name));
        }
        for descriptor in &index.manifests {
            blobs.insert(descriptor.digest.hex());
            if !descriptor.is_manifest() {
                self.keep_foreign(&descriptor.digest, &mut blobs)?;
                continue;
            }
            let (manifest, config) = self.documents(descriptor)?;
            blobs.insert(manifest.config.digest.hex());
            blobs.extend(manifest.layers.iter().map(|layer| layer.digest.hex()));
            layers.extend(diff_ids(&config)?.iter().map(Digest::hex));
        }
        Ok((blobs, layers))
    }

    /// The file name of a layer's compressed archive.
    fn compressed_name(&self, layer: &str) -> Option<String> {
        let diff_id = format!("sha256:{layer}").parse().ok()?;
        // Of a layer that is damaged there is nothing to keep.
        let blob = self.compressed(&diff_id).ok().flatten()?;
        Some(blob.digest.hex())
    }

    /// Another tool may have put a document into the layout that this one does not use: nothing that
    /// it names is deleted, however deep.
    fn keep_foreign(&self, digest: &Digest, blobs: &mut HashSet<String>) -> Result<()> {
        let Some(document) = read_json::<serde_json::Value>(&self.blob(digest)).unwrap_or(None)
        else {
            return Ok(());
        };
        let mut rest = vec![&document];
        let mut found = Vec::new();
        while let Some(value) = rest.pop() {
            match value {
                serde_json::Value::Object(map) => rest.extend(map.values()),
                serde_json::Value::Array(list) => rest.extend(list),
                serde_json::Value::String(text) => found.extend(text.parse::<Digest>()),
                _ => {}
            }
        }
        for digest in found {
            if blobs.insert(digest.hex()) {
                self.keep_foreign(&digest, blobs)?;
            }
        }
        Ok(())
    }
}

impl Cleaning<'_> {
    /// Takes away the images that the rules name, and whatever nobody needs.
    pub fn prune(&self, rules: &PruneRules, in_use: &InUse) -> Result<Removed> {
        let doomed = self.store.doomed(rules, in_use)?;
        let mut removed = self.store.forget(&doomed)?;
        removed.bytes = self.collect(in_use)?;
        Ok(removed)
    }

    /// Deletes every blob and layer that neither an image of the index nor a container needs. Gives the
    /// bytes freed.
    pub fn collect(&self, in_use: &InUse) -> Result<u64> {
        let store = self.store;
        store.sweep_unfinished()?;
        let _lock = Lock::exclusive(&store.index_lock())?;
        let (blobs, layers) = store.needed(&store.read_index()?)?;
        let mut freed = 0;
        for path in children(&store.images().join("blobs/sha256"))? {
            if !is_in(&path, &blobs) {
                freed += fs::symlink_metadata(&path).map_or(0, |found| found.size());
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        for path in children(&store.layers())? {
            if is_partial(&path) {
                freed += fs::symlink_metadata(&path).map_or(0, |found| found.size());
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
            let is_layer = path.file_name().is_some_and(|name| name.len() == 64);
            if is_layer && !is_in(&path, &layers) && !in_use.layers.contains(&path.join("fs")) {
                let record = read_json::<LayerRecord>(&path.join("layer.json"));
                freed += record.ok().flatten().map_or(0, |record| record.bytes);
                store.discard(&path)?;
            }
        }
        Ok(freed)
    }
}

fn is_in(path: &Path, names: &HashSet<String>) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| names.contains(name))
}

pub(super) fn children(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(io_error("read", directory))?;
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(io_error("read", directory))
        })
        .collect()
}
