//! Images that are made here: writable directories that become layers, and the documents on top.
//!
//! A layer that is made here has a plain archive as its blob: the digest of the blob is the layer's
//! diff id. It is hashed while it is written, and compressed when it is sent elsewhere.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Timespec, Timestamps, Uid};
use serde_json::{Map, Value};

use super::super::Result;
use super::super::digest::Digest;
use super::super::error::{Error, LayerSource, io_error};
use super::super::layer::{Compression, Ingested, Packing, compress, pack, remove_tree};
use super::super::oci::{CONFIG, Descriptor, MANIFEST, Manifest, oci_layer_type};
use super::super::reference::Reference;
use super::{Durability, Image, ImageStore, Lock, NewImage, Temporary, disk};

/// Nothing of the store is deleted while this lives.
#[derive(Debug)]
pub struct Hold {
    _lock: Lock,
}

/// A writable directory on its way to becoming a layer. Dropped, it is gone.
#[derive(Debug)]
pub struct Snapshot {
    temporary: Temporary,
}

impl Snapshot {
    /// What becomes the layer: an upper directory of overlayfs.
    pub fn upper(&self) -> PathBuf {
        self.temporary.path().join("fs")
    }

    /// The work directory that goes with it.
    pub fn work(&self) -> PathBuf {
        self.temporary.path().join("work")
    }

    /// For whatever else is needed meanwhile: it goes with the snapshot.
    pub fn scratch(&self) -> PathBuf {
        self.temporary.path().join("scratch")
    }
}

/// The compressed archive of a layer. Dropped, it is gone.
#[derive(Debug)]
pub(in crate::image) struct PackedLayer {
    pub(in crate::image) path: PathBuf,
    pub(in crate::image) blob: Descriptor,
    _temporary: Temporary,
}

/// A layer of the store with its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLayer {
    /// Digest of its archive.
    pub diff_id: Digest,
    /// Its unpacked files.
    pub files: PathBuf,
    blob: Descriptor,
}

impl ImageStore {
    /// Keeps everything in the store from being deleted.
    pub fn hold(&self) -> Result<Hold> {
        Ok(Hold {
            _lock: self.begin()?,
        })
    }

    /// The same without looking for what killed processes have left: for those who bring nothing in.
    pub fn hold_only(&self) -> Result<Hold> {
        Ok(Hold {
            _lock: Lock::shared(&self.ingest_lock())?,
        })
    }

