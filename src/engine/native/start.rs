//! Starting a container that has been made: addresses, ports, files, then the shim.

mod addresses;
mod files;
mod publish;

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::config::{SharedNetwork, StartContext};
use super::{Native, leases, observe};
use crate::compose::model::{Service, ServiceNetwork};
use crate::engine::EngineError;
use crate::image::Image;
use crate::net::firewall::{self, Change};
use crate::plan::{Exit, ObservedContainer, Phase};
use crate::runtime::bundle::{Bundle, ExitRecord};
use crate::runtime::client::{ClientError, ShimProcess, Spawn, Started, spawn};
use crate::runtime::protocol::Failure;
use crate::state::records::{ContainerRecord, ContainerStatus};
use crate::state::{remove_file, write_json};
use addresses::previous_addresses;
use files::hostname;

pub(super) use files::dns_settings;
pub(super) use publish::{port_rules, protocol, published_addresses, rules_of};

/// A container may wait on a slow disk, but not for ever.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// A shim that has said its last word has only directories to remove.
pub(super) const SHIM_CLEANUP: Duration = Duration::from_secs(5);

/// A container whose program runs, and what it holds.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) container: ObservedContainer,
    pub(super) shim: ShimProcess,
    /// `None` while the program waits for a client to attach.
    pub(super) started: Option<Started>,
}

/// Whether the program waits for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    AtOnce,
    WhenAttached,
}

impl Native {
    /// Starts the container. When that fails everything taken is given back, and the failure is
    /// written down as the container's end.
    pub(super) fn start(
        &self,
        container: &ObservedContainer,
        begin: Begin,
    ) -> Result<Launched, EngineError> {
        let record = &container.record;
        let mut status = ContainerStatus {
            endpoints: Vec::new(),
            ports: Vec::new(),
            health: None,
            ready_since: None,
            interrupted: false,
            ..container.status.clone()
        };
        let result = self.start_with(container, &mut status, begin);
        if let Err(error) = &result {
            self.give_ports_back(record);
            self.release(record, &status);
            self.record_failure(record, error)?;
        }
        result
    }

