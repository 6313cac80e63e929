//! The files of a bundle that the shim reads and writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::runtime::bundle::{Bundle, ExitRecord, RuntimeState, ShimConfig};

/// The version of `shim.json` that this program understands.
const CONFIG_VERSION: u32 = 1;

/// A file of the bundle that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is damaged: {source}", path.display())]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{} has version {found}, this program knows {CONFIG_VERSION}: it was made by another version of `stack`", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What the bundle says.
pub(super) fn load(bundle: &Bundle) -> Result<(Spec, ShimConfig), RecordError> {
    let config: ShimConfig = read(bundle.shim_config())?;
    if config.version != CONFIG_VERSION {
        return Err(RecordError::Version {
            path: bundle.shim_config(),
            found: config.version,
        });
    }
    Ok((read(bundle.spec())?, config))
}

pub(super) fn write_state(bundle: &Bundle, state: &RuntimeState) -> Result<(), RecordError> {
    write(&bundle.state(), state)
}

pub(super) fn write_exit(bundle: &Bundle, record: &ExitRecord) -> Result<(), RecordError> {
    write(&bundle.exit(), record)
}

fn read<T: DeserializeOwned>(path: PathBuf) -> Result<T, RecordError> {
    match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|source| RecordError::Parse { path, source })
        }
        Err(source) => Err(RecordError::Read { path, source }),
    }
}

/// The file appears whole. Not synced: after a power cut there is no process for it to speak of.
fn write(path: &Path, value: &impl Serialize) -> Result<(), RecordError> {
    let store = || -> io::Result<()> {
        let bytes = serde_json::to_vec(value)?;
        let temporary = path.with_extension("new");
        File::create(&temporary)?.write_all(&bytes)?;
        fs::rename(&temporary, path)
    };
    store().map_err(|source| RecordError::Write {
        path: path.to_path_buf(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_leaves_no_other_file() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle::new(dir.path());
        let record = ExitRecord {
            version: 1,
            exit_code: 137,
            signal: Some(9),
            oom_killed: true,
            error: None,
            started_at: Some("2026-01-02T03:04:05.5Z".parse().unwrap()),
            finished_at: "2026-01-02T03:04:06Z".parse().unwrap(),
        };
        write_exit(&bundle, &record).unwrap();
        assert_eq!(read::<ExitRecord>(bundle.exit()).unwrap(), record);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_bundle_is_said_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = Bundle::new(dir.path());
        let error = load(&bundle).unwrap_err().to_string();
        assert!(error.starts_with("cannot read /"), "{error}");
        assert!(error.contains("shim.json: No such file"), "{error}");
        fs::write(bundle.shim_config(), "{\"version\": 1").unwrap();
        let error = load(&bundle).unwrap_err().to_string();
        assert!(error.contains("shim.json is damaged"), "{error}");
    }
}
