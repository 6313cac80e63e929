//! The container's configuration for the runtime: OCI spec and shim configuration.

mod devices;
mod logging;
mod mounts;
mod resources;
mod security;

use std::fs;
use std::path::PathBuf;

use oci_spec::runtime::{PosixRlimit, PosixRlimitBuilder, PosixRlimitType};

use logging::log_limits;
use mounts::Mounts;
use security::Privileges;
pub(crate) use security::SYSTEM_PATHS;

use super::{Native, observe, template};
use crate::compose::model::{Service, ServiceNetwork, Ulimit};
use crate::engine::EngineError;
use crate::image::Image;
use crate::net::Endpoint;
use crate::runtime::bundle::{LogConfig, NetworkSetup, Rootfs, ShimConfig};
use crate::runtime::spec::{Namespace, Settings, default_spec};
use crate::state::records::ContainerRecord;
use crate::state::{StateError, write_json};

/// What a start knows beside record and image.
pub(super) struct StartContext<'a> {
    pub(super) record: &'a ContainerRecord,
    pub(super) image: &'a Image,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) hostname: String,
    /// Directory of the container whose network namespace is shared.
    pub(super) shared_network: Option<SharedNetwork>,
    pub(super) wait_attach: bool,
}

/// A network namespace of another container.
pub(super) struct SharedNetwork {
    pub(super) pid: i32,
    pub(super) dir: PathBuf,
}

impl Native {
    /// Writes `config.json` and `shim.json`.
    pub(super) fn write_configuration(
        &self,
        context: &StartContext<'_>,
    ) -> Result<(), EngineError> {
        let record = context.record;
        let model = &record.template;
        let dir = self.paths.container(&record.id);
        let shared = context.shared_network.as_ref();
        let mut mounts = Mounts::of(&self.paths, record, context.image)?;
        mounts.add_own_files(record, shared.map_or(&dir, |owner| &owner.dir))?;
        let privileges = Privileges::of(model)?;
        let (network, network_setup) = network(context);
        let settings = Settings {
            args: record.command.clone(),
            env: template::environment(model, context.image, &context.hostname),
            cwd: template::working_dir(model, context.image).into(),
            tty: model.tty,
            hostname: context.hostname.clone(),
            domainname: model.domainname.clone(),
            mounts: mounts.all,
            cap_add: model.cap_add.clone(),
            cap_drop: model.cap_drop.clone(),
            privileged: model.privileged,
            readonly: model.read_only,
            no_new_privileges: privileges.no_new,
            rlimits: rlimits(model)?,
            sysctls: model.sysctls.clone(),
            resources: resources::of(model)?,
            shm_size: model.shm_size,
            devices: devices::given(&model.devices)?,
            cgroup_path: observe::cgroup_path(record),
            network,
            pid: self.namespace("pid", model.pid.as_deref())?,
            ipc: self.namespace("ipc", model.ipc.as_deref())?,
            uts: self.namespace("uts", model.uts.as_deref())?,
            cgroup: self.namespace("cgroup", model.cgroup.as_deref())?,
            oom_score_adj: model.oom_score_adj,
        };
        let mut spec = default_spec(settings)?;
        privileges.complete(&mut spec)?;
        write_json(&dir.join("config.json"), &spec)?;
        let shim = ShimConfig {
            version: 1,
            id: record.id.clone(),
            rootfs: Rootfs {
                lower: context.image.layers.iter().rev().cloned().collect(),
                upper: dir.join("upper"),
                work: dir.join("work"),
                snapshot: false,
            },
            network: network_setup,
            log: self.log(record)?,
            stdin_open: model.stdin_open,
            init: model.init,
            copy_up: mounts.copy_up,
            wait_attach: context.wait_attach,
            socket: self.paths.shim_socket(&record.id),
            on_lost: self.on_lost(),
            end_when_lost: false,
            // With its groups, as one that is named.
            user: template::user(model, context.image).or_else(|| Some("0".to_owned())),
            group_add: model.group_add.clone(),
            seccomp: privileges.seccomp,
        };
        Ok(write_json(&dir.join("shim.json"), &shim)?)
    }

    fn on_lost(&self) -> Vec<String> {
        let arguments = crate::control::supervisor_arguments(&self.paths, &self.project);
        std::iter::once(self.exe.clone().into_os_string())
            .chain(arguments)
            .filter_map(|argument| argument.into_string().ok())
            .collect()
    }

    fn log(&self, record: &ContainerRecord) -> Result<Option<LogConfig>, EngineError> {
        let Some(limits) = log_limits(record.template.logging.as_ref())? else {
            return Ok(None);
        };
        let dir = if record.one_off {
            self.paths.container(&record.id).join("logs")
        } else {
            self.paths
                .logs(&record.project, record.service.as_str(), record.number)
        };
        fs::create_dir_all(&dir).map_err(|error| StateError::io("make", &dir, error))?;
        Ok(Some(LogConfig {
            dir,
            max_size: limits.max_size,
            max_files: limits.max_files,
        }))
    }

    /// `host`, `service:x`, `container:x`, `private`, `shareable` or nothing.
    fn namespace(&self, kind: &'static str, text: Option<&str>) -> Result<Namespace, EngineError> {
        match text {
            None | Some("" | "private" | "shareable") => Ok(Namespace::Private),
            Some("host") => Ok(Namespace::Host),
            Some(other) => {
                let owner = self
                    .running_owner(other)
                    .ok_or_else(|| EngineError::NoOwner {
                        what: kind,
                        owner: other.to_owned(),
                    })?;
                Ok(Namespace::Path(
                    format!("/proc/{}/ns/{kind}", owner.pid).into(),
                ))
            }
        }
    }
}

fn network(context: &StartContext<'_>) -> (Namespace, NetworkSetup) {
    match (&context.record.template.network, &context.shared_network) {
        (_, Some(shared)) => {
            let path = format!("/proc/{}/ns/net", shared.pid);
            (Namespace::Path(path.into()), NetworkSetup::Inherit)
        }
        (ServiceNetwork::Host, None) => (Namespace::Host, NetworkSetup::Inherit),
        _ => {
            let setup = NetworkSetup::Private {
                dns: !context.endpoints.is_empty(),
                endpoints: context.endpoints.clone(),
            };
            (Namespace::Private, setup)
        }
    }
}

fn oci(error: oci_spec::OciSpecError) -> EngineError {
    EngineError::Value(format!(
        "cannot make the container's configuration: {error}"
    ))
}

fn rlimits(model: &Service) -> Result<Vec<PosixRlimit>, EngineError> {
    model
        .ulimits
        .iter()
        .map(|(name, limit)| rlimit(name, *limit))
        .collect()
}

fn rlimit(name: &str, limit: Ulimit) -> Result<PosixRlimit, EngineError> {
    let text = format!("RLIMIT_{}", name.to_ascii_uppercase());
    let kind: PosixRlimitType = serde_json::from_value(serde_json::Value::String(text))
        .map_err(|_| EngineError::Value(format!("there is no ulimit `{name}`")))?;
    // -1 is unlimited, which the kernel writes as all ones.
    let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    PosixRlimitBuilder::default()
        .typ(kind)
        .soft(value(limit.soft))
        .hard(value(limit.hard))
        .build()
        .map_err(oci)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulimits_by_name_and_unlimited() {
        let limit = rlimit("nofile", Ulimit { soft: 10, hard: -1 }).unwrap();
        assert_eq!((limit.soft(), limit.hard()), (10, u64::MAX));
        assert!(rlimit("nothing", Ulimit { soft: 1, hard: 1 }).is_err());
    }
}
