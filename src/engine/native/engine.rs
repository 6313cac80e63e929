//! The operations of this engine, each by what does it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use super::start::Begin;
use super::{Native, blocking, network, networks, observe, probe, settle, volume};
use crate::control::OneOff;
use crate::engine::{Applied, Engine, EngineError, Note};
use crate::image::Reference;
use crate::plan::{Desired, IfUsed, Observed, ObservedContainer, ObservedNetwork, Op};
use crate::runtime::bundle::Bundle;
use crate::runtime::cgroup::Cgroup;
use crate::state::records::{ContainerRecord, ContainerStatus, ProbeRecord};
use crate::state::{Paths, write_json};

impl Engine for Native {
    fn observe(&self) -> Result<Observed, EngineError> {
        let mut observed = observe(&self.paths, Some(&self.project))?;
        self.live().clear();
        self.ports.clear();
        let up: Vec<ObservedContainer> = observed
            .containers
            .values()
            .filter(|container| container.is_up())
            .cloned()
            .collect();
        for container in up {
            let id = container.record.id.clone();
            let container = self.go_on_after_renewal(container)?;
            observed.containers.insert(id.clone(), container.clone());
            if let Err(error) = self.adopt(container) {
                tracing::warn!(container = id, %error, "its shim does not answer: it is ended");
                let record = observed.containers[&id].record.clone();
                self.give_ports_back(&record);
                let settled = self.settle(&record)?;
                observed.containers.insert(id, settled);
            }
        }
        self.ports.refresh_all()?;
        let dead: Vec<_> = observed
            .containers
            .values()
            .filter(|container| !container.is_up() && needs_settling(container, &self.paths))
            .map(|container| container.record.clone())
            .collect();
        for record in dead {
            observed
                .containers
                .insert(record.id.clone(), self.settle(&record)?);
        }
        for network in networks(&self.paths)? {
            if network.project == self.project {
                for warning in network::ensure(&network)? {
                    tracing::warn!(?warning, "the host's firewall may stand in the way");
                }
            }
        }
        self.sweep(&observed)?;
        self.refresh_names();
        Ok(observed)
    }

    fn report_to(&self, notes: UnboundedSender<Note>) {
        let _ = self.notes.set(notes);
    }

    fn heed(&self, desired: &Desired) {
        if let Err(error) = self.ports.heed(desired) {
            tracing::warn!(%error, "cannot lead ports as the number of replicas wants it");
        }
    }

    fn look_at_objects(&self, observed: &mut Observed) -> Result<(), EngineError> {
        observe::look_at_objects(&self.paths, observed)
    }

    fn look(&self, id: &str) -> Result<Option<ObservedContainer>, EngineError> {
        observe::observe_container(&self.paths, id, Some(&self.project))
    }

    fn images(&self, references: &[String]) -> Result<Vec<(String, String)>, EngineError> {
        let mut found = Vec::new();
        for text in references {
            if let Ok(reference) = text.parse::<Reference>()
                && let Some(image) = self
                    .store
                    .get(&reference)
                    .map_err(|error| EngineError::Images(error.into()))?
            {
                let id = image.id.to_string();
                self.cache_image(&id, &Arc::new(image));
                found.push((text.clone(), id));
            }
        }
        Ok(found)
    }

    async fn apply(
        self: Arc<Self>,
        op: Op,
        container: Option<ObservedContainer>,
        desired: Arc<Desired>,
    ) -> Result<Applied, EngineError> {
        match (op, container) {
            (Op::PullImage { reference } | Op::BuildImage { reference }, _) => {
                Err(EngineError::NoImage(reference))
            }
            (Op::CreateNetwork { key, name }, _) => {
                let made = blocking(move || {
                    let network = desired.networks.get(&key).ok_or(EngineError::CutShort)?;
                    network::create(
                        &self.paths,
                        &self.project,
                        (&key, network),
                        self.address_pools.as_deref(),
                    )
                });
                made.await
                    .map(|network: ObservedNetwork| Applied::Network(name, network))
            }
            (Op::RemoveNetwork { name, if_used }, _) => {
                blocking(move || match (self.foreign_guest(&name)?, if_used) {
                    (None, _) => {
                        network::remove(&self.paths, &name).map(|()| Applied::NetworkGone(name))
                    }
                    (Some(_), IfUsed::Stays) => Ok(Applied::NetworkLeft(name)),
                    (Some(guest), IfUsed::Fails) => Err(in_use(guest)),
                })
                .await
            }
            (Op::CreateVolume { key, name }, _) => {
                blocking(move || {
                    let volume = desired.volumes.get(&key).ok_or(EngineError::CutShort)?;
                    volume::create(&self.paths, &self.project, &key, volume)
                        .map(|made| Applied::Volume(name, made))
                })
                .await
            }
            (Op::RemoveVolume { name, if_used }, _) => {
                blocking(move || match (self.user_of_volume(&name)?, if_used) {
                    (None, _) => {
                        volume::remove(&self.paths, &name).map(|()| Applied::VolumeGone(name))
                    }
                    (Some(_), IfUsed::Stays) => Ok(Applied::VolumeLeft(name)),
                    (Some(user), IfUsed::Fails) => Err(in_use(user)),
                })
                .await
            }
            (
                Op::CreateContainer {
                    service,
                    number,
                    name,
                    replaces,
                },
                _,
            ) => {
                blocking(move || {
                    self.create_replica(&desired, (&service, number, name), replaces.as_deref())
                        .map(|made| Applied::Container(Box::new(made)))
                })
                .await
            }
            (Op::StartContainer { .. }, Some(container)) => {
                self.start_replica(container, &desired).await
            }
            (Op::StopContainer { timeout, then, .. }, Some(container)) => {
                self.stop(container, (timeout, then), &desired).await
            }
            (Op::RenewFiles { files, then, .. }, Some(container)) => {
                self.renew(container, (files, then), &desired).await
            }
            (Op::RenameContainer { to, .. }, Some(container)) => {
                blocking(move || {
                    self.rename(&container, &to)
                        .map(|renamed| Applied::Container(Box::new(renamed)))
                })
                .await
            }
            (Op::RemoveContainer { volumes, .. }, Some(container)) => {
                blocking(move || {
                    self.remove_container(&container, volumes)?;
                    Ok(Applied::ContainerGone(container.record.id.clone()))
                })
                .await
            }
            // The container went away between plan and operation: the next plan knows.
            (
                Op::StartContainer { .. }
                | Op::StopContainer { .. }
                | Op::RenewFiles { .. }
                | Op::RenameContainer { .. }
                | Op::RemoveContainer { .. },
                None,
            ) => Err(EngineError::CutShort),
        }
    }

