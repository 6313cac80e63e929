//! Caches that builds on different machines share.
//!
//! A cache is an image: its layers are what steps made, its configuration has the steps' keys. So every
//! registry keeps it, and whatever moves images moves it. A key is made of contents, so a record is as
//! right elsewhere as here; whoever may write to the place decides what builds that read it are made
//! of, as with BuildKit.
//!
//! ```text
//! config.json: { …, "dev.stack.build-cache.v1": [{ "key", "layer", "created", "text" }, …] }
//! ```

mod spec;

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use spec::{CachePlace, CacheSource, CacheTarget, SpecError};

use super::cache::{Cache, Key};
use super::error::{Error, StepError};
use crate::image::{
    Digest, Image, ImageStore, Packing, Reference, SavedImage, StoredLayer, no_progress,
    pack_directory, spread_archive,
};
use crate::state::StateError;

/// Where the configuration of an image has the records.
pub(super) const RECORDS: &str = "dev.stack.build-cache.v1";
/// What a cache in a directory is called there.
const IN_DIRECTORY: &str = "build-cache.invalid/cache";

/// What a step has made, or an earlier build for it.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) key: Key,
    pub(super) layer: StoredLayer,
    pub(super) created: Timestamp,
    pub(super) text: String,
}

/// The same as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Shared {
    key: String,
    layer: Digest,
    created: Timestamp,
    text: String,
}

/// The records of steps, for the configuration of an image.
pub(super) fn records(made: &[&Made]) -> Value {
    let shared = made.iter().map(|made| Shared {
        key: made.key.hex(),
        layer: made.layer.diff_id,
        created: made.created,
        text: made.text.clone(),
    });
    json!(shared.collect::<Vec<_>>())
}

/// The configuration of an image that is nothing but a cache, and its layers.
pub(super) fn image_of(
    made: &[&Made],
    platform: &Map<String, Value>,
) -> (Vec<u8>, Vec<StoredLayer>) {
    let mut layers: Vec<StoredLayer> = Vec::new();
    for made in made {
        if !layers.contains(&made.layer) {
            layers.push(made.layer.clone());
        }
    }
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| layer.diff_id.to_string())
        .collect();
    let mut config = platform.clone();
    config.insert("config".to_owned(), json!({}));
    config.insert(
        "rootfs".to_owned(),
        json!({ "type": "layers", "diff_ids": diff_ids }),
    );
    config.insert(RECORDS.to_owned(), records(made));
    (serde_json::to_vec(&config).unwrap_or_default(), layers)
}

/// Takes over the records of an image whose layers are in the store; how many.
pub(super) fn adopt(store: &ImageStore, cache: &Cache, image: &Image) -> Result<usize, Error> {
    let mut config = store.raw_config(image)?;
    let Some(records) = config.remove(RECORDS) else {
        return Ok(0);
    };
    // Of another version, or damaged: no use.
    let records: Vec<Shared> = serde_json::from_value(records).unwrap_or_default();
    let mut count = 0;
    for record in records {
        let Some(key) = Key::from_hex(&record.key) else {
            continue;
        };
        if cache.find(&key).is_none() && store.kept(&record.layer)?.is_some() {
            cache.put(&key, record.layer, (record.created, &record.text))?;
        }
        count += 1;
    }
    Ok(count)
}

/// Takes over a cache that lies in a directory.
pub(super) fn adopt_directory(
    store: &ImageStore,
    cache: &Cache,
    directory: &Path,
) -> Result<usize, Error> {
    let fault = |error| StepError::io("read the cache in", directory)(error);
    let foreign = foreign_names(directory).map_err(fault)?;
    if let Some(name) = foreign.first() {
        return Err(Error::Request {
            message: format!(
                "{} holds an image named `{name}`, not a cache that `cache_to` wrote",
                directory.display()
            ),
            help: Some("an image is a cache by its name: `type=registry,ref=…`".to_owned()),
        });
    }
    // The archive is made while it is read: nothing of it is on the disk.
    let (reader, writer) = std::io::pipe().map_err(fault)?;
    let names = std::thread::scope(|scope| {
        scope.spawn(|| pack_directory(directory, writer, Packing::default()));
        store.load(reader, &no_progress)
    })?;
    let mut count = 0;
    for name in &names {
        if let Some(image) = store.get(name)? {
            count += adopt(store, cache, &image)?;
            store.untag(name)?;
            if image.references.len() <= 1 {
                store.forget(&[image.id])?;
            }
        }
    }
    Ok(count)
}

/// Names in a directory that a cache does not have: what they stand for here must stay.
fn foreign_names(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in ["index.json", "manifest.json"] {
        let mut rest = vec![serde_json::from_slice::<Value>(&fs::read(
            directory.join(file),
        )?)?];
        while let Some(value) = rest.pop() {
            match value {
                Value::Array(list) => rest.extend(list),
                Value::Object(map) => {
                    for (key, value) in map {
                        match value {
                            Value::String(text) if key.ends_with(".name") => found.push(text),
                            Value::Array(names) if key == "RepoTags" => {
                                found.extend(
                                    names.iter().filter_map(Value::as_str).map(str::to_owned),
                                );
                            }
                            other => rest.push(other),
                        }
                    }
                }
                _ => {}
            }
        }
    }
    // The tag alone is what the layout's own annotation has of a name.
    found.retain(|name| {
        let rest = name
            .strip_prefix(IN_DIRECTORY)
            .and_then(|rest| rest.strip_prefix(':'));
        let tag = rest.unwrap_or(name);
        !(tag.len() == 16 && tag.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    Ok(found)
}

/// Writes an image that is a cache into a directory, in place of what was there: an OCI image layout.
pub(super) fn write_directory(
    store: &ImageStore,
    (config, layers): &(Vec<u8>, Vec<StoredLayer>),
    directory: &Path,
) -> Result<(), Error> {
    let fault = |error| StateError::io("write the cache to", directory, error);
    let name: Reference = format!("{IN_DIRECTORY}:{:016x}", fastrand::u64(..))
        .parse()
        .map_err(crate::image::Error::from)?;
    let image = store.name_image(config, layers, std::slice::from_ref(&name))?;
    let parent = directory
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(fault)?;
    let unique = format!(".cache-{:016x}", fastrand::u64(..));
    let (new, old) = (parent.join(&unique), parent.join(format!("{unique}-old")));
    fs::create_dir(&new).map_err(fault)?;
    let written = (|| -> Result<(), Error> {
        let saved = SavedImage {
            image: image.clone(),
            names: vec![name.clone()],
        };
        let (reader, mut writer) = std::io::pipe().map_err(fault)?;
        std::thread::scope(|scope| {
            let spread = scope.spawn(|| spread_archive(reader, &new));
            let saved = store.save(&[saved], &mut writer, &no_progress);
            drop(writer);
            let spread = spread.join().unwrap_or(Ok(()));
            spread.and(saved)
        })?;
        // What was there goes when the new one is whole.
        match fs::rename(directory, &old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(fault(error).into());
            }
            _ => {}
        }
        fs::rename(&new, directory).map_err(fault)?;
        Ok(())
    })();
    for gone in [&new, &old] {
        // One of the two is not there.
        let _ = fs::remove_dir_all(gone);
    }
    store.untag(&name)?;
    if image.references.len() <= 1 {
        store.forget(&[image.id])?;
    }
    written
}
