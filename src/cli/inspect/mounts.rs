//! `Mounts`, and the settings of `HostConfig` that ask for them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::compose::model::{Mount, MountSource};
use crate::state::records::{ContainerRecord, MountRecord};

/// What is asked for, in the three ways in which Docker is asked.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// `source:target:options`.
    pub(super) binds: Vec<String>,
    /// Those with options that this form has no room for.
    pub(super) mounts: Vec<Value>,
    /// Of `tmpfs:`, path → options.
    pub(super) tmpfs: BTreeMap<String, String>,
}

/// Docker Compose asks in the short form wherever that says all.
pub(super) fn asked(record: &ContainerRecord) -> Asked {
    let mut asked = Asked::default();
    for mount in &record.mounts {
        let wanted = wanted(record, mount);
        if let Some(options) = short_tmpfs(wanted) {
            let target = mount.destination.clone();
            asked.tmpfs.insert(target, options.to_owned());
        } else if let Some(source) = short_source(record, mount, wanted) {
            let (target, mode) = (&mount.destination, mode(mount));
            asked.binds.push(format!("{source}:{target}:{mode}"));
        } else if wanted.is_some() {
            asked.mounts.push(long(record, mount, wanted));
        }
    }
    asked
}

/// What the service has said about it; what an image declares nobody has asked for.
fn wanted<'a>(record: &'a ContainerRecord, mount: &MountRecord) -> Option<&'a Mount> {
    let bare = |path: &str| path.trim_end_matches('/').to_owned();
    let mut all = record.template.volumes.iter();
    all.find(|wanted| bare(&wanted.target) == bare(&mount.destination))
}

/// The options of an entry of `tmpfs:`.
fn short_tmpfs(wanted: Option<&Mount>) -> Option<&str> {
    match &wanted?.source {
        MountSource::Tmpfs { written, .. } => written.as_deref(),
        _ => None,
    }
}

/// What stands before the first colon of the short form, where that says all.
fn short_source(
    record: &ContainerRecord,
    mount: &MountRecord,
    wanted: Option<&Mount>,
) -> Option<String> {
    match &wanted?.source {
        MountSource::Bind {
            create_host_path: true,
            propagation: None,
            recursive: true,
            ..
        } if !is_file_object(record, mount) => Some(mount.source.display().to_string()),
        MountSource::Volume {
            nocopy: false,
            subpath: None,
            ..
        } => Some(mount.name.clone()),
        _ => None,
    }
}

/// The long form, as the engine's API has it.
fn long(record: &ContainerRecord, mount: &MountRecord, wanted: Option<&Mount>) -> Value {
    let mut value = json!({"Type": mount.kind});
    match mount.kind.as_str() {
        "bind" => value["Source"] = json!(mount.source),
        // The volume without a name gets one when it is made.
        "volume" if is_anonymous(record, mount) => {}
        "volume" | "image" => value["Source"] = json!(mount.name),
        _ => {}
    }
    value["Target"] = json!(mount.destination);
    if !mount.writable {
        value["ReadOnly"] = json!(true);
    }
    if let Some((key, options)) = wanted.and_then(|wanted| options(&wanted.source)) {
        value[key] = Value::Object(options);
    }
    value
}

/// The options of the long form; what says nothing is left out.
fn options(source: &MountSource) -> Option<(&'static str, Map<String, Value>)> {
    let mut options = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            options.insert(key.to_owned(), value);
        }
    };
    let key = match source {
        MountSource::Bind {
            propagation,
            recursive,
            ..
        } => {
            set("Propagation", propagation.as_ref().map(|text| json!(text)));
            set("NonRecursive", (!recursive).then(|| json!(true)));
            "BindOptions"
        }
        MountSource::Volume {
            nocopy, subpath, ..
        } => {
            set("NoCopy", nocopy.then(|| json!(true)));
            set("Subpath", subpath.as_ref().map(|text| json!(text)));
            "VolumeOptions"
        }
        MountSource::Tmpfs { size, mode, .. } => {
            set("SizeBytes", size.map(|bytes| json!(bytes)));
            set("Mode", mode.map(|bits| json!(bits)));
            "TmpfsOptions"
        }
        MountSource::Image { subpath, .. } => {
            set("Subpath", subpath.as_ref().map(|text| json!(text)));
            "ImageOptions"
        }
        MountSource::Anonymous => return None,
    };
    (!options.is_empty()).then_some((key, options))
}

/// `Mounts`: what is mounted, with where it comes from. An entry of `tmpfs:` is none to Docker.
pub(super) fn mounts(record: &ContainerRecord) -> Vec<Value> {
    let mut found = Vec::new();
    for mount in &record.mounts {
        let wanted = wanted(record, mount);
        if short_tmpfs(wanted).is_some() {
            continue;
        }
        let mut value = json!({"Type": mount.kind});
        if mount.kind == "volume" {
            value["Name"] = json!(mount.name);
        }
        value["Source"] = json!(mount.source);
        value["Destination"] = json!(mount.destination);
        if mount.kind == "volume" {
            value["Driver"] = json!("local");
        }
        value["Mode"] = json!(match short_source(record, mount, wanted) {
            Some(_) => mode(mount),
            // The engine's own mark, of volumes that it is asked for in the long form.
            None if mount.kind == "volume" && wanted.is_some() => "z",
            None => "",
        });
        value["RW"] = json!(mount.writable);
        value["Propagation"] = json!(propagation(mount, wanted));
        found.push(value);
    }
    found
}

