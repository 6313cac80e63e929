//! Images from archives and layouts that other tools wrote.
//!
//! An archive may name its layers before or after it holds them, so it is first spread out in an
//! unfinished directory, with the same care as a layer. Then every kind is a directory to read from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use oci_spec::image::ImageConfiguration;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Result;
use super::config::parse_config;
use super::digest::Digest;
use super::error::{Error, LayerSource, io_error};
use super::import::Counted;
use super::layer::{Blob, Contents, LayerError, spread};
use super::oci::{CONFIG, Descriptor, Index, MANIFEST, Manifest};
use super::progress::{Phase, Progress, ProgressSink};
use super::pull::{Platform, choose};
use super::reference::Reference;
use super::store::{ImageStore, NewImage, diff_ids};

/// Longest document that is read into memory.
const DOCUMENT_MAX: u64 = 8 << 20;
/// An index may hold indexes, but not for ever.
const NESTING_MAX: usize = 4;

/// One image of a docker-archive's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

impl ImageStore {
    /// Loads every image of a docker-archive or oci-archive (plain, gzip or zstd) and gives the
    /// names they came with. An image without a name is in the store too; its ID finds it.
    pub fn load(
        &self,
        archive: impl Read + Send,
        progress: ProgressSink<'_>,
    ) -> Result<Vec<Reference>> {
        let coming = self.begin()?;
        let unfinished = self.unfinished()?;
        let counted = Counted {
            input: archive,
            layer: None,
            total: None,
            done: AtomicU64::new(0),
            progress,
        };
        spread(counted, unfinished.path()).map_err(|source| Error::Archive {
            source: Box::new(source),
        })?;
        let names = self.load_directory(unfinished.path(), "the archive", progress);
        drop(coming);
        names
    }

    /// Loads a file as [`ImageStore::load`] does, or a directory that is an OCI image layout.
    pub fn load_path(&self, path: &Path, progress: ProgressSink<'_>) -> Result<Vec<Reference>> {
        if path.is_dir() {
            let _coming = self.begin()?;
            return self.load_directory(path, &path.display().to_string(), progress);
        }
        let file = File::open(path).map_err(io_error("open", path))?;
        self.load(file, progress)
    }

    fn load_directory(
        &self,
        path: &Path,
        what: &str,
        progress: ProgressSink<'_>,
    ) -> Result<Vec<Reference>> {
        let contents = Contents::open(path).map_err(io_error("open", path))?;
        let load = Load {
            store: self,
            contents,
            what,
            progress,
        };
        let docker: Option<Vec<DockerImage>> = load.document_if_there("manifest.json")?;
        let names = match (load.document_if_there::<Index>("index.json")?, docker) {
            (Some(index), docker) => load.layout(&index, &docker.unwrap_or_default())?,
            (None, Some(images)) => load.docker_images(&images)?,
            (None, None) => {
                let reason = "it has neither `index.json` nor `manifest.json`; \
                              a root file system comes in with `stack image import`";
                return Err(load.broken(reason.to_owned()));
            }
        };
        progress(Progress {
            layer: None,
            phase: Phase::Done,
        });
        Ok(names)
    }
}

/// A layout or archive that is being loaded.
struct Load<'a> {
    store: &'a ImageStore,
    contents: Contents,
    what: &'a str,
    progress: ProgressSink<'a>,
}

