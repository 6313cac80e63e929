//! `layers/`: one directory for each layer.
//!
//! ```text
//! layers/<diff id>/fs/          the unpacked files: a lower directory of overlayfs
//!                  layer.json   LayerRecord
//!                  synced       is there when a power cut cannot hurt the layer any more
//!        tmp-<pid>-<random>/    one that is being unpacked
//! ```
//!
//! Nothing is synced file by file. A layer that is not marked `synced` is only believed until the
//! machine starts anew: after a power cut its files may be empty.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::digest::Digest;
use super::super::error::{Error, io_error};
use super::super::layer::{Ingested, inherit};
use super::super::oci::Descriptor;
use super::ImageStore;
use super::disk::{Durability, Lock, Temporary, parse, read_json, replace};

/// What is known of a layer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LayerRecord {
    version: u32,
    /// Bytes of its files.
    pub(super) bytes: u64,
    /// The start of the machine in which it was unpacked.
    boot: String,
    /// Directories that take their attributes from the layers below, as long as that is not done.
    implied: Vec<String>,
    /// Its compressed archive as a registry has it, whether the store has that too or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compressed: Option<Descriptor>,
}

impl ImageStore {
    pub(super) fn layer(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(diff_id.hex())
    }

    /// Where a layer is or will be, for messages.
    pub(in crate::image) fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.layer(diff_id)
    }

    /// The files of a layer.
    pub(super) fn layer_files(&self, diff_id: &Digest) -> PathBuf {
        self.layer(diff_id).join("fs")
    }

    /// Whether a layer is there and can be believed.
    pub(in crate::image) fn has_layer(&self, diff_id: &Digest) -> Result<bool, Error> {
        let layer = self.layer(diff_id);
        if layer.join("synced").exists() {
            return Ok(true);
        }
        match read_json::<LayerRecord>(&layer.join("layer.json")) {
            Ok(Some(record)) => Ok(record.boot == boot_id()?),
            // Of a file that was on its way to the disk a power cut may leave anything.
            Ok(None) | Err(Error::Corrupt { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a layer need not be fetched: it is unpacked, and its blob is there for other tools.
    pub(in crate::image) fn has_layer_and_blob(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
    ) -> Result<bool, Error> {
        Ok(self.has_blob(layer) && self.has_layer(diff_id)?)
    }

    /// Puts an unpacked layer and its blob into their places.
    pub(in crate::image) fn install(
        &self,
        unfinished: &Temporary,
        layer: &Ingested,
    ) -> Result<(), Error> {
        self.install_with(unfinished, &unfinished.path().join("blob"), layer)
    }

    /// The same with a blob that lies elsewhere.
    pub(in crate::image) fn install_with(
        &self,
        unfinished: &Temporary,
        source: &Path,
        layer: &Ingested,
    ) -> Result<(), Error> {
        let blob = self.blob(&layer.digest);
        fs::rename(source, &blob).map_err(io_error("move a blob to", &blob))?;
        let record = LayerRecord {
            version: 1,
            bytes: layer.bytes,
            boot: boot_id()?,
            implied: layer.implied.iter().map(|name| hex(name)).collect(),
            compressed: layer.compressed_blob(),
        };
        write_record(unfinished.path(), &record)?;
        let target = self.layer(&layer.diff_id);
        if target.exists() {
            if self.has_layer(&layer.diff_id)? {
                return Ok(());
            }
            // Left by a power cut. It leaves the way it came.
            let gone = Temporary::new(&self.layers())?;
            let aside = gone.path().join("layer");
            fs::rename(&target, &aside).map_err(io_error("move away", &target))?;
        }
        match fs::rename(unfinished.path(), &target) {
            // Another process was faster with the same layer.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists
                ) =>
            {
                Ok(())
            }
            other => other.map_err(io_error("move a layer to", &target)),
        }
    }

    /// Lets the directories that layers did not describe look as they do below. Only before the
    /// image is named, so that no container uses the layers yet.
    pub(super) fn inherit_attributes(&self, diff_ids: &[Digest]) -> Result<(), Error> {
        for (at, diff_id) in diff_ids.iter().enumerate() {
            let layer = self.layer(diff_id);
            let path = layer.join("layer.json");
            let Some(mut record) = read_json::<LayerRecord>(&path)? else {
                continue;
            };
            if record.implied.is_empty() || at == 0 {
                continue;
            }
            let implied = record
                .implied
                .iter()
                .filter_map(|text| unhex(text))
                .collect::<Vec<_>>();
            let below = diff_ids[..at]
                .iter()
                .rev()
                .map(|id| self.layer_files(id))
                .collect::<Vec<_>>();
            let below = below.iter().map(PathBuf::as_path).collect::<Vec<_>>();
            inherit(&layer.join("fs"), &implied, &below)
                .map_err(io_error("complete the layer", &layer))?;
            record.implied.clear();
            write_record(&layer, &record)?;
        }
        Ok(())
    }

    /// The compressed archive of a layer, if one was ever fetched or made.
    pub(in crate::image) fn compressed(
        &self,
        diff_id: &Digest,
    ) -> Result<Option<Descriptor>, Error> {
        let record = read_json::<LayerRecord>(&self.layer(diff_id).join("layer.json"))?;
        Ok(record.and_then(|record| record.compressed))
    }

    /// Notes what a layer's archive becomes when it is compressed.
    pub(in crate::image) fn note_compressed(
        &self,
        diff_id: &Digest,
        compressed: &Descriptor,
    ) -> Result<(), Error> {
        let _lock = Lock::exclusive(&self.index_lock())?;
        let layer = self.layer(diff_id);
        let Some(mut record) = read_json::<LayerRecord>(&layer.join("layer.json"))? else {
            return Ok(());
        };
        record.compressed = Some(compressed.clone());
        write_record(&layer, &record)
    }

    /// Whether the store has a blob of this digest and length.
    pub(in crate::image) fn has_blob(&self, blob: &Descriptor) -> bool {
        fs::metadata(self.blob(&blob.digest)).is_ok_and(|found| found.len() == blob.size)
    }

    /// Bytes of a layer's files; 0 if it is not there.
    pub(super) fn layer_size(&self, diff_id: &Digest) -> Result<u64, Error> {
        let record = read_json::<LayerRecord>(&self.layer(diff_id).join("layer.json"))?;
        Ok(record.map_or(0, |record| record.bytes))
    }

    /// Marks layers as safe: everything was written to the disk.
    pub(super) fn mark_synced(&self, diff_ids: &[Digest]) -> Result<(), Error> {
        for diff_id in diff_ids {
            let mark = self.layer(diff_id).join("synced");
            if !mark.exists() {
                fs::write(&mark, "").map_err(io_error("write", &mark))?;
            }
        }
        Ok(())
    }

    /// Bytes of those of these layers that are not marked as safe.
    pub(super) fn unsynced(&self, diff_ids: &[Digest]) -> Result<u64, Error> {
        let mut bytes = 0;
        for diff_id in diff_ids {
            if !self.layer(diff_id).join("synced").exists() {
                bytes += self.layer_size(diff_id)?;
            }
        }
        Ok(bytes)
    }

    /// The layers that are believed and not marked as safe.
    pub(super) fn unsettled(&self) -> Result<Vec<Digest>, Error> {
        let layers = self.layers();
        let mut found = Vec::new();
        for entry in fs::read_dir(&layers).map_err(io_error("read", &layers))? {
            let entry = entry.map_err(io_error("read", &layers))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(diff_id) = format!("sha256:{name}").parse::<Digest>() else {
                continue;
            };
            if !entry.path().join("synced").exists() && self.has_layer(&diff_id)? {
                found.push(diff_id);
            }
        }
        Ok(found)
    }
}

fn write_record(layer: &Path, record: &LayerRecord) -> Result<(), Error> {
    let path = layer.join("layer.json");
    let bytes = serde_json::to_vec(record).map_err(|source| Error::Corrupt {
        path: path.clone(),
        source,
    })?;
    replace(&path, &bytes, Durability::WithTheNextSync)?;
    // What was written can be read: a record that could not would make the layer useless.
    parse::<LayerRecord>(&path, &bytes).map(drop)
}

/// Names are bytes, JSON is text.
fn hex(name: &[u8]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn boot_id() -> Result<String, Error> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    fs::read_to_string(path)
        .map(|id| id.trim().to_owned())
        .map_err(io_error("read", path))
}
