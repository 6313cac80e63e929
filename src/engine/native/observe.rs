//! What is on the machine, read from disk and from the kernel: no other process is needed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::volume::observed_volume;
use crate::compose::model::ServiceName;
use crate::engine::EngineError;
use crate::plan::{Exit, Observed, ObservedContainer, ObservedNetwork, Phase};
use crate::runtime::bundle::{Bundle, ExitRecord, RuntimeState};
use crate::runtime::cgroup::Cgroup;
use crate::state::records::{ContainerRecord, ContainerStatus, NetworkRecord, VolumeRecord};
use crate::state::{Paths, StateError, read_json};

/// Reads a record; one that is damaged (a power cut leaves empty files) counts as missing. What one
/// object has lost must not keep others, of other projects even, from being looked after.
pub(super) fn read_if_whole<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateError> {
    match read_json(path) {
        Err(error @ StateError::Damaged { .. }) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "left out");
            Ok(None)
        }
        result => result,
    }
}

/// Names of the objects in a directory; those that are on their way in or out start with a dot.
pub(super) fn objects(dir: &Path) -> Result<Vec<String>, StateError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StateError::io("list", dir, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| StateError::io("list", dir, error))?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Every project that has something recorded, by name.
pub fn projects(paths: &Paths) -> Result<Vec<String>, EngineError> {
    let mut names = objects(&paths.projects())?;
    for id in objects(&paths.containers())? {
        if let Some(record) = container_record(paths, &id)?
            && !names.contains(&record.project)
        {
            names.push(record.project);
        }
    }
    names.sort();
    Ok(names)
}

/// All containers, networks and volumes of a project (images and failures are left empty); with
/// `None`, those of every project.
pub fn observe(paths: &Paths, project: Option<&str>) -> Result<Observed, EngineError> {
    let mut observed = Observed::default();
    for id in objects(&paths.containers())? {
        if let Some(container) = observe_container(paths, &id, project)? {
            observed.containers.insert(id, container);
        }
    }
    look_at_objects(paths, &mut observed)?;
    Ok(observed)
}

/// The containers of some services of a project (none = all), and nothing else.
///
/// Of the others only so much is read as says that they are others: who looks for one container among
/// hundreds does not wait for all of them.
pub fn observe_services(
    paths: &Paths,
    project: &str,
    services: &[ServiceName],
) -> Result<Observed, EngineError> {
    let mut observed = Observed::default();
    for id in objects(&paths.containers())? {
        if first_bytes(&paths.container(&id).join("container.json"))
            .as_deref()
            .is_some_and(|record| is_of_others(record, project, services))
        {
            continue;
        }
        if let Some(container) = observe_container(paths, &id, Some(project))?
            && (services.is_empty() || services.contains(&container.record.service))
        {
            observed.containers.insert(id, container);
        }
    }
    Ok(observed)
}