impl Load<'_> {
    fn broken(&self, reason: String) -> Error {
        Error::NotAnImage {
            what: self.what.to_owned(),
            reason,
        }
    }

    fn open(&self, name: &str) -> Result<File> {
        self.contents
            .file(name.as_bytes())
            .map_err(|error| self.broken(format!("`{name}`: {error}")))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self
            .open(name)?
            .take(DOCUMENT_MAX + 1)
            .read_to_end(&mut bytes);
        read.map_err(|error| self.broken(format!("`{name}`: {error}")))?;
        match bytes.len() as u64 > DOCUMENT_MAX {
            true => Err(self.broken(format!("`{name}` has more than {DOCUMENT_MAX} bytes"))),
            false => Ok(bytes),
        }
    }

    fn parse<T: DeserializeOwned>(&self, name: &str, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|error| self.broken(format!("`{name}`: {error}")))
    }

    fn document_if_there<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match self.contents.file(name.as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => self.parse(name, &self.bytes(name)?).map(Some),
        }
    }

    /// A document under its digest, checked.
    fn blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let bytes = self.bytes(&blob_name(digest))?;
        match Digest::of(&bytes) {
            actual if actual == *digest => Ok(bytes),
            actual => Err(self.broken(format!(
                "the blob {digest} has the digest {actual}: it was damaged"
            ))),
        }
    }

    /// Every image of an OCI layout. `docker save` writes its names into `manifest.json` only, before
    /// version 25.
    fn layout(&self, index: &Index, docker: &[DockerImage]) -> Result<Vec<Reference>> {
        let mut images: BTreeMap<Digest, (Descriptor, Vec<Reference>)> = BTreeMap::new();
        for descriptor in &index.manifests {
            let manifest = self.manifest_of(descriptor, NESTING_MAX)?;
            let (_, names) = images
                .entry(manifest.digest)
                .or_insert_with(|| (manifest, Vec::new()));
            names.extend(name_of(descriptor));
        }
        let mut all = Vec::new();
        for (digest, (descriptor, mut names)) in images {
            let bytes = self.blob(&digest)?;
            let manifest: Manifest = self.parse(&blob_name(&digest), &bytes)?;
            if names.is_empty() {
                let config = blob_name(&manifest.config.digest);
                names = docker_names(docker.iter().filter(|image| image.config == config))?;
            }
            self.oci_image(&descriptor, &bytes, &manifest, &names)?;
            all.extend(names);
        }
        Ok(all)
    }

    /// The manifest for this machine.
    fn manifest_of(&self, descriptor: &Descriptor, nesting: usize) -> Result<Descriptor> {
        if !descriptor.is_index() {
            return Ok(descriptor.clone());
        }
        let index: Index = self.parse(
            &blob_name(&descriptor.digest),
            &self.blob(&descriptor.digest)?,
        )?;
        let wanted = Platform::this();
        match choose(&index.manifests, &wanted) {
            Some(found) if nesting > 0 => self.manifest_of(found, nesting - 1),
            _ => Err(self.broken(format!("it has no image for {wanted}"))),
        }
    }

    fn oci_image(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        manifest: &Manifest,
        names: &[Reference],
    ) -> Result<()> {
        let config_bytes = self.blob(&manifest.config.digest)?;
        let (config, _) = parse_config(
            Path::new(&blob_name(&manifest.config.digest)),
            &config_bytes,
        )?;
        let diff_ids = diff_ids(&config)?;
        for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            self.oci_layer(layer, diff_id)?;
        }
        (self.progress)(Progress {
            layer: None,
            phase: Phase::Syncing,
        });
        self.store.commit(&NewImage {
            manifest: bytes,
            media_type: Some(&descriptor.media_type),
            config: &config_bytes,
            references: names,
            repo_digest: None,
        })?;
        Ok(())
    }

    fn oci_layer(&self, layer: &Descriptor, diff_id: &Digest) -> Result<()> {
        let tell = |phase| {
            (self.progress)(Progress {
                layer: Some(layer.digest),
                phase,
            })
        };
        if self.store.has_layer_and_blob(layer, diff_id)? {
            tell(Phase::Present);
            return Ok(());
        }
        let source = LayerSource::Blob(layer.digest);
        let (unfinished, ingested) = self.store.receive(
            self.counted(&blob_name(&layer.digest), layer)?,
            Blob::AsIs,
            &source,
        )?;
        ingested
            .verify(layer, diff_id)
            .map_err(Error::layer(source))?;
        self.store.install(&unfinished, &ingested)?;
        tell(Phase::Unpacked);
        Ok(())
    }

    fn counted(&self, name: &str, layer: &Descriptor) -> Result<Counted<'_, File>> {
        Ok(Counted {
            input: self.open(name)?,
            layer: Some(layer.digest),
            total: Some(layer.size),
            done: AtomicU64::new(0),
            progress: self.progress,
        })
    }

    fn docker_images(&self, images: &[DockerImage]) -> Result<Vec<Reference>> {
        let mut all = Vec::new();
        for image in images {
            let names = docker_names(std::iter::once(image))?;
            self.docker_image(image, &names)?;
            all.extend(names);
        }
        Ok(all)
    }

    /// A docker-archive has no manifest of its own: its layers are plain archives, named by files.
    fn docker_image(&self, image: &DockerImage, names: &[Reference]) -> Result<()> {
        let config_bytes = self.bytes(&image.config)?;
        let (config, _) = parse_config(Path::new(&image.config), &config_bytes)?;
        let mut layers = Vec::new();
        for (file, diff_id) in image.layers.iter().zip(&self.diff_ids_for(image, &config)?) {
            let source = LayerSource::File(file.clone());
            let (unfinished, ingested) =
                self.store
                    .receive(self.open(file)?, Blob::Compressed, &source)?;
            if ingested.diff_id != *diff_id {
                let (what, expected, actual) = ("the layer", *diff_id, ingested.diff_id);
                let mismatch = LayerError::Mismatch {
                    what,
                    expected,
                    actual,
                };
                return Err(Error::layer(source)(mismatch));
            }
            self.store.install(&unfinished, &ingested)?;
            (self.progress)(Progress {
                layer: Some(ingested.digest),
                phase: Phase::Unpacked,
            });
            layers.push(Descriptor::new(
                ingested.compression.media_type(),
                ingested.digest,
                ingested.size,
            ));
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Descriptor::new(CONFIG, Digest::of(&config_bytes), config_bytes.len() as u64),
            layers,
        };
        let manifest =
            serde_json::to_vec(&manifest).map_err(|error| self.broken(error.to_string()))?;
        (self.progress)(Progress {
            layer: None,
            phase: Phase::Syncing,
        });
        self.store.commit(&NewImage {
            manifest: &manifest,
            media_type: None,
            config: &config_bytes,
            references: names,
            repo_digest: None,
        })?;
        Ok(())
    }

    fn diff_ids_for(
        &self,
        image: &DockerImage,
        config: &ImageConfiguration,
    ) -> Result<Vec<Digest>> {
        let diff_ids = diff_ids(config)?;
        match diff_ids.len() == image.layers.len() {
            true => Ok(diff_ids),
            false => Err(Error::LayerCount {
                config: diff_ids.len(),
                manifest: image.layers.len(),
            }),
        }
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn docker_names<'a>(images: impl Iterator<Item = &'a DockerImage>) -> Result<Vec<Reference>> {
    let names = images.flat_map(|image| image.repo_tags.iter().flatten());
    Ok(names.map(|name| name.parse()).collect::<Result<_, _>>()?)
}