    fn start_with(
        &self,
        container: &ObservedContainer,
        status: &mut ContainerStatus,
        begin: Begin,
    ) -> Result<Launched, EngineError> {
        let record = &container.record;
        let image = self.image_by_id(&record.image_id, &record.image)?;
        let shared_network = self.shared_network(&record.template)?;
        let previous = previous_addresses(&container.status);
        let networks = self.networks_of(record)?;
        let endpoints = self.take_addresses(record, (&networks, &previous), status)?;
        self.take_ports(record, &networks, status)?;
        let hostname = hostname(record, shared_network.as_ref());
        let context = StartContext {
            record,
            image: &image,
            endpoints,
            hostname,
            shared_network,
            wait_attach: begin == Begin::WhenAttached,
        };
        self.write_files(&context, status)?;
        self.write_configuration(&context)?;
        let dir = self.paths.container(&record.id);
        let bundle = Bundle::new(&dir);
        write_json(&dir.join("status.json"), status)?;
        self.ports.refresh(&record.id)?;
        remove_file(&bundle.exit())?;
        remove_file(&bundle.state())?;
        let shim = spawn(Spawn {
            exe: &self.shim_exe.path,
            bundle: &bundle,
            complaints: None,
        })?;
        let kept = |sockets: &[BorrowedFd<'_>]| shim.hold(sockets);
        if let Err(error) = self.ports.with_copies(&record.id, kept) {
            tracing::warn!(container = record.name, %error, "its ports are lost with this process");
        }
        let started = match begin {
            Begin::AtOnce => shim.wait_started(Some(START_TIMEOUT)).map(Some),
            Begin::WhenAttached => shim.wait_created(Some(START_TIMEOUT)).map(|()| None),
        };
        let started = started.map_err(|error| {
            // Wait for the shim to clean up, so that nothing of it is in the way of the next start.
            let _ = shim.wait_ended(SHIM_CLEANUP);
            start_error(error)
        })?;
        let phase = started
            .as_ref()
            .map_or(Phase::Created, |started| Phase::Running {
                pid: started.state.pid,
                started_at: started.state.started_at,
            });
        Ok(Launched {
            container: ObservedContainer {
                record: record.clone(),
                status: status.clone(),
                phase,
            },
            shim,
            started,
        })
    }

    /// Writes down that the program could not be started, if the shim has not done so better.
    fn record_failure(
        &self,
        record: &ContainerRecord,
        error: &EngineError,
    ) -> Result<(), EngineError> {
        let bundle = Bundle::new(self.paths.container(&record.id));
        let written = observe::read_if_whole::<ExitRecord>(&bundle.exit())?;
        if written.is_none_or(|exit| exit.error.is_none()) {
            let exit = ExitRecord {
                version: 1,
                exit_code: exit_code(error),
                signal: None,
                oom_killed: false,
                error: Some(error.story()),
                started_at: None,
                finished_at: Timestamp::now(),
            };
            write_json(&bundle.exit(), &exit)?;
        }
        Ok(())
    }

    /// The container whose network namespace a service shares.
    fn shared_network(&self, model: &Service) -> Result<Option<SharedNetwork>, EngineError> {
        let owner = match &model.network {
            ServiceNetwork::Service(name) => format!("service:{name}"),
            ServiceNetwork::Container(name) => format!("container:{name}"),
            ServiceNetwork::Networks(_) | ServiceNetwork::None | ServiceNetwork::Host => {
                return Ok(None);
            }
        };
        self.running_owner(&owner)
            .map(Some)
            .ok_or(EngineError::NoOwner {
                what: "network",
                owner,
            })
    }

    /// The running container that `service:x` or `container:x` means.
    pub(super) fn running_owner(&self, text: &str) -> Option<SharedNetwork> {
        let (kind, name) = text.split_once(':')?;
        let ids = observe::objects(&self.paths.containers()).ok()?;
        ids.iter().find_map(|id| {
            let record = observe::container_record(&self.paths, id).ok()??;
            let matches = match kind {
                "service" => {
                    record.project == self.project
                        && record.service.as_str() == name
                        && !record.one_off
                }
                _ => record.name == name || (name.len() >= 12 && record.id.starts_with(name)),
            };
            if !matches {
                return None;
            }
            match observe::phase(&self.paths, &record).ok()? {
                Phase::Running { pid, .. } | Phase::Paused { pid, .. } => Some(SharedNetwork {
                    pid,
                    dir: self.paths.container(id),
                }),
                Phase::Created | Phase::Exited(Exit { .. }) => None,
            }
        })
    }

    /// The image that a container was made of; `reference` is how its record names it.
    pub(super) fn image_by_id(&self, id: &str, reference: &str) -> Result<Arc<Image>, EngineError> {
        if let Some(image) = self.cached_image(id) {
            return Ok(image);
        }
        let digest = id
            .parse()
            .map_err(|_| EngineError::NoImage(reference.to_owned()))?;
        let found = self
            .store
            .get_by_id(&digest)
            .map_err(|error| EngineError::Images(error.into()))?;
        let image = Arc::new(found.ok_or_else(|| EngineError::NoImage(reference.to_owned()))?);
        self.cache_image(id, &image);
        Ok(image)
    }

    /// Gives back what a container has taken: firewall elements and addresses. Goes on after an
    /// error; what is left is swept at the next start of a supervisor.
    pub(super) fn release(&self, record: &ContainerRecord, status: &ContainerStatus) {
        let changes: Vec<Change> = port_rules(status)
            .into_iter()
            .map(Change::Unpublish)
            .collect();
        if !changes.is_empty()
            && let Err(error) = firewall::apply(&changes)
        {
            tracing::warn!(container = record.name, %error, "cannot take published ports back");
        }
        for endpoint in &status.endpoints {
            for address in &endpoint.addresses {
                if let Err(error) = leases::release(&self.paths, &endpoint.network, address.ip()) {
                    tracing::warn!(container = record.name, %error, "cannot give an address back");
                }
            }
        }
    }
}

fn start_error(error: ClientError) -> EngineError {
    match error {
        ClientError::Refused(failure) => EngineError::Start(failure),
        other => EngineError::Shim(other),
    }
}

fn exit_code(error: &EngineError) -> i32 {
    match error {
        EngineError::Start(Failure { exit_code, .. }) => *exit_code,
        _ => 128,
    }
}

/// Whether a container is on a network that reaches the outside.
pub(super) fn has_way_out(record: &ContainerRecord, status: &ContainerStatus) -> bool {
    record.networks.iter().any(|request| request.default_route)
        && status
            .endpoints
            .iter()
            .any(|endpoint| endpoint.gateway.is_some())
}
