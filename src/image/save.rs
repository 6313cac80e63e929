//! Images go into an archive that Docker, podman, skopeo and this program load.
//!
//! As `docker save` since version 25 the archive is two things at once: an OCI image layout
//! (`index.json`) and a docker-archive (`manifest.json`), over the same blobs. Blobs are copied as
//! they are in the store, so it takes no memory to speak of, however large an image is. The same
//! images give the same bytes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};

use serde_json::{Value, json};

use super::Result;
use super::digest::Digest;
use super::error::{Error, io_error};
use super::layer::{EntryBody, encode_entry, padding};
use super::oci::{Descriptor, Index, MANIFEST, Manifest};
use super::progress::{Phase, Progress, ProgressSink};
use super::reference::Reference;
use super::store::{Image, ImageStore};

/// An image to be saved, and the names that go with it.
#[derive(Debug, Clone)]
pub struct SavedImage {
    /// The image.
    pub image: Image,
    /// Its names in the archive; none = it can only be found by its ID.
    pub names: Vec<Reference>,
}

/// What an image consists of.
struct Parts {
    manifest: Descriptor,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

impl ImageStore {
    /// The images that `docker save TEXT` means: a name without tag means all tags of it, an ID (or
    /// its first digits) the image without names.
    ///
    /// # Errors
    /// As [`ImageStore::find`]. `None` when there is no such image.
    pub fn to_save(&self, text: &str) -> Result<Option<Vec<SavedImage>>> {
        let reference = text.parse::<Reference>().ok();
        let is_bare = |reference: &Reference| {
            let last = text.rsplit('/').next().unwrap_or(text);
            reference.digest().is_none() && !last.contains(':')
        };
        if let Some(wanted) = reference.as_ref().filter(|reference| is_bare(reference)) {
            let all = self.of_repository(wanted)?;
            if !all.is_empty() {
                return Ok(Some(all));
            }
        }
        let Some(image) = self.find(text)? else {
            return Ok(None);
        };
        let by_tag = |reference: &Reference| {
            reference.digest().is_none() && image.references.contains(reference)
        };
        let names = reference.into_iter().filter(by_tag).collect();
        Ok(Some(vec![SavedImage { image, names }]))
    }

    /// Every image that a tag of this repository stands for.
    fn of_repository(&self, wanted: &Reference) -> Result<Vec<SavedImage>> {
        let is_it = |name: &&Reference| {
            name.registry() == wanted.registry()
                && name.repository() == wanted.repository()
                && name.tag().is_some()
        };
        let mut found = Vec::new();
        for summary in self.list()? {
            let names: Vec<Reference> = summary.references.iter().filter(is_it).cloned().collect();
            let Some(first) = names.first() else {
                continue;
            };
            if let Some(image) = self.get(first)? {
                found.push(SavedImage { image, names });
            }
        }
        Ok(found)
    }

    /// Writes images into one archive. Nothing of the store is deleted meanwhile.
    ///
    /// # Errors
    /// When a blob is not in the store, before the first byte is written; or `out` takes no more.
    pub fn save(
        &self,
        images: &[SavedImage],
        out: &mut dyn Write,
        progress: ProgressSink<'_>,
    ) -> Result<()> {
        let _hold = self.hold()?;
        let merged = merge(images);
        let mut all = Vec::new();
        for saved in &merged {
            all.push((saved, self.parts(saved)?));
        }
        let documents = [
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json", to_json(&index(&all))?),
            ("manifest.json", to_json(&docker_manifest(&all))?),
        ];
        let mut archive = Archive { out, done: 0 };
        for directory in ["blobs/", "blobs/sha256/"] {
            archive.header(directory, &EntryBody::Directory)?;
        }
        for (name, bytes) in documents {
            archive.header(name, &EntryBody::File(bytes.len() as u64))?;
            archive.data(&mut &bytes[..], bytes.len() as u64)?;
        }
        let blobs = blobs_of(&all);
        let total: u64 = blobs.iter().map(|blob| blob.size).sum();
        for blob in &blobs {
            self.save_blob(blob, &mut archive)?;
            let done = archive.done.min(total);
            let phase = Phase::Transfer {
                done,
                total: Some(total),
            };
            progress(Progress { layer: None, phase });
        }
        // Two blocks of zeros are the end (POSIX.1, ustar interchange format).
        archive.write(&[0; 1024])?;
        archive.out.flush().map_err(write_error)?;
        progress(Progress {
            layer: None,
            phase: Phase::Done,
        });
        Ok(())
    }