/// The name that a layout gives an image. Some tools write just the tag there, which names nothing.
fn name_of(descriptor: &Descriptor) -> Option<Reference> {
    let note = |key: &str| descriptor.annotations.get(key);
    let name = note("io.containerd.image.name").or_else(|| {
        note("org.opencontainers.image.ref.name").filter(|name| name.contains([':', '/']))
    });
    name.and_then(|name| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::testing::{Tar, gzip, store, whole};
    use super::super::{ImportOptions, no_progress};
    use super::*;

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    /// A docker-archive as `docker save` wrote it before version 25, layers first, one a link.
    fn docker_archive(diff_id: &Digest, layer: &[u8]) -> Vec<u8> {
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["x"],"Volumes":null}},
                "rootfs":{{"type":"layers","diff_ids":["{diff_id}","{diff_id}"]}}}}"#
        );
        let manifest = r#"[{"Config":"c.json","RepoTags":["web:1","web:2"],"Layers":["1/layer.tar","2/layer.tar"]}]"#;
        Tar::new()
            .entry(b'0', "1/layer.tar", |_| {}, layer)
            .symlink("2/layer.tar", "../1/layer.tar")
            .file("c.json", &config)
            .file("manifest.json", manifest)
            .finish()
    }

    #[test]
    fn a_docker_archive_is_loaded_with_its_names() {
        let layer = Tar::new().file("f", "1").finish();
        let archive = docker_archive(&Digest::of(&layer), &layer);
        for packed in [archive.clone(), gzip(&archive)] {
            let (_root, store) = store();
            assert_eq!(
                store.load(&packed[..], &no_progress).unwrap(),
                [name("web:1"), name("web:2")]
            );
            let image = store.get(&name("web:2")).unwrap().unwrap();
            assert_eq!(
                std::fs::read_to_string(image.layers[1].join("f")).unwrap(),
                "1"
            );
            assert_eq!(
                image
                    .config
                    .config()
                    .as_ref()
                    .unwrap()
                    .cmd()
                    .as_ref()
                    .unwrap()[0],
                "x"
            );
        }
    }

    #[test]
    fn a_layer_that_is_not_the_promised_one_is_refused() {
        let (root, store) = store();
        let layer = Tar::new().file("f", "1").finish();
        let archive = docker_archive(&Digest::of(b"other"), &layer);
        let error = whole(&store.load(&archive[..], &no_progress).unwrap_err());
        assert!(
            error.contains("`1/layer.tar`") && error.contains("tampered"),
            "{error}"
        );
        assert_eq!(store.list().unwrap(), []);
        let left = std::fs::read_dir(root.path().join("layers"))
            .unwrap()
            .count();
        assert_eq!(left, 2, "the locks only");
    }

    #[test]
    fn archives_that_hold_no_image_or_reach_outside_are_refused() {
        let (_root, store) = store();
        let manifest = |config: &str| {
            let text = format!(r#"[{{"Config":"{config}","RepoTags":null,"Layers":[]}}]"#);
            Tar::new()
                .symlink("link", "/etc/passwd")
                .symlink("proc", "/proc/self/environ")
                .file("manifest.json", &text)
        };
        for (archive, reason) in [
            (
                Tar::new().file("etc/passwd", ""),
                "neither `index.json` nor `manifest.json`",
            ),
            (Tar::new().file("manifest.json", "{"), "`manifest.json`"),
            (manifest("../../etc/passwd"), "`../../etc/passwd`"),
            (manifest("/etc/passwd"), "`/etc/passwd`"),
            (manifest("link"), "`link`"),
            (manifest("proc"), "`proc`"),
            (
                Tar::new().entry(b'6', "manifest.json", |_| {}, b""),
                "no regular file",
            ),
            (Tar::new().file("../x", ""), "`../x`"),
        ] {
            let error = whole(&store.load(&archive.finish()[..], &no_progress).unwrap_err());
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn a_layout_goes_from_store_to_store_also_through_skopeo() {
        let (root, source) = store();
        let archive = Tar::new().file("f", "1").finish();
        let made = source
            .import_rootfs(
                &archive[..],
                &name("web:1"),
                &ImportOptions::default(),
                &no_progress,
            )
            .unwrap();
        let (_root, target) = store();
        let layout = root.path().join("images");
        assert_eq!(
            target.load_path(&layout, &no_progress).unwrap(),
            [name("web:1")]
        );
        assert_eq!(
            target.get(&name("web:1")).unwrap().unwrap().manifest,
            made.manifest
        );

        let dir = tempfile::tempdir().unwrap();
        let from = format!("oci:{}:docker.io/library/web:1", layout.display());
        for (kind, id_stays) in [("oci-archive", true), ("docker-archive", true)] {
            let file = dir.path().join(kind);
            let to = format!("{kind}:{}:docker.io/library/web:1", file.display());
            let Ok(output) = Command::new("skopeo")
                .args(["copy", "--insecure-policy", &from, &to])
                .output()
            else {
                assert!(std::env::var_os("CI").is_none(), "skopeo is not installed");
                eprintln!("SKIPPED: skopeo is not installed");
                return;
            };
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let (_root, target) = store();
            assert_eq!(
                target.load_path(&file, &no_progress).unwrap(),
                [name("web:1")],
                "{kind}"
            );
            let image = target.get(&name("web:1")).unwrap().unwrap();
            assert_eq!(image.layers.len(), 1);
            assert_eq!(image.id == made.id, id_stays, "{kind}");
        }
    }
}
