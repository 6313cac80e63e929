//! The document about a container: what it is and how it is.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Surroundings, config, host, mounts, network};
use crate::cli::containers::{Listed, State, log_dir};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::image::{Digest, Image};
use crate::plan::{Exit, Phase};
use crate::runtime::bundle::{Bundle, ShimConfig};
use crate::state::read_json;
use crate::state::records::{HealthState, HealthStatus};

/// How file systems of containers are made; Docker's name for it.
pub(in crate::cli) const DRIVER: &str = "overlay2";
/// What Go prints for a time that is not there.
pub(in crate::cli) const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// Whether it is reckoned what a container takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Sizes {
    /// It is, which takes a walk through all its files.
    Reckoned,
    /// It is not.
    LeftOut,
}

/// The container that a user means by its name, id, or the first digits of its id.
pub(in crate::cli) fn find<'a>(
    all: &'a [Listed],
    text: &str,
) -> Result<Option<&'a Listed>, String> {
    let bare = text.strip_prefix('/').unwrap_or(text);
    if bare.is_empty() {
        return Ok(None);
    }
    let exact = |listed: &&Listed| listed.record().name == bare || listed.record().id == bare;
    if let Some(listed) = all.iter().find(exact) {
        return Ok(Some(listed));
    }
    let mut alike = all
        .iter()
        .filter(|listed| listed.record().id.starts_with(bare));
    match (alike.next(), alike.next()) {
        (found, None) => Ok(found),
        _ => Err(format!(
            "several containers have ids that begin with {bare}; give more digits"
        )),
    }
}

/// The document about one container.
pub(super) fn document(
    context: &Context,
    listed: &Listed,
    (around, sizes): (&Surroundings<'_>, Sizes),
) -> Result<Value> {
    let record = listed.record();
    let dir = context.paths.container(&record.id);
    let bundle = Bundle::new(&dir);
    // The bundle may just be going: what the records say is still true.
    let spec = read_json::<Value>(&bundle.spec())
        .unwrap_or(None)
        .unwrap_or_default();
    let shim = read_json::<ShimConfig>(&bundle.shim_config()).unwrap_or(None);
    let image = match record.image_id.parse::<Digest>() {
        Ok(id) => context.images()?.get_by_id(&id)?,
        Err(_) => None,
    };
    let (path, arguments) = match record.command.split_first() {
        Some((path, arguments)) => (path.as_str(), arguments),
        None => ("", &[][..]),
    };
    let mut document = json!({
        "Id": record.id,
        "Created": record.created,
        "Path": path,
        "Args": arguments,
        "State": state(listed),
        "Image": record.image_id,
        "ResolvConfPath": dir.join("resolv.conf"),
        "HostnamePath": dir.join("hostname"),
        "HostsPath": dir.join("hosts"),
        "LogPath": log_dir(context, record).map(|dir| dir.join("current.log")).unwrap_or_default(),
        "Name": format!("/{}", record.name),
        "RestartCount": listed.container.status.restart_count,
        "Driver": DRIVER,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": null,
        "HostConfig": host::host_config(record, around),
        "GraphDriver": graph_driver(&bundle, shim.as_ref()),
    });
    if sizes == Sizes::Reckoned {
        let own = size_of(&dir.join("upper"));
        document["SizeRw"] = json!(own);
        document["SizeRootFs"] = json!(own + image.as_ref().map_or(0, |image| image.size));
    }
    document["Mounts"] = json!(mounts::mounts(record));
    document["Config"] = config::config(record, image.as_ref(), &spec);
    document["NetworkSettings"] = network::settings(listed, around.networks);
    if let Some(image) = &image {
        document["ImageManifestDescriptor"] = descriptor(image);
    }
    Ok(document)
}

/// Which image it was made of, with its platform.
fn descriptor(image: &Image) -> Value {
    let config = &image.config;
    json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": image.manifest,
        "platform": {"architecture": config.architecture(), "os": config.os()},
    })
}

