//! Images as text: configuration and files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// An image of a store.
#[derive(Default)]
pub(super) struct Image {
    config: Value,
    files: BTreeMap<PathBuf, String>,
}

/// What a build finds in a root file system and leaves behind, in one engine or the other: places to mount on.
const MOUNT_POINTS: [&str; 4] = ["dev", "proc", "sys", "etc/resolv.conf"];

impl Image {
    /// Reads an image by name.
    pub(super) fn read(root: &Path, name: &str) -> Result<Self, String> {
        let text = super::stack(root, root, &["image", "inspect", name])?;
        let document: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let image = &document[0];
        let blob = |digest: &str| {
            let hex = digest.rsplit(':').next().unwrap_or_default();
            root.join("images/blobs/sha256").join(hex)
        };
        let id = image["Id"].as_str().unwrap_or_default();
        let config = fs::read(blob(id)).map_err(|e| format!("{id}: {e}"))?;
        let config = serde_json::from_slice(&config).map_err(|e| e.to_string())?;
        let mut files = BTreeMap::new();
        let layers = image["RootFS"]["Layers"].as_array();
        for layer in layers.into_iter().flatten().filter_map(Value::as_str) {
            let hex = layer.rsplit(':').next().unwrap_or_default();
            let layer = root.join("layers").join(hex).join("fs");
            lay(&layer, Path::new(""), &mut files, &mut BTreeMap::new());
        }
        Ok(Self { config, files })
    }

    /// The configuration, and the files that the base image does not have or has otherwise.
    pub(super) fn describe(&self, base: &Self) -> String {
        let mut text = String::new();
        let config = &self.config["config"];
        for key in [
            "Env",
            "Entrypoint",
            "Cmd",
            "User",
            "WorkingDir",
            "Labels",
            "ExposedPorts",
            "Volumes",
            "StopSignal",
            "Healthcheck",
            "Shell",
            "OnBuild",
        ] {
            if !is_empty(&config[key]) {
                let _ = writeln!(text, "{key} {}", config[key]);
            }
        }
        if !is_empty(&self.config["author"]) {
            let _ = writeln!(text, "Author {}", self.config["author"]);
        }
        let (all, layers) = self.history();
        let (base_all, base_layers) = base.history();
        let _ = writeln!(
            text,
            "History {} entries, {} with a layer",
            all - base_all,
            layers - base_layers
        );
        for path in base.files.keys() {
            if !self.files.contains_key(path) {
                let _ = writeln!(text, "- {}", path.display());
            }
        }
        for (path, entry) in &self.files {
            if base.files.get(path) != Some(entry)
                && !MOUNT_POINTS.iter().any(|m| path == Path::new(m))
            {
                let _ = writeln!(text, "+ {} {entry}", path.display());
            }
        }
        text
    }

    /// Entries of the history, and how many of them have a layer.
    fn history(&self) -> (usize, usize) {
        let entries = self.config["history"].as_array();
        let entries = entries.map_or(&[][..], Vec::as_slice);
        let empty = entries
            .iter()
            .filter(|entry| entry["empty_layer"].as_bool() == Some(true));
        (entries.len(), entries.len() - empty.count())
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Lays a layer's directory over what is below it. `linked` knows the files with several names of the layer.
fn lay(
    layer: &Path,
    directory: &Path,
    files: &mut BTreeMap<PathBuf, String>,
    linked: &mut BTreeMap<(u64, u64), PathBuf>,
) {
    let Ok(entries) = fs::read_dir(layer.join(directory)) else {
        return;
    };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let path = directory.join(&name);
        let place = layer.join(&path);
        let Ok(meta) = fs::symlink_metadata(&place) else {
            continue;
        };
        let kind = meta.file_type();
        if !kind.is_dir() || is_opaque(&place) {
            // A whiteout, a file over a directory, or a directory that hides what is below.
            files.retain(|other, _| !other.starts_with(&path));
        }
        if kind.is_char_device() && meta.rdev() == 0 {
            continue;
        }
        files.insert(path.clone(), entry(&place, &path, &meta, linked));
        if kind.is_dir() {
            lay(layer, &path, files, linked);
        }
    }
}

fn is_opaque(path: &Path) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"]
        .iter()
        .any(|name| attribute(path, OsStr::new(name)) == b"y")
}

fn entry(
    place: &Path,
    path: &Path,
    meta: &fs::Metadata,
    linked: &mut BTreeMap<(u64, u64), PathBuf>,
) -> String {
    let kind = meta.file_type();
    let mut text = format!("{:o} {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid());
    if kind.is_dir() {
        text.insert_str(0, "directory ");
    } else if kind.is_symlink() {
        // A link's own mode means nothing.
        let target = fs::read_link(place).unwrap_or_default();
        text = format!("link {}:{} -> {}", meta.uid(), meta.gid(), target.display());
    } else if kind.is_file() {
        text.insert_str(0, "file ");
        let content = fs::read(place).unwrap_or_default();
        let _ = match std::str::from_utf8(&content) {
            Ok(short) if content.len() <= 100 => write!(text, " {short:?}"),
            _ => write!(text, " sha256:{}", short_hash(&content)),
        };
    } else if kind.is_fifo() {
        text.insert_str(0, "fifo ");
    } else {
        text.insert_str(0, "special ");
    }
    if kind.is_file() && meta.nlink() > 1 {
        let first = linked
            .entry((meta.dev(), meta.ino()))
            .or_insert_with(|| path.to_owned());
        if first != path {
            let _ = write!(text, " = {}", first.display());
        }
    }
    for name in attributes(place) {
        let value = attribute(place, &name);
        let value = String::from_utf8_lossy(&value).into_owned();
        let _ = write!(text, " {}={value:?}", name.to_string_lossy());
    }
    text
}

fn short_hash(content: &[u8]) -> String {
    let hash = Sha256::digest(content);
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The names of the extended attributes, without those of the overlay itself.
fn attributes(path: &Path) -> Vec<std::ffi::OsString> {
    let mut buffer = vec![0u8; 64 << 10];
    let Ok(length) = rustix::fs::llistxattr(path, &mut buffer) else {
        return Vec::new();
    };
    let names = buffer[..length].split(|byte| *byte == 0);
    let mut names: Vec<_> = names
        .filter(|name| !name.is_empty() && !name.windows(8).any(|part| part == b"overlay."))
        .map(|name| OsStr::from_bytes(name).to_owned())
        .collect();
    names.sort();
    names
}

fn attribute(path: &Path, name: &OsStr) -> Vec<u8> {
    let mut buffer = vec![0u8; 64 << 10];
    match rustix::fs::lgetxattr(path, name, &mut buffer) {
        Ok(length) => buffer[..length].to_vec(),
        Err(_) => Vec::new(),
    }
}