    /// A new snapshot whose top directory looks like that of `below`; `None` = root's, mode 0755.
    pub fn snapshot(&self, below: Option<&Path>) -> Result<Snapshot> {
        let snapshot = Snapshot {
            temporary: self.unfinished()?,
        };
        for directory in [snapshot.upper(), snapshot.work(), snapshot.scratch()] {
            std::fs::create_dir(&directory).map_err(io_error("create", &directory))?;
        }
        let upper = snapshot.upper();
        let look = || -> rustix::io::Result<()> {
            let Some(below) = below else {
                return rustix::fs::chmod(&upper, Mode::from_raw_mode(0o755));
            };
            let stat = rustix::fs::stat(below)?;
            let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
            rustix::fs::chown(&upper, Some(uid), Some(gid))?;
            rustix::fs::chmod(&upper, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
            let time = |seconds, nanoseconds| Timespec {
                tv_sec: seconds,
                tv_nsec: nanoseconds,
            };
            let times = Timestamps {
                last_access: time(stat.st_mtime, stat.st_mtime_nsec as _),
                last_modification: time(stat.st_mtime, stat.st_mtime_nsec as _),
            };
            let none = rustix::fs::AtFlags::empty();
            rustix::fs::utimensat(rustix::fs::CWD, &upper, &times, none)
        };
        look().map_err(|error| io_error("prepare", &upper)(error.into()))?;
        Ok(snapshot)
    }

    /// Makes a layer of what is in the snapshot. Nothing is synced: that is for [`ImageStore::settle`].
    pub fn keep(&self, snapshot: Snapshot, packing: Packing) -> Result<StoredLayer> {
        let temporary = snapshot.temporary.path();
        for directory in [snapshot.work(), snapshot.scratch()] {
            remove_tree(&directory).map_err(io_error("remove", &directory))?;
        }
        let blob = temporary.join("blob");
        let file = File::create_new(&blob).map_err(io_error("create", &blob))?;
        let packed = pack(&snapshot.upper(), &file, packing)
            .map_err(Error::layer(LayerSource::Import("this step".to_owned())))?;
        let layer = Ingested {
            compression: Compression::None,
            digest: packed.digest,
            size: packed.size,
            diff_id: packed.digest,
            bytes: packed.bytes,
            entries: packed.entries,
            implied: Vec::new(),
        };
        self.install(&snapshot.temporary, &layer)?;
        Ok(self.made_layer(&layer.diff_id, layer.size))
    }

    fn made_layer(&self, diff_id: &Digest, size: u64) -> StoredLayer {
        StoredLayer {
            diff_id: *diff_id,
            files: self.layer_files(diff_id),
            blob: Descriptor::new(Compression::None.media_type(), *diff_id, size),
        }
    }

    /// A layer that was made by [`ImageStore::keep`], here or elsewhere, if it is still there with an
    /// archive.
    pub fn kept(&self, diff_id: &Digest) -> Result<Option<StoredLayer>> {
        if !self.has_layer(diff_id)? {
            return Ok(None);
        }
        if let Ok(blob) = std::fs::metadata(self.blob(diff_id)) {
            return Ok(Some(self.made_layer(diff_id, blob.len())));
        }
        let compressed = self.compressed(diff_id)?;
        let fetched = compressed.filter(|blob| self.has_blob(blob));
        Ok(fetched.map(|blob| StoredLayer {
            diff_id: *diff_id,
            files: self.layer_files(diff_id),
            blob,
        }))
    }

    /// Compresses the archive of a layer that was made here; `None` = it is not there, or damaged. `tell`
    /// gets the number of bytes read; its error ends the work.
    pub(in crate::image) fn compress_layer(
        &self,
        diff_id: &Digest,
        tell: impl FnMut(u64) -> std::io::Result<()>,
    ) -> Result<Option<PackedLayer>> {
        let Ok(plain) = File::open(self.blob(diff_id)) else {
            return Ok(None);
        };
        let temporary = self.unfinished()?;
        let path = temporary.path().join("blob");
        let file = File::create_new(&path).map_err(io_error("create", &path))?;
        let made = compress(plain, file, tell).map_err(io_error("compress to", &path))?;
        let blob = Descriptor::new(Compression::Gzip.media_type(), made.digest, made.size);
        let whole = made.plain == *diff_id;
        Ok(whole.then_some(PackedLayer {
            path,
            blob,
            _temporary: temporary,
        }))
    }

    /// The layers of an image, the bottom one first.
    pub fn layers_of(&self, image: &Image) -> Result<Vec<StoredLayer>> {
        let path = self.blob(&image.manifest);
        let manifest: Manifest = disk::parse(&path, &self.read_blob(&image.manifest)?)?;
        let diff_ids = super::diff_ids(&image.config)?;
        if diff_ids.len() != manifest.layers.len() {
            return Err(Error::LayerCount {
                config: diff_ids.len(),
                manifest: manifest.layers.len(),
            });
        }
        let pairs = diff_ids.iter().zip(manifest.layers);
        Ok(pairs
            .map(|(diff_id, mut blob)| {
                blob.media_type = oci_layer_type(&blob.media_type);
                blob.annotations.clear();
                StoredLayer {
                    diff_id: *diff_id,
                    files: self.layer_files(diff_id),
                    blob,
                }
            })
            .collect())
    }

    /// The configuration of an image as the JSON it is.
    pub fn raw_config(&self, image: &Image) -> Result<Map<String, Value>> {
        let bytes = self.read_blob(&image.id)?;
        disk::parse(&self.blob(&image.id), &bytes)
    }

    /// Makes an image of a configuration and layers that are in the store, and gives it its names.
    /// When the names stand for this very image already, nothing is written. Nothing waits for the
    /// disk, either: what a power cut takes is built again.
    pub fn name_image(
        &self,
        config: &[u8],
        layers: &[StoredLayer],
        names: &[Reference],
    ) -> Result<Image> {
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Descriptor::new(CONFIG, Digest::of(config), config.len() as u64),
            layers: layers.iter().map(|layer| layer.blob.clone()).collect(),
        };
        let manifest = serde_json::to_vec(&manifest).map_err(|source| Error::Corrupt {
            path: "the image's manifest".into(),
            source,
        })?;
        let digest = Digest::of(&manifest);
        let index = self.read_index()?;
        let known = |name: &Reference| {
            let found = index.find(name);
            found.is_some_and(|found| found.digest == digest)
        };
        let found = index.manifests.iter().find(|found| found.digest == digest);
        if let Some(found) = found.filter(|_| names.iter().all(known)) {
            return self.image(&index, found);
        }
        let new = NewImage {
            manifest: &manifest,
            media_type: None,
            config,
            references: names,
            repo_digest: None,
        };
        self.commit_with(&new, Durability::WithTheNextSync)
    }