/// The beginning of a file; `None` when it cannot be read.
fn first_bytes(path: &Path) -> Option<Vec<u8>> {
    const ENOUGH: u64 = 512;
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    file.take(ENOUGH).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Whether the beginning of a record says that the container is of another project or service.
///
/// Records begin with what identifies the container, in names that JSON leaves as they are. One that
/// begins otherwise says nothing here and is to be read as a whole.
pub(crate) fn is_of_others(record: &[u8], project: &str, services: &[ServiceName]) -> bool {
    let text = String::from_utf8_lossy(record);
    let found = text.split_once("\"project\":\"");
    let Some((named, rest)) = found.and_then(|(_, rest)| rest.split_once("\",\"service\":\""))
    else {
        return false;
    };
    let Some((service, _)) = rest.split_once('"') else {
        return false;
    };
    let is_plain = |name: &str| !name.contains(['"', '\\']);
    let is_wanted = services.is_empty() || services.iter().any(|wanted| wanted.as_str() == service);
    is_plain(named) && is_plain(service) && !(named == project && is_wanted)
}

/// Takes in all networks and volumes of the machine.
pub(super) fn look_at_objects(paths: &Paths, observed: &mut Observed) -> Result<(), EngineError> {
    let networks = networks(paths)?
        .iter()
        .map(|record| (record.name.clone(), observed_network(record)))
        .collect();
    let mut volumes = BTreeMap::new();
    for name in objects(&paths.volumes())? {
        let path = paths.volume(&name).join("volume.json");
        if let Some(record) = read_if_whole::<VolumeRecord>(&path)? {
            volumes.insert(name, observed_volume(&record));
        }
    }
    (observed.networks, observed.volumes) = (networks, volumes);
    Ok(())
}

/// One container; `None` when it is not there or of another project.
pub fn observe_container(
    paths: &Paths,
    id: &str,
    project: Option<&str>,
) -> Result<Option<ObservedContainer>, EngineError> {
    let Some(record) = container_record(paths, id)? else {
        return Ok(None);
    };
    if project.is_some_and(|project| record.project != project) {
        return Ok(None);
    }
    let record = Arc::new(record);
    let status = container_status(paths, id)?;
    let phase = phase(paths, &record)?;
    Ok(Some(ObservedContainer {
        record,
        status,
        phase,
    }))
}

/// `container.json` of a container.
pub(super) fn container_record(
    paths: &Paths,
    id: &str,
) -> Result<Option<ContainerRecord>, StateError> {
    read_if_whole(&paths.container(id).join("container.json"))
}

/// `status.json` of a container.
pub(super) fn container_status(paths: &Paths, id: &str) -> Result<ContainerStatus, StateError> {
    Ok(read_if_whole(&paths.container(id).join("status.json"))?.unwrap_or_default())
}

/// Where a container is in its life.
///
/// The order of reading matters: a program may end between two reads, and then its exit record is
/// there at the second look.
pub(super) fn phase(paths: &Paths, record: &ContainerRecord) -> Result<Phase, StateError> {
    let bundle = Bundle::new(paths.container(&record.id));
    if let Some(exit) = read_if_whole::<ExitRecord>(&bundle.exit())? {
        return Ok(Phase::Exited(exit_of(exit)));
    }
    let Some(state) = read_if_whole::<RuntimeState>(&bundle.state())? else {
        return Ok(Phase::Created);
    };
    if is_alive(state.pid, state.pid_start) {
        let (pid, started_at) = (state.pid, state.started_at);
        let frozen = Cgroup::is_frozen_at(&cgroup_path(record));
        return Ok(if frozen.unwrap_or(false) {
            Phase::Paused { pid, started_at }
        } else {
            Phase::Running { pid, started_at }
        });
    }
    // The program has gone: either its shim is about to write the exit record, or it is dead too.
    if is_alive(state.shim_pid, state.shim_start) {
        return Ok(Phase::Running {
            pid: state.pid,
            started_at: state.started_at,
        });
    }
    let exit = read_if_whole::<ExitRecord>(&bundle.exit())?;
    Ok(Phase::Exited(
        exit.map_or_else(|| killed_with_shim(&state), exit_of),
    ))
}

fn exit_of(record: ExitRecord) -> Exit {
    Exit {
        code: record.exit_code,
        signal: record.signal,
        oom_killed: record.oom_killed,
        error: record.error,
        started_at: record.started_at,
        finished_at: record.finished_at,
    }
}

/// How a container is said to have ended that went down together with its shim.
fn killed_with_shim(state: &RuntimeState) -> Exit {
    Exit {
        code: 137,
        signal: Some(9),
        oom_killed: false,
        error: None,
        started_at: Some(state.started_at),
        finished_at: state.started_at,
    }
}

/// The cgroup of a container, below the mount points of the hierarchies.
pub(super) fn cgroup_path(record: &ContainerRecord) -> std::path::PathBuf {
    Path::new("/stack").join(&record.project).join(&record.id)
}

/// Whether the process that had this pid and start time still runs. Zombies do not.
pub(super) fn is_alive(pid: i32, start: u64) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The command's name is in parentheses and may contain anything: count from the last one.
    let Some((_, rest)) = stat.rsplit_once(") ") else {
        return false;
    };
    let mut fields = rest.split(' ');
    let state = fields.next();
    state != Some("Z")
        && state != Some("X")
        && fields.nth(18).and_then(|field| field.parse().ok()) == Some(start)
}

/// Every network of the machine.
pub fn networks(paths: &Paths) -> Result<Vec<NetworkRecord>, StateError> {
    let mut records = Vec::new();
    for name in objects(&paths.networks())? {
        records.extend(read_if_whole::<NetworkRecord>(
            &paths.network(&name).join("network.json"),
        )?);
    }
    Ok(records)
}

pub(super) fn observed_network(record: &NetworkRecord) -> ObservedNetwork {
    ObservedNetwork {
        config_hash: record.config_hash.clone(),
        project: record.project.clone(),
    }
}

/// Names of containers of all projects → project: container names are one space for the machine.
pub(super) fn names(paths: &Paths) -> Result<BTreeMap<String, String>, StateError> {
    let mut names = BTreeMap::new();
    for id in objects(&paths.containers())? {
        if let Some(record) = container_record(paths, &id)? {
            names.insert(record.name, record.project);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_others_are_known_by_their_beginning() {
        let record = br#"{"version":1,"id":"0","name":"shop-web-1","project":"shop","service":"web","number":1,"im"#;
        let names = |names: &[&str]| {
            names
                .iter()
                .copied()
                .map(ServiceName::new)
                .collect::<Vec<_>>()
        };
        for (project, services, others) in [
            ("shop", &[][..], false),
            ("shop", &["web", "db"], false),
            ("shop", &["db"], true),
            ("sho", &[], true),
            ("other", &["web"], true),
        ] {
            let found = is_of_others(record, project, &names(services));
            assert_eq!(found, others, "{project} {services:?}");
        }
        // What is cut short or written in another way is no answer.
        for record in [
            &record[..60],
            b"",
            br#"{"service":"web","project":"shop"}"#,
            br#"{"project": "shop", "service": "web"}"#,
            br#"{"project":"a\"b","service":"web"}"#,
        ] {
            assert!(!is_of_others(record, "other", &[]), "{record:?}");
        }
    }

    #[test]
    fn a_process_is_known_by_pid_and_start_time() {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let start: u64 = stat
            .rsplit_once(") ")
            .unwrap()
            .1
            .split(' ')
            .nth(19)
            .unwrap()
            .parse()
            .unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(is_alive(pid, start));
        assert!(!is_alive(pid, start + 1));
        assert!(!is_alive(i32::MAX, start));
    }
}