    /// The documents and layers of an image, all of them in the store and as long as they say.
    fn parts(&self, saved: &SavedImage) -> Result<Parts> {
        let image = &saved.image;
        let bytes = self.read_blob(&image.manifest)?;
        let manifest: Manifest =
            serde_json::from_slice(&bytes).map_err(|source| Error::Corrupt {
                path: self.blob(&image.manifest),
                source,
            })?;
        let media_type = manifest.media_type.as_deref().unwrap_or(MANIFEST);
        let parts = Parts {
            manifest: Descriptor::new(media_type, image.manifest, bytes.len() as u64),
            config: manifest.config,
            layers: manifest.layers,
        };
        for blob in parts.layers.iter().chain([&parts.config]) {
            let found = std::fs::metadata(self.blob(&blob.digest));
            if !found.is_ok_and(|found| found.len() == blob.size) {
                let image = match saved.names.first().or(image.references.first()) {
                    Some(name) => name.familiar(),
                    None => image.id.to_string(),
                };
                let digest = blob.digest;
                return Err(Error::SaveMissing { image, digest });
            }
        }
        Ok(parts)
    }

    fn save_blob(&self, blob: &Descriptor, archive: &mut Archive<'_>) -> Result<()> {
        let path = self.blob(&blob.digest);
        let mut file = File::open(&path).map_err(io_error("open", &path))?;
        archive.header(&blob_name(&blob.digest), &EntryBody::File(blob.size))?;
        archive.data(&mut file, blob.size)
    }
}

/// An image that was asked for under several names is in the archive once, with all of them.
fn merge(images: &[SavedImage]) -> Vec<SavedImage> {
    let mut merged: Vec<SavedImage> = Vec::new();
    for saved in images {
        let at = merged
            .iter()
            .position(|known| known.image.manifest == saved.image.manifest);
        let known = match at {
            Some(at) => &mut merged[at],
            None => {
                merged.push(SavedImage {
                    image: saved.image.clone(),
                    names: Vec::new(),
                });
                match merged.last_mut() {
                    Some(last) => last,
                    None => continue,
                }
            }
        };
        for name in &saved.names {
            if !known.names.contains(name) {
                known.names.push(name.clone());
            }
        }
    }
    merged
}

/// Each blob once, in the order of the images.
fn blobs_of<'a>(all: &'a [(&SavedImage, Parts)]) -> Vec<&'a Descriptor> {
    let mut seen = HashSet::new();
    let blobs = all.iter().flat_map(|(_, parts)| {
        [&parts.manifest, &parts.config]
            .into_iter()
            .chain(&parts.layers)
    });
    blobs.filter(|blob| seen.insert(blob.digest)).collect()
}

/// The layout's index: a descriptor for each name, annotated as containerd and Docker do.
fn index(all: &[(&SavedImage, Parts)]) -> Index {
    let mut index = Index {
        schema_version: 2,
        media_type: Some(super::oci::INDEX.to_owned()),
        manifests: Vec::new(),
    };
    for (saved, parts) in all {
        if saved.names.is_empty() {
            index.manifests.push(parts.manifest.clone());
        }
        for name in &saved.names {
            let mut descriptor = parts.manifest.clone();
            let notes = &mut descriptor.annotations;
            notes.insert("io.containerd.image.name".to_owned(), name.to_string());
            if let Some(tag) = name.tag() {
                let key = "org.opencontainers.image.ref.name";
                notes.insert(key.to_owned(), tag.to_owned());
            }
            index.manifests.push(descriptor);
        }
    }
    index
}

fn docker_manifest(all: &[(&SavedImage, Parts)]) -> Value {
    let images = all.iter().map(|(saved, parts)| {
        let names: Vec<String> = saved.names.iter().map(Reference::familiar).collect();
        let layers = parts.layers.iter().map(|layer| blob_name(&layer.digest));
        json!({
            "Config": blob_name(&parts.config.digest),
            "RepoTags": (!names.is_empty()).then_some(names),
            "Layers": layers.collect::<Vec<_>>(),
        })
    });
    images.collect()
}

fn to_json(document: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(|source| Error::Corrupt {
        path: "the archive's index".into(),
        source,
    })
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn write_error(source: io::Error) -> Error {
    Error::Write { source }
}

/// A tar archive that is being written.
struct Archive<'a> {
    out: &'a mut dyn Write,
    /// Bytes of files that were written.
    done: u64,
}