    /// File names of the layers, and of their blobs, that are kept for another reason than an image:
    /// the files of this directory are named after them.
    pub(super) fn kept_elsewhere(&self) -> HashSet<String> {
        let entries = std::fs::read_dir(self.root.join("build-cache/layers"));
        let names = entries.into_iter().flatten().flatten();
        names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::layer::Packing;
    use super::*;

    fn store() -> (tempfile::TempDir, ImageStore) {
        let root = tempfile::tempdir().unwrap();
        let store = ImageStore::open(root.path()).unwrap();
        (root, store)
    }

    fn layer(store: &ImageStore, content: &str) -> StoredLayer {
        let snapshot = store.snapshot(None).unwrap();
        std::fs::write(snapshot.upper().join("file"), content).unwrap();
        let packing = Packing {
            latest: Some(1),
            ..Packing::default()
        };
        store.keep(snapshot, packing).unwrap()
    }

    fn config(layers: &[StoredLayer]) -> Vec<u8> {
        let ids: Vec<String> = layers
            .iter()
            .map(|layer| layer.diff_id.to_string())
            .collect();
        serde_json::to_vec(&serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": ids},
        }))
        .unwrap()
    }

    #[test]
    fn the_same_files_make_the_same_layer_and_the_same_image() {
        let (_root, store) = store();
        let first = layer(&store, "a");
        assert_eq!(layer(&store, "a"), first);
        assert_ne!(layer(&store, "b").diff_id, first.diff_id);
        assert_eq!(store.kept(&first.diff_id).unwrap(), Some(first.clone()));
        let layers = [first];
        let name: Reference = "built".parse().unwrap();
        let names = std::slice::from_ref(&name);
        let image = store.name_image(&config(&layers), &layers, names).unwrap();
        let again = store.name_image(&config(&layers), &layers, names).unwrap();
        assert_eq!(image.id, again.id);
        assert_eq!(store.layers_of(&image).unwrap(), layers);
        assert_eq!(store.get(&name).unwrap().unwrap().id, image.id);
    }

    #[test]
    fn a_power_cut_takes_the_last_built_image_back_and_no_other() {
        let (_root, store) = store();
        let [one, two] = ["one", "two"].map(|text| text.parse::<Reference>().unwrap());
        let build = |content: &str, name: &Reference| {
            let layers = [layer(&store, content)];
            let names = std::slice::from_ref(name);
            store.name_image(&config(&layers), &layers, names).unwrap()
        };
        build("a", &one);
        assert!(!store.is_settled().unwrap());
        store.settle().unwrap();
        assert!(store.is_settled().unwrap());
        let second = build("b", &two);
        assert!(!store.is_settled().unwrap());
        std::fs::write(store.index_path(), "").unwrap();
        assert!(store.get(&one).unwrap().is_some());
        assert!(store.get(&two).unwrap().is_none());
        assert_eq!(build("b", &two).id, second.id);
        store.settle().unwrap();
        assert!(store.is_settled().unwrap());
        assert!(store.get(&one).unwrap().is_some());
        assert!(store.get(&two).unwrap().is_some());
    }

    #[test]
    fn layers_of_the_build_cache_outlive_the_images() {
        let (root, store) = store();
        let (kept, gone) = (layer(&store, "a"), layer(&store, "b"));
        let marks = root.path().join("build-cache/layers");
        std::fs::create_dir_all(&marks).unwrap();
        std::fs::write(marks.join(kept.diff_id.hex()), "").unwrap();
        let cleaning = store.clean(std::time::Duration::ZERO).unwrap();
        cleaning.collect(&super::super::InUse::default()).unwrap();
        assert!(store.kept(&kept.diff_id).unwrap().is_some());
        assert!(store.kept(&gone.diff_id).unwrap().is_none());
    }
}