fn graph_driver(bundle: &Bundle, shim: Option<&ShimConfig>) -> Value {
    let data = shim.map(|shim| {
        let rootfs = &shim.rootfs;
        let lower: Vec<String> = rootfs
            .lower
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        json!({
            "LowerDir": lower.join(":"),
            "MergedDir": bundle.rootfs(),
            "UpperDir": rootfs.upper,
            "WorkDir": rootfs.work,
        })
    });
    json!({"Data": data, "Name": DRIVER})
}

fn state(listed: &Listed) -> Value {
    let time = |time: Option<Timestamp>| time.map_or(NO_TIME.to_owned(), |time| time.to_string());
    let container = &listed.container;
    let exit: Option<&Exit> = match &container.phase {
        Phase::Exited(exit) => Some(exit),
        _ => None,
    };
    let mut state = json!({
        "Status": listed.state.word(),
        // Docker: what is about to be started again counts as running.
        "Running": container.is_up() || listed.state == State::Restarting,
        "Paused": listed.state == State::Paused,
        "Restarting": listed.state == State::Restarting,
        "OOMKilled": exit.is_some_and(|exit| exit.oom_killed),
        "Dead": listed.state == State::Dead,
        "Pid": container.pid().unwrap_or(0),
        "ExitCode": listed.exit_code(),
        "Error": exit.and_then(|exit| exit.error.as_deref()).unwrap_or_default(),
        "StartedAt": time(container.started_at()),
        "FinishedAt": time(exit.map(|exit| exit.finished_at)),
    });
    if container.record.health.is_some() {
        state["Health"] = health(container.status.health.as_ref());
    }
    state
}

fn health(health: Option<&HealthState>) -> Value {
    let Some(health) = health else {
        return json!({"Status": "starting", "FailingStreak": 0, "Log": []});
    };
    let log = health.log.iter().map(|probe| {
        json!({
            "Start": probe.start,
            "End": probe.end,
            "ExitCode": probe.exit_code,
            "Output": probe.output,
        })
    });
    json!({
        "Status": match health.status {
            HealthStatus::Starting => "starting",
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
        },
        "FailingStreak": health.failing_streak,
        "Log": log.collect::<Vec<_>>(),
    })
}

/// Bytes of the files below a directory; what cannot be read counts nothing.
pub(in crate::cli) fn size_of(dir: &Path) -> u64 {
    let mut bytes = 0;
    let mut left = vec![dir.to_path_buf()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => left.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{container, exited, running};

    fn some() -> Vec<Listed> {
        vec![
            Listed {
                container: container("web", 1, running()),
                state: State::Running,
            },
            Listed {
                container: container("job", 12, exited(137)),
                state: State::Exited,
            },
        ]
    }

    #[test]
    fn containers_are_found_by_name_id_and_first_digits() {
        let mut all = some();
        std::sync::Arc::make_mut(&mut all[0].container.record).id = "ab12".to_owned();
        std::sync::Arc::make_mut(&mut all[1].container.record).id = "ab34".to_owned();
        let name = |text: &str| {
            let found = find(&all, text)?;
            Ok::<_, String>(found.map(|listed| listed.record().name.clone()))
        };
        for (text, found) in [
            ("shop-web-1", Some("shop-web-1")),
            ("/shop-web-1", Some("shop-web-1")),
            ("ab3", Some("shop-job-12")),
            ("", None),
            ("/", None),
            ("nope", None),
        ] {
            assert_eq!(name(text).unwrap().as_deref(), found, "{text}");
        }
        assert!(name("ab").unwrap_err().contains("several"));
    }

    #[test]
    fn the_state_is_docker_s() {
        let all = some();
        let running = state(&all[0]);
        assert_eq!(running["Status"], "running");
        assert_eq!(running["Running"], true);
        assert_eq!(running["Pid"], 7);
        assert_eq!(running["FinishedAt"], NO_TIME);
        assert!(running.get("Health").is_none());
        let exited = state(&all[1]);
        assert_eq!(exited["ExitCode"], 137);
        assert_eq!(exited["Pid"], 0);
        assert_eq!(exited["StartedAt"], "2023-11-14T22:13:20Z");
    }
}
