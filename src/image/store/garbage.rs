//! Taking away what nobody needs.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::Result;
use super::super::digest::Digest;
use super::super::error::{Error, io_error};
use super::super::layer::remove_tree;
use super::super::oci::{Descriptor, Index};
use super::super::reference::Reference;
use super::disk::{Durability, UNFINISHED, read_json};
use super::layers::LayerRecord;
use super::partial::{is_partial, is_stale};
use super::{ImageStore, Lock, Removed, Temporary, diff_ids};

impl ImageStore {
    /// Takes a name away, and with the last one the blobs and layers that no other image needs and
    /// that are not `in_use` (paths as in [`super::Image::layers`]).
    ///
    /// While a pull or import runs only the name goes; the rest is for the next [`ImageStore::prune`].
    pub fn remove(&self, reference: &Reference, in_use: &HashSet<PathBuf>) -> Result<Removed> {
        let mut removed = Removed::default();
        {
            let _lock = Lock::exclusive(&self.index_lock())?;
            let mut index = self.read_index()?;
            let Some(descriptor) = index.find(reference).cloned() else {
                return Err(Error::NoSuchImage {
                    reference: reference.clone(),
                });
            };
            let found = descriptor.digest;
            // A digest takes the names with it that it was found under.
            for name in index.names(&found) {
                if name == *reference || reference.digest().is_some() {
                    index.forget(&name);
                    removed.references.push(name);
                }
            }
            if index.names(&found).is_empty() {
                index
                    .manifests
                    .retain(|descriptor| descriptor.digest != found);
                removed.images.push(self.id_or_digest(&descriptor));
            }
            self.write_index(&index, Durability::Now)?;
        }
        removed.bytes = self.collect(in_use)?;
        Ok(removed)
    }

    /// Takes away every image without a name, and blobs and layers that nobody needs.
    pub fn prune(&self, in_use: &HashSet<PathBuf>) -> Result<Removed> {
        let mut removed = Removed::default();
        {
            let _lock = Lock::exclusive(&self.index_lock())?;
            let mut index = self.read_index()?;
            let unnamed = |index: &Index, digest: &Digest| index.names(digest).is_empty();
            let before = index.clone();
            index
                .manifests
                .retain(|found| !found.is_manifest() || !unnamed(&before, &found.digest));
            let gone = before
                .manifests
                .iter()
                .filter(|found| !index.manifests.contains(found));
            removed.images = gone.map(|found| self.id_or_digest(found)).collect();
            if index != before {
                self.write_index(&index, Durability::Now)?;
            }
        }
        removed.bytes = self.collect(in_use)?;
        Ok(removed)
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

    /// Deletes every blob and layer that no image of the index needs. Gives the bytes freed.
    fn collect(&self, in_use: &HashSet<PathBuf>) -> Result<u64> {
        let Some(_ingest) = Lock::try_exclusive(&self.ingest_lock())? else {
            return Ok(0);
        };
        self.sweep_unfinished()?;
        let _lock = Lock::exclusive(&self.index_lock())?;
        let (blobs, layers) = self.needed(&self.read_index()?)?;
        let mut freed = 0;
        for path in children(&self.images().join("blobs/sha256"))? {
            if !is_in(&path, &blobs) {
                freed += fs::symlink_metadata(&path).map_or(0, |found| found.size());
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        for path in children(&self.layers())? {
            if is_partial(&path) {
                freed += fs::symlink_metadata(&path).map_or(0, |found| found.size());
                fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
            let is_layer = path.file_name().is_some_and(|name| name.len() == 64);
            if is_layer && !is_in(&path, &layers) && !in_use.contains(&path.join("fs")) {
                let record = read_json::<LayerRecord>(&path.join("layer.json"))?;
                freed += record.map_or(0, |record| record.bytes);
                self.discard(&path)?;
            }
        }
        Ok(freed)
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

fn is_in(path: &Path, names: &HashSet<String>) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| names.contains(name))
}

fn children(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(io_error("read", directory))?;
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(io_error("read", directory))
        })
        .collect()
}
