//! Volumes, and what is mounted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{ServiceName, VolumeKey};

/// Something mounted into the container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute path inside the container.
    pub target: String,
    /// No writes through this mount.
    pub read_only: bool,
    /// What is mounted.
    pub source: MountSource,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum MountSource {
    /// A path of the host.
    Bind {
        /// Absolute host path.
        path: PathBuf,
        /// Make a missing path as a directory.
        create_host_path: bool,
        /// Mount propagation (`rprivate`, `rshared`…), as written.
        propagation: Option<String>,
        /// `false`: mounts below the path are not carried over.
        recursive: bool,
    },
    /// A volume of the top-level `volumes`.
    Volume {
        /// Its key.
        volume: VolumeKey,
        /// Do not fill an empty volume from the image.
        nocopy: bool,
        /// Mount only this directory of the volume.
        subpath: Option<String>,
    },
    /// The files of an image.
    Image {
        /// Its reference.
        image: String,
        /// Mount only this directory of it.
        subpath: Option<String>,
    },
    /// A volume without a name, which goes with the container.
    Anonymous,
    /// A tmpfs.
    Tmpfs {
        /// Size limit in bytes.
        size: Option<u64>,
        /// Permission bits of the root.
        mode: Option<u32>,
        /// Other mount options of the short form (`noexec`, `uid=1000`), as written.
        options: Vec<String>,
        /// All options as an entry of `tmpfs:` has them; `None` = it stands under `volumes:`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<String>,
    },
}

/// A named volume of the stack.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Full name on the machine (`<project>_<key>` unless given).
    pub name: String,
    /// It must exist already and is never made or removed.
    pub external: bool,
    /// `driver`; `None` and `local` are the same.
    pub driver: Option<String>,
    /// Options of the driver (`type`, `o`, `device` of `local`).
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
}

/// Mounts that are taken over (`volumes_from`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Whose mounts.
    pub source: VolumesSource,
    /// No writes through them.
    pub read_only: bool,
}

/// Whose mounts are taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumesSource {
    /// Those of a service's container.
    Service(ServiceName),
    /// Those of a container, by name or id.
    Container(String),
}