    async fn run_one_off(
        self: Arc<Self>,
        one_off: OneOff,
        desired: Arc<Desired>,
        made: tokio::sync::oneshot::Sender<ObservedContainer>,
    ) -> Result<Applied, EngineError> {
        let engine = Arc::clone(&self);
        let begin = if one_off.wait_attach {
            Begin::WhenAttached
        } else {
            Begin::AtOnce
        };
        let container = blocking(move || engine.create_one_off(&desired, &one_off)).await?;
        let _ = made.send(container.clone());
        self.start_and_watch(container, begin)
            .await
            .map(|started| Applied::Container(Box::new(started)))
    }

    async fn ended(
        self: Arc<Self>,
        container: ObservedContainer,
    ) -> Result<ObservedContainer, EngineError> {
        self.watch(&container).await;
        let id = container.record.id.clone();
        let engine = Arc::clone(&self);
        let settled = blocking(move || {
            // It may have been given another name since it was started.
            let found = observe::container_record(&engine.paths, &container.record.id)?;
            engine.settle(found.as_ref().unwrap_or(&container.record))
        });
        let settled = settled.await;
        // Only now may others believe that it has ended: everything it had is free again.
        self.forget(&id);
        settled
    }

    async fn probe(self: Arc<Self>, container: ObservedContainer) -> Option<ProbeRecord> {
        let frozen = Cgroup::open(&observe::cgroup_path(&container.record))
            .and_then(|cgroup| cgroup.is_frozen());
        if frozen.unwrap_or(false) {
            return None;
        }
        let start = Timestamp::now();
        let record = Arc::clone(&container.record);
        let health = record.health.as_ref()?;
        let (exit_code, output) = match &record.template.x_stack.ready {
            Some(ready) => {
                let probe = (ready.probe.clone(), health.timeout);
                self.probe_ready(container, probe).await
            }
            None => {
                let command = health.command.clone();
                let timeout = health.timeout;
                match self.run_inside(container, command, timeout).await {
                    probe::Ended::InTime(outcome) => outcome,
                    probe::Ended::Late(output) => (probe::LATE, probe::exceeded(timeout, &output)),
                }
            }
        };
        Some(ProbeRecord {
            start,
            end: Timestamp::now(),
            exit_code,
            output,
        })
    }

    async fn run(
        self: Arc<Self>,
        container: ObservedContainer,
        command: Vec<String>,
        timeout: Duration,
    ) -> ProbeRecord {
        let start = Timestamp::now();
        let (exit_code, output) = match self.run_inside(container, command, timeout).await {
            probe::Ended::InTime(outcome) => outcome,
            probe::Ended::Late(output) => (probe::LATE, output),
        };
        ProbeRecord {
            start,
            end: Timestamp::now(),
            exit_code,
            output,
        }
    }

    fn signal(&self, container: &ObservedContainer, signal: i32) -> Result<(), EngineError> {
        self.send_signal(&container.record, signal)?;
        self.note_signal(&container.record, signal);
        Ok(())
    }

    fn save_status(&self, id: &str, status: &ContainerStatus) -> Result<(), EngineError> {
        if let Some(health) = &status.health {
            self.ports.health(id, Some(health.status))?;
        }
        Ok(write_json(
            &self.paths.container(id).join("status.json"),
            status,
        )?)
    }
}

/// An ended container that still has something taken, or no exit record.
fn needs_settling(container: &ObservedContainer, paths: &Paths) -> bool {
    let bundle = Bundle::new(paths.container(&container.record.id));
    let unrecorded = bundle.state().exists() && !bundle.exit().exists();
    unrecorded
        || settle::untold_end(container).is_some()
        || !container.status.endpoints.is_empty()
        || !container.status.ports.is_empty()
}

/// Why what was to go stays.
fn in_use(user: ContainerRecord) -> EngineError {
    EngineError::InUse {
        container: user.name,
        project: user.project,
    }
}
