//! A root file system archive becomes an image, or one more layer of one.

use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Result;
use super::change::apply;
use super::config::ConfigChange;
use super::digest::Digest;
use super::error::{Error, LayerSource, io_error};
use super::layer::{Blob, Ingested, Packed, Packing, pack};
use super::oci::{CONFIG, Descriptor, MANIFEST, Manifest, oci_layer_type};
use super::progress::{Phase, Progress, ProgressSink};
use super::pull::Platform;
use super::reference::Reference;
use super::store::{Image, ImageStore, NewImage};

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
    /// Who made it.
    pub author: Option<String>,
    /// What made it, for its history.
    pub created_by: Option<String>,
}

/// The documents that an image is made of, open for changes.
struct Draft {
    config: Map<String, Value>,
    layers: Vec<Descriptor>,
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
    ) -> Result<Image> {
        let _coming = self.begin()?;
        let mut draft = match &options.base {
            Some(base) => {
                let image = self.get(base)?.ok_or_else(|| Error::NoSuchImage {
                    reference: base.clone(),
                })?;
                self.draft_of(&image)?
            }
            None => Draft::empty(),
        };
        let counted = Counted {
            input: archive,
            layer: None,
            total: None,
            done: AtomicU64::new(0),
            progress,
        };
        let source = LayerSource::Import(reference.familiar());
        let (unfinished, layer) = self.receive(counted, Blob::Compressed, &source)?;
        // `mmdebstrap … | stack image import -`, and the first of them failed.
        if layer.entries == 0 {
            return Err(Error::EmptyArchive);
        }
        self.install(&unfinished, &layer)?;
        progress(Progress {
            layer: Some(layer.digest),
            phase: Phase::Unpacked,
        });
        draft.push(&layer, options);
        let (manifest, config) = draft.finish()?;
        progress(Progress {
            layer: None,
            phase: Phase::Syncing,
        });
        let image = self.commit(&NewImage {
            manifest: &manifest,
            media_type: None,
            config: &config,
            references: std::slice::from_ref(reference),
            repo_digest: None,
        })?;
        progress(Progress {
            layer: None,
            phase: Phase::Done,
        });
        Ok(image)
    }

    /// Makes an image of another one and the writable layer of a container that may run meanwhile, and
    /// names it. Without a name it can be found by its id. A layer with nothing in it is left out.
    pub fn commit_container(
        &self,
        (base, upper): (&Image, &Path),
        reference: Option<&Reference>,
        options: &ImportOptions,
    ) -> Result<Image> {
        let _coming = self.begin()?;
        let mut draft = self.draft_of(base)?;
        let name = reference.map_or_else(|| "a container".to_owned(), Reference::familiar);
        let source = LayerSource::Import(name);
        let packing = Packing {
            what: Packed::LiveLayer,
            ..Packing::default()
        };
        let (input, output) = io::pipe().map_err(io_error("pack", upper))?;
        let (packed, received) = std::thread::scope(|scope| {
            let packer = scope.spawn(move || pack(upper, output, packing));
            // The reading end is closed when this is done with it: the packer does not wait for ever.
            let received = self.receive(input, Blob::Compressed, &source);
            (packer.join(), received)
        });
        match packed {
            // Nobody read on: the reason is with the reader.
            Ok(Err(_)) if received.is_err() => {}
            Ok(packed) => {
                packed.map_err(Error::layer(source))?;
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
        let (unfinished, layer) = received?;
        if layer.entries == 0 {
            draft.note(options, true);
        } else {
            self.install(&unfinished, &layer)?;
            draft.push(&layer, options);
        }
        let (manifest, config) = draft.finish()?;
        self.commit(&NewImage {
            manifest: &manifest,
            media_type: None,
            config: &config,
            references: reference.map_or(&[], std::slice::from_ref),
            repo_digest: None,
        })
    }

    fn draft_of(&self, image: &Image) -> Result<Draft> {
        let corrupt = |digest: Digest| {
            let path = self.blob(&digest);
            move |source| Error::Corrupt { path, source }
        };
        let manifest: Manifest = serde_json::from_slice(&self.read_blob(&image.manifest)?)
            .map_err(corrupt(image.manifest))?;
        let config =
            serde_json::from_slice(&self.read_blob(&image.id)?).map_err(corrupt(image.id))?;
        let mut layers = manifest.layers;
        for layer in &mut layers {
            layer.media_type = oci_layer_type(&layer.media_type);
        }
        Ok(Draft { config, layers })
    }
}

impl Draft {
    fn empty() -> Self {
        let platform = Platform::this();
        let mut config = Map::new();
        config.insert("architecture".to_owned(), json!(platform.architecture));
        config.insert("os".to_owned(), json!(platform.os));
        if let Some(variant) = platform.variant {
            config.insert("variant".to_owned(), json!(variant));
        }
        config.insert("config".to_owned(), json!({}));
        config.insert(
            "rootfs".to_owned(),
            json!({ "type": "layers", "diff_ids": [] }),
        );
        Self {
            config,
            layers: Vec::new(),
        }
    }

    fn push(&mut self, layer: &Ingested, options: &ImportOptions) {
        self.note(options, false);
        self.layers.push(Descriptor::new(
            layer.compression.media_type(),
            layer.digest,
            layer.size,
        ));
        if let Some(Value::Object(rootfs)) = self.config.get_mut("rootfs") {
            push(rootfs, "diff_ids", json!(layer.diff_id));
        }
    }

    /// Writes down when, by whom and with which changes the image is made.
    fn note(&mut self, options: &ImportOptions, without_layer: bool) {
        let created = options.created.unwrap_or_else(Timestamp::now).to_string();
        let comment = options
            .message
            .as_deref()
            .unwrap_or("imported from an archive");
        let mut entry = json!({ "created": created, "comment": comment });
        for (key, value) in [
            ("author", &options.author),
            ("created_by", &options.created_by),
        ] {
            if let Some(value) = value {
                entry[key] = json!(value);
            }
        }
        if without_layer {
            entry["empty_layer"] = json!(true);
        }
        push(&mut self.config, "history", entry);
        self.config.insert("created".to_owned(), json!(created));
        if let Some(author) = &options.author {
            self.config.insert("author".to_owned(), json!(author));
        }
        let settings = self.config.entry("config").or_insert(Value::Null);
        if !settings.is_object() {
            *settings = json!({});
        }
        if let Value::Object(settings) = settings {
            apply(settings, &options.changes);
        }
    }

    /// The bytes of the manifest and the configuration.
    fn finish(self) -> Result<(Vec<u8>, Vec<u8>)> {
        let corrupt = |source| Error::Corrupt {
            path: "image configuration".into(),
            source,
        };
        let config = serde_json::to_vec(&self.config).map_err(corrupt)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Descriptor::new(CONFIG, Digest::of(&config), config.len() as u64),
            layers: self.layers,
        };
        Ok((serde_json::to_vec(&manifest).map_err(corrupt)?, config))
    }
}

fn push(map: &mut Map<String, Value>, key: &str, value: Value) {
    match map.entry(key).or_insert(Value::Null) {
        Value::Array(list) => list.push(value),
        other => *other = json!([value]),
    }
}

/// Tells how many bytes have come in, about every MiB.
pub(super) struct Counted<'a, R> {
    pub(super) input: R,
    pub(super) layer: Option<Digest>,
    pub(super) total: Option<u64>,
    pub(super) done: AtomicU64,
    pub(super) progress: ProgressSink<'a>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let before = self.done.fetch_add(count as u64, Ordering::Relaxed);
        let done = before + count as u64;
        if before >> 20 != done >> 20 || count == 0 {
            (self.progress)(Progress {
                layer: self.layer,
                phase: Phase::Transfer {
                    done,
                    total: self.total,
                },
            });
        }
        Ok(count)
    }
}
