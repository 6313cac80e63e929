//! The machine: what is so on it, and what an operation does to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::shape::{NETWORK, check, request};
use crate::compose::model::{Network, NetworkKey, ServiceName, ServiceNetwork};
use crate::control::turn::Busy;
use crate::engine::Applied;
use crate::plan::{
    Desired, Exit, Observed, ObservedContainer, ObservedNetwork, Op, Phase, Step, network_hash,
    sample,
};
use crate::state::records::{ContainerRecord, ContainerStatus};

/// The machine, what the supervisor knows of it, and the time.
pub(super) struct Simulation {
    pub(super) random: fastrand::Rng,
    pub(super) now: Timestamp,
    pub(super) desired: Desired,
    /// What the supervisor knows.
    pub(super) observed: Observed,
    pub(super) busy: Busy,
    /// What is so.
    pub(super) containers: BTreeMap<String, ObservedContainer>,
    network: Option<ObservedNetwork>,
    /// Operations that are being done, with the time at which they are done.
    pub(super) operations: Vec<(Timestamp, Step, Option<ObservedContainer>)>,
    /// Ends that the supervisor has not heard of.
    pub(super) ends: Vec<String>,
    /// Services that something has happened to since the last rest.
    pub(super) moved: Vec<ServiceName>,
    pub(super) network_moved: bool,
    pub(super) fail_next: bool,
    made: u32,
}

impl Simulation {
    pub(super) fn new(seed: u64) -> Self {
        let mut desired = Desired::new("sim");
        let network = Network {
            name: NETWORK.to_owned(),
            ..Network::default()
        };
        desired.networks.insert(NetworkKey::new("default"), network);
        let mut simulation = Self {
            random: fastrand::Rng::with_seed(!seed),
            now: Timestamp::from_second(1_000_000).expect("a time"),
            desired,
            observed: Observed::default(),
            busy: Busy::new(),
            containers: BTreeMap::new(),
            network: None,
            operations: Vec::new(),
            ends: Vec::new(),
            moved: Vec::new(),
            network_moved: false,
            fail_next: false,
            made: 0,
        };
        simulation.observe();
        simulation
    }

    /// What a supervisor does first: it knows nothing but what is so.
    pub(super) fn observe(&mut self) {
        self.observed = Observed {
            containers: self.containers.clone(),
            images: BTreeMap::from([(String::new(), "image".to_owned())]),
            ..Observed::default()
        };
        if let Some(network) = &self.network {
            let network = network.clone();
            self.observed.networks.insert(NETWORK.to_owned(), network);
        }
        self.busy.clear();
        self.ends.clear();
    }

    /// Does an operation as the engine would.
    pub(super) fn apply(
        &mut self,
        step: &Step,
        known: Option<ObservedContainer>,
    ) -> Result<Applied, Error> {
        let now = self.now;
        if std::mem::take(&mut self.fail_next) {
            if let Op::StartContainer {
                id: Some(id),
                service,
                ..
            } = &step.op
            {
                self.moved.push(service.clone());
                fail_start(self.containers.get_mut(id), now);
            }
            return Err(Error::Other);
        }
        match &step.op {
            Op::CreateContainer {
                service,
                number,
                name,
                replaces,
            } => self.create(service, (*number, name), replaces.clone()),
            Op::StartContainer { id: Some(id), .. } => self.start(id, known),
            Op::StopContainer { id, .. } => {
                let container = self.containers.get_mut(id).ok_or(Error::CutShort)?;
                end(container, 143, now);
                Ok(Applied::Container(Box::new(container.clone())))
            }
            Op::RenameContainer { id, to, .. } => {
                let container = self.containers.get_mut(id).ok_or(Error::CutShort)?;
                let mut record = (*container.record).clone();
                record.name.clone_from(to);
                container.record = Arc::new(record);
                Ok(Applied::Container(Box::new(container.clone())))
            }
            Op::RemoveContainer { id, .. } => {
                self.containers.remove(id);
                self.desired.forget(id);
                Ok(Applied::ContainerGone(id.clone()))
            }
            Op::CreateNetwork { .. } => {
                let network = ObservedNetwork {
                    config_hash: network_hash(&self.desired.networks[0]),
                    project: "sim".to_owned(),
                };
                self.network = Some(network.clone());
                Ok(Applied::Network(NETWORK.to_owned(), network))
            }
            Op::RemoveNetwork { name, .. } => {
                self.network = None;
                Ok(Applied::NetworkGone(name.clone()))
            }
            _ => Err(Error::CutShort),
        }
    }

    fn start(&mut self, id: &str, known: Option<ObservedContainer>) -> Result<Applied, Error> {
        let now = self.now;
        let record = Arc::clone(&self.containers.get(id).ok_or(Error::CutShort)?.record);
        if let ServiceNetwork::Service(owner) = &record.template.network {
            let runs = |container: &ObservedContainer| {
                container.record.service == *owner && container.is_up()
            };
            if !self.containers.values().any(runs) {
                fail_start(self.containers.get_mut(id), now);
                return Err(Error::NoOwner);
            }
        }
        let container = self.containers.get_mut(id).ok_or(Error::CutShort)?;
        container.status = ContainerStatus {
            interrupted: false,
            health: None,
            ready_since: None,
            ..known.map(|known| known.status).unwrap_or_default()
        };
        container.phase = Phase::Running {
            pid: 1,
            started_at: now,
        };
        Ok(Applied::Container(Box::new(container.clone())))
    }

    fn create(
        &mut self,
        service: &ServiceName,
        (number, name): (u32, &str),
        replaces: Option<String>,
    ) -> Result<Applied, Error> {
        let desired = self.desired.services.get(service).ok_or(Error::CutShort)?;
        self.made += 1;
        let on_network = matches!(desired.service.network, ServiceNetwork::Networks(_));
        let labels = replaces.map(|old| ("com.docker.compose.replace".to_owned(), old));
        let record = ContainerRecord {
            id: format!("{:06}", self.made),
            name: name.to_owned(),
            created: self.now,
            config_hash: desired.hash.clone(),
            template: desired.service.clone(),
            labels: labels.into_iter().collect(),
            health: desired.service.healthcheck.as_ref().map(|_| check()),
            networks: on_network.then(request).into_iter().collect(),
            ..sample::record("sim", service.as_str(), number)
        };
        let container = sample::container(record, Phase::Created);
        let id = container.record.id.clone();
        self.containers.insert(id, container.clone());
        Ok(Applied::Container(Box::new(container)))
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Error {
    CutShort,
    NoOwner,
    Other,
}

pub(super) fn end(container: &mut ObservedContainer, code: i32, now: Timestamp) {
    if let Some(started_at) = container.started_at().filter(|_| container.is_up()) {
        container.status.health = None;
        container.phase = Phase::Exited(sample::exit(code, (started_at, now)));
    }
}

fn fail_start(container: Option<&mut ObservedContainer>, now: Timestamp) {
    if let Some(container) = container {
        container.phase = Phase::Exited(Exit {
            code: 128,
            signal: None,
            oom_killed: false,
            error: Some("it failed".to_owned()),
            started_at: None,
            finished_at: now,
        });
    }
}
