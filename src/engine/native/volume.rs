//! Volumes: a directory each, or what the `local` driver's options say.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

use super::labels;
use super::settle::unfinished;
use crate::compose::model::{Volume, VolumeKey};
use crate::engine::EngineError;
use crate::plan::{ObservedVolume, volume_hash};
use crate::state::records::VolumeRecord;
use crate::state::{Paths, StateError, read_json, remove_dir, write_json};

/// Makes a volume; one that is there already is left as it is.
pub(super) fn create(
    paths: &Paths,
    project: &str,
    key: &VolumeKey,
    volume: &Volume,
) -> Result<ObservedVolume, EngineError> {
    if let Some(driver) = &volume.driver
        && driver != "local"
    {
        return Err(EngineError::Value(format!(
            "volume {} wants driver `{driver}`; only `local` is there",
            volume.name
        )));
    }
    let config_hash = volume_hash(volume);
    let mut all = labels::of_object(project, &volume.labels);
    all.insert(labels::CONFIG_HASH.to_owned(), config_hash.clone());
    all.insert(
        "com.docker.compose.volume".to_owned(),
        key.as_str().to_owned(),
    );
    make(
        paths,
        &VolumeRecord {
            version: 1,
            name: volume.name.clone(),
            project: project.to_owned(),
            key: key.as_str().to_owned(),
            created: Timestamp::now(),
            config_hash,
            options: volume.driver_opts.clone(),
            labels: all,
        },
    )?;
    // It may have been there already, with another configuration.
    let path = paths.volume(&volume.name).join("volume.json");
    let record = read_json::<VolumeRecord>(&path)?.ok_or(EngineError::CutShort)?;
    Ok(observed_volume(&record))
}

/// A volume as the plan sees it.
pub(super) fn observed_volume(record: &VolumeRecord) -> ObservedVolume {
    ObservedVolume {
        config_hash: record.config_hash.clone(),
        project: record.project.clone(),
    }
}

/// Makes a volume without a name for a container; returns the one it was given.
pub(super) fn create_anonymous(paths: &Paths, project: &str) -> Result<String, EngineError> {
    let name = super::new_id();
    let mut labels = labels::of_object(project, &indexmap::IndexMap::new());
    labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
    make(
        paths,
        &VolumeRecord {
            version: 1,
            name: name.clone(),
            project: project.to_owned(),
            key: String::new(),
            created: Timestamp::now(),
            config_hash: String::new(),
            options: BTreeMap::new(),
            labels,
        },
    )?;
    Ok(name)
}

/// Makes a volume's directory; one that is there already is left as it is.
pub(super) fn make(paths: &Paths, record: &VolumeRecord) -> Result<(), EngineError> {
    let path = paths.volume(&record.name);
    if path.exists() {
        return Ok(());
    }
    let temporary = paths
        .volumes()
        .join(unfinished(&record.project, &super::new_id()));
    let data = temporary.join("data");
    fs::create_dir_all(&data).map_err(|error| StateError::io("make", &data, error))?;
    write_json(&temporary.join("volume.json"), record)?;
    match fs::rename(&temporary, &path) {
        // Somebody else was faster: theirs is as good.
        Err(_) if path.exists() => Ok(remove_dir(&temporary)?),
        Err(error) => Err(StateError::io("make", &path, error).into()),
        Ok(()) => Ok(()),
    }
}

/// Removes a volume and what is in it.
pub(super) fn remove(paths: &Paths, name: &str) -> Result<(), EngineError> {
    Ok(remove_dir(&paths.volume(name))?)
}

/// What a volume is mounted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Backing {
    /// A directory of the host.
    Directory(PathBuf),
    /// A file system of this type, device and options.
    FileSystem {
        kind: String,
        device: String,
        options: Vec<String>,
    },
}

/// What a volume is mounted from, by its record.
pub(super) fn backing(paths: &Paths, name: &str) -> Result<Backing, EngineError> {
    let path = paths.volume(name);
    let record: VolumeRecord = read_json(&path.join("volume.json"))?
        .ok_or_else(|| EngineError::Value(format!("volume {name} does not exist")))?;
    let option = |key: &str| record.options.get(key).filter(|value| !value.is_empty());
    let Some(device) = option("device") else {
        return Ok(Backing::Directory(path.join("data")));
    };
    let options: Vec<String> = option("o").map_or_else(Vec::new, |text| {
        text.split(',').map(str::to_owned).collect()
    });
    let kind = option("type").map_or("none", String::as_str);
    if options
        .iter()
        .any(|option| option == "bind" || option == "rbind")
        || kind == "none"
    {
        return Ok(Backing::Directory(device.into()));
    }
    Ok(Backing::FileSystem {
        kind: kind.to_owned(),
        device: device.clone(),
        options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_made_once_and_its_options_say_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::at(dir.path());
        let mut volume = Volume {
            name: "p_v".to_owned(),
            ..Volume::default()
        };
        create(&paths, "p", &VolumeKey::new("v"), &volume).unwrap();
        fs::write(paths.volume("p_v").join("data/x"), "kept").unwrap();
        create(&paths, "p", &VolumeKey::new("v"), &volume).unwrap();
        assert!(paths.volume("p_v").join("data/x").exists());
        assert_eq!(
            backing(&paths, "p_v").unwrap(),
            Backing::Directory(paths.volume("p_v").join("data"))
        );

        volume.name = "p_b".to_owned();
        volume.driver_opts = [("type", "none"), ("o", "bind"), ("device", "/srv")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        create(&paths, "p", &VolumeKey::new("b"), &volume).unwrap();
        assert_eq!(
            backing(&paths, "p_b").unwrap(),
            Backing::Directory("/srv".into())
        );

        volume.name = "p_t".to_owned();
        volume.driver_opts = [
            ("type", "tmpfs"),
            ("o", "size=1m,mode=700"),
            ("device", "tmpfs"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        create(&paths, "p", &VolumeKey::new("t"), &volume).unwrap();
        assert_eq!(
            backing(&paths, "p_t").unwrap(),
            Backing::FileSystem {
                kind: "tmpfs".to_owned(),
                device: "tmpfs".to_owned(),
                options: vec!["size=1m".to_owned(), "mode=700".to_owned()],
            }
        );
        remove(&paths, "p_v").unwrap();
        remove(&paths, "p_v").unwrap();
        assert!(backing(&paths, "p_v").is_err());
    }
}
