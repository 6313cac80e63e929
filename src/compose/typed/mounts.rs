//! Volumes, and what services mount.

use std::path::PathBuf;

use super::{Reader, size};
use crate::compose::bytes;
use crate::compose::model::{Mount, MountSource, Volume, VolumeKey};
use crate::compose::paths::clean_target;
use crate::compose::tree::Node;

pub(super) fn mounts(reader: &Reader<'_>) -> Vec<Mount> {
    let volumes = reader.items("volumes").iter().filter_map(mount);
    let tmpfs = reader
        .items("tmpfs")
        .iter()
        .filter_map(|node| node.as_text().map(tmpfs_mount));
    volumes.chain(tmpfs).collect()
}

fn mount(node: &Node) -> Option<Mount> {
    let reader = Reader {
        node,
        at: String::new(),
    };
    let inner = |key: &str, field: &str| node.at(&[key, field]);
    let text = |key: &str, field: &str| inner(key, field)?.as_text().map(str::to_owned);
    let flag = |key: &str, field: &str| inner(key, field)?.as_bool();
    let source = match reader.text("type")?.as_str() {
        "bind" => MountSource::Bind {
            path: PathBuf::from(reader.text("source")?),
            create_host_path: flag("bind", "create_host_path") != Some(false),
            propagation: text("bind", "propagation"),
            recursive: text("bind", "recursive").as_deref() != Some("disabled"),
        },
        "tmpfs" => MountSource::Tmpfs {
            size: inner("tmpfs", "size")
                .and_then(size)
                .filter(|size| *size > 0),
            mode: inner("tmpfs", "mode")
                .and_then(Node::as_int)
                .and_then(|mode| u32::try_from(mode).ok()),
            options: Vec::new(),
            written: None,
        },
        "image" => MountSource::Image {
            image: reader.text("source")?,
            subpath: text("image", "subpath"),
        },
        // No engine here has the others; it says so.
        "cluster" | "npipe" => return None,
        _ => match reader.text("source") {
            None => MountSource::Anonymous,
            Some(volume) => MountSource::Volume {
                volume: VolumeKey::new(volume),
                nocopy: flag("volume", "nocopy") == Some(true),
                subpath: text("volume", "subpath"),
            },
        },
    };
    Some(Mount {
        target: reader.text("target")?,
        read_only: reader.flag("read_only"),
        source,
    })
}

/// `TARGET[:OPTIONS]` with the options of mount(8).
fn tmpfs_mount(text: &str) -> Mount {
    let (target, written) = text.split_once(':').unwrap_or((text, ""));
    let (mut size, mut mode, mut read_only) = (None, None, false);
    let mut options = Vec::new();
    for option in written.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", value)) if bytes::parse(value).is_ok_and(|size| size >= 0) => {
                size = bytes::parse(value)
                    .ok()
                    .and_then(|size| u64::try_from(size).ok());
            }
            Some(("mode", value)) if u32::from_str_radix(value, 8).is_ok() => {
                mode = u32::from_str_radix(value, 8).ok();
            }
            None if option == "ro" => read_only = true,
            None if option == "rw" => read_only = false,
            _ => options.push(option.to_owned()),
        }
    }
    Mount {
        target: clean_target(target),
        read_only,
        source: MountSource::Tmpfs {
            size,
            mode,
            options,
            written: Some(written.to_owned()),
        },
    }
}

/// The model of one volume.
pub(in crate::compose) fn volume(key: &str, node: &Node) -> Volume {
    let reader = Reader {
        node,
        at: format!("volumes.{key}"),
    };
    Volume {
        name: reader.text("name").unwrap_or_default(),
        external: reader.flag("external"),
        driver: reader.text("driver"),
        driver_opts: reader.pairs("driver_opts").collect(),
        labels: reader.pairs("labels").collect(),
    }
}