impl Archive<'_> {
    fn header(&mut self, name: &str, body: &EntryBody<'_>) -> Result<()> {
        let mode = match body {
            EntryBody::Directory => 0o755,
            _ => 0o644,
        };
        self.write(&encode_entry(name.as_bytes(), body, mode))
    }

    /// Copies exactly `size` bytes, and fills the last block.
    fn data(&mut self, input: &mut dyn Read, size: u64) -> Result<()> {
        let mut buffer = vec![0; 128 << 10];
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = match input.read(&mut buffer[..most]) {
                Ok(0) => return Err(write_error(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(write_error(error)),
            };
            self.write(&buffer[..count])?;
            left -= count as u64;
        }
        self.done += size;
        self.write(&[0; 512][..padding(size)])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(write_error)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::testing::{Tar, store};
    use super::super::{ImportOptions, no_progress};
    use super::*;

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn filled() -> (tempfile::TempDir, ImageStore) {
        let (root, store) = store();
        for (image, file) in [("web:1", "a"), ("db:2", "b")] {
            let archive = Tar::new().file("f", file).finish();
            let options = ImportOptions::default();
            let made = store.import_rootfs(&archive[..], &name(image), &options, &no_progress);
            made.unwrap();
        }
        store.tag(&name("web:1"), &name("web:one")).unwrap();
        (root, store)
    }

    fn saved(store: &ImageStore, images: &[&str]) -> Vec<u8> {
        let found = images
            .iter()
            .flat_map(|text| store.to_save(text).unwrap().unwrap());
        let mut out = Vec::new();
        let found: Vec<SavedImage> = found.collect();
        store.save(&found, &mut out, &no_progress).unwrap();
        out
    }

    #[test]
    fn several_images_go_from_store_to_store_with_their_names() {
        let (_root, source) = filled();
        let archive = saved(&source, &["web:1", "db:2", "web:one"]);
        assert_eq!(archive, saved(&source, &["web:1", "db:2", "web:one"]));
        let (_root, target) = store();
        let mut loaded = target.load(&archive[..], &no_progress).unwrap();
        loaded.sort_by_key(Reference::familiar);
        assert_eq!(loaded, [name("db:2"), name("web:1"), name("web:one")]);
        for image in ["web:1", "db:2"] {
            let (a, b) = (source.get(&name(image)), target.get(&name(image)));
            assert_eq!(a.unwrap().unwrap().manifest, b.unwrap().unwrap().manifest);
        }
    }

    #[test]
    fn a_name_without_tag_is_all_its_tags_and_an_id_has_no_name() {
        let (_root, store) = filled();
        let names = |text: &str| -> Vec<Vec<String>> {
            let found = store.to_save(text).unwrap().unwrap();
            let names = found
                .iter()
                .map(|saved| saved.names.iter().map(Reference::familiar).collect());
            names.collect()
        };
        assert_eq!(names("web"), [["web:1", "web:one"]]);
        assert_eq!(names("web:one"), [["web:one"]]);
        let id = store.get(&name("web:1")).unwrap().unwrap().id;
        assert_eq!(names(&id.hex()[..12]), [Vec::<String>::new()]);
        assert!(store.to_save("nobody").unwrap().is_none());
    }

    #[test]
    fn an_image_that_is_not_whole_is_refused_before_anything_is_written() {
        let (root, store) = filled();
        let found = store.to_save("web:1").unwrap().unwrap();
        let blob = store.layers_of(&found[0].image).unwrap();
        let blobs = root.path().join("images/blobs/sha256");
        drop(blob);
        for entry in std::fs::read_dir(&blobs).unwrap().flatten() {
            let bytes = std::fs::read(entry.path()).unwrap();
            if !bytes.starts_with(b"{") {
                std::fs::remove_file(entry.path()).unwrap();
            }
        }
        let mut out = Vec::new();
        let error = store.save(&found, &mut out, &no_progress).unwrap_err();
        assert!(error.to_string().contains("web:1"), "{error}");
        assert!(out.is_empty());
    }

    #[test]
    fn skopeo_reads_it_as_a_docker_archive_and_as_an_oci_archive() {
        let (_root, source) = filled();
        let dir = tempfile::tempdir().unwrap();
        let (one, both) = (dir.path().join("one.tar"), dir.path().join("both.tar"));
        std::fs::write(&one, saved(&source, &["web:1"])).unwrap();
        std::fs::write(&both, saved(&source, &["web:1", "db:2"])).unwrap();
        let id = |text: &str| source.get(&name(text)).unwrap().unwrap().id;
        for (archive, image) in [
            (format!("docker-archive:{}", one.display()), "web:1"),
            (format!("oci-archive:{}", one.display()), "web:1"),
            (format!("docker-archive:{}:db:2", both.display()), "db:2"),
            (format!("oci-archive:{}:2", both.display()), "db:2"),
        ] {
            let output = Command::new("skopeo")
                .args(["inspect", "--config", "--raw", &archive])
                .output();
            let Ok(output) = output else {
                assert!(std::env::var_os("CI").is_none(), "skopeo is not installed");
                eprintln!("SKIPPED: skopeo is not installed");
                return;
            };
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{archive}: {words}");
            assert_eq!(Digest::of(&output.stdout), id(image), "{archive}");
            // Layers are read, not only documents.
            let to = format!("dir:{}", dir.path().join("copy").display());
            let copied = Command::new("skopeo")
                .args(["copy", "--insecure-policy", &archive, &to])
                .output()
                .unwrap();
            let words = String::from_utf8_lossy(&copied.stderr);
            assert!(copied.status.success(), "{archive}: {words}");
        }
    }
}