fn mode(mount: &MountRecord) -> &'static str {
    match mount.writable {
        true => "rw",
        false => "ro",
    }
}

fn is_anonymous(record: &ContainerRecord, mount: &MountRecord) -> bool {
    record.anonymous_volumes.contains_key(&mount.destination)
}

/// Whether it is a config or a secret.
fn is_file_object(record: &ContainerRecord, mount: &MountRecord) -> bool {
    let service = &record.template;
    let mut uses = service.configs.iter().chain(&service.secrets);
    uses.any(|file| file.target == mount.destination)
}

fn propagation(mount: &MountRecord, wanted: Option<&Mount>) -> String {
    if mount.kind != "bind" {
        return String::new();
    }
    let asked = match wanted.map(|wanted| &wanted.source) {
        Some(MountSource::Bind { propagation, .. }) => propagation.clone(),
        _ => None,
    };
    asked.unwrap_or_else(|| "rprivate".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{container, running};
    use crate::compose::model::{FileUse, VolumeKey};

    fn bind(propagation: Option<&str>) -> MountSource {
        MountSource::Bind {
            path: "/s".into(),
            create_host_path: true,
            propagation: propagation.map(str::to_owned),
            recursive: true,
        }
    }

    fn tmpfs(written: Option<&str>) -> MountSource {
        MountSource::Tmpfs {
            size: Some(1 << 20),
            mode: Some(0o700),
            options: Vec::new(),
            written: written.map(str::to_owned),
        }
    }

    fn record() -> ContainerRecord {
        let mut record = (*container("web", 1, running()).record).clone();
        let volume = |nocopy| MountSource::Volume {
            volume: VolumeKey::new("data"),
            nocopy,
            subpath: None,
        };
        let all = [
            ("volume", "shop_data", "/data", true, Some(volume(false))),
            ("volume", "shop_data", "/nocopy", true, Some(volume(true))),
            ("bind", "", "/src", false, Some(bind(None))),
            ("bind", "", "/shared", true, Some(bind(Some("rshared")))),
            (
                "volume",
                "0123",
                "/anon",
                true,
                Some(MountSource::Anonymous),
            ),
            ("volume", "4567", "/of-image", true, None),
            ("bind", "", "/config", false, Some(bind(None))),
            ("tmpfs", "", "/long", true, Some(tmpfs(None))),
            ("tmpfs", "", "/tmp", true, Some(tmpfs(Some("size=1m")))),
        ];
        for (kind, name, target, writable, source) in all {
            record.mounts.push(MountRecord {
                kind: kind.to_owned(),
                name: name.to_owned(),
                source: if kind == "tmpfs" { "" } else { "/s" }.into(),
                destination: target.to_owned(),
                writable,
            });
            record.template.volumes.extend(source.map(|source| Mount {
                target: target.to_owned(),
                read_only: !writable,
                source,
            }));
        }
        record.anonymous_volumes = [("/anon", "0123"), ("/of-image", "4567")]
            .map(|(target, name)| (target.to_owned(), name.to_owned()))
            .into();
        record.template.configs = vec![FileUse {
            source: "c".to_owned(),
            target: "/config".to_owned(),
            uid: None,
            gid: None,
            mode: None,
        }];
        record
    }

    #[test]
    fn mounts_are_docker_s_in_its_order() {
        let text: Vec<String> = mounts(&record()).iter().map(Value::to_string).collect();
        insta::assert_snapshot!(text.join("\n"), @r#"
        {"Type":"volume","Name":"shop_data","Source":"/s","Destination":"/data","Driver":"local","Mode":"rw","RW":true,"Propagation":""}
        {"Type":"volume","Name":"shop_data","Source":"/s","Destination":"/nocopy","Driver":"local","Mode":"z","RW":true,"Propagation":""}
        {"Type":"bind","Source":"/s","Destination":"/src","Mode":"ro","RW":false,"Propagation":"rprivate"}
        {"Type":"bind","Source":"/s","Destination":"/shared","Mode":"","RW":true,"Propagation":"rshared"}
        {"Type":"volume","Name":"0123","Source":"/s","Destination":"/anon","Driver":"local","Mode":"z","RW":true,"Propagation":""}
        {"Type":"volume","Name":"4567","Source":"/s","Destination":"/of-image","Driver":"local","Mode":"","RW":true,"Propagation":""}
        {"Type":"bind","Source":"/s","Destination":"/config","Mode":"","RW":false,"Propagation":"rprivate"}
        {"Type":"tmpfs","Source":"","Destination":"/long","Mode":"","RW":true,"Propagation":""}
        "#);
    }

    #[test]
    fn a_mount_is_asked_for_in_the_short_form_where_that_says_all() {
        let asked = asked(&record());
        let mounts: Vec<String> = asked.mounts.iter().map(Value::to_string).collect();
        assert_eq!(asked.binds, ["shop_data:/data:rw", "/s:/src:ro"]);
        insta::assert_snapshot!(mounts.join("\n"), @r#"
        {"Type":"volume","Source":"shop_data","Target":"/nocopy","VolumeOptions":{"NoCopy":true}}
        {"Type":"bind","Source":"/s","Target":"/shared","BindOptions":{"Propagation":"rshared"}}
        {"Type":"volume","Target":"/anon"}
        {"Type":"bind","Source":"/s","Target":"/config","ReadOnly":true}
        {"Type":"tmpfs","Target":"/long","TmpfsOptions":{"SizeBytes":1048576,"Mode":448}}
        "#);
        assert_eq!(json!(asked.tmpfs), json!({"/tmp": "size=1m"}));
    }
}
