//! The engine of this machine: our own runtime, networks and image store.
//!
//! Owns the containers of one project while a supervisor lives, and the reading of everybody's.
//! Invariant: what it holds in memory (descriptors of shims, bound ports, name server sockets) can
//! be had again from disk, kernel and shims; [`Engine::observe`] does so.

pub(crate) mod capabilities;
mod config;
mod create;
mod files;
mod guest;
mod hooks;
mod labels;
mod leases;
mod network;
pub mod objects;
mod observe;
mod pidfd;
mod ports;
mod probe;
mod ready;
mod rename;
mod root;
mod settle;
mod start;
mod steps;
mod stop;
mod template;
mod volume;
mod volumes_from;
mod watch;

pub(crate) use guest::{GuestEndpoint, GuestNetwork};
#[cfg(test)]
pub(crate) use observe::is_of_others;
pub use observe::{networks, observe, observe_container, observe_services, projects};
pub(crate) use root::{RootError, View, with_root};
pub(crate) use steps::HOOK_LABEL;
pub use template::parse_signal;

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;

use crate::compose::model::ServiceName;
use crate::control::OneOff;
use crate::image::{Image, ImageStore, Reference};
use crate::net::dns::DnsServer;
use crate::plan::{
    AnonymousVolumes, Desired, IfUsed, Observed, ObservedContainer, ObservedNetwork, Op, Then,
    service_hash,
};
use crate::runtime::cgroup::Cgroup;
use crate::runtime::sealed;
use crate::state::journal::{Entry, note};
use crate::state::records::{ContainerRecord, ContainerStatus, ProbeRecord};
use crate::state::{Paths, StateError, empty_gone, retire_dir, write_json};

use self::create::{NewContainer, OneOffTraits};
use self::ports::Ports;
use self::start::Begin;
use self::stop::StopStep;
use self::watch::Link;
use super::{Applied, Engine, EngineError, Note};

/// How often leases on networks of other projects are looked at for new names.
const FOREIGN_NAMES: Duration = Duration::from_millis(500);

/// The engine of one project on this machine.
#[derive(Debug)]
pub struct Native {
    paths: Paths,
    project: String,
    store: ImageStore,
    exe: PathBuf,
    shim_exe: ShimExecutable,
    address_pools: Option<String>,
    dns: DnsServer,
    live: Mutex<HashMap<String, Live>>,
    ports: Ports,
    images: Mutex<HashMap<String, Arc<Image>>>,
    steps: steps::Steps,
    notes: OnceLock<UnboundedSender<Note>>,
    readers: Mutex<ready::Readers>,
    /// Told when containers come or go.
    members_changed: tokio::sync::Notify,
}

/// What shims are started from: this program on a read-only mount of its own, which no container
/// can write to (CVE-2019-5736). Made once; a shim that is started otherwise makes its own.
#[derive(Debug)]
struct ShimExecutable {
    path: PathBuf,
    _held: Option<OwnedFd>,
}

impl ShimExecutable {
    fn new(exe: &Path) -> Self {
        match sealed::executable() {
            Ok(held) => Self {
                path: format!("/proc/self/fd/{}", held.as_raw_fd()).into(),
                _held: Some(held),
            },
            Err(error) => {
                tracing::warn!(%error, "no sealed copy of this program: each shim makes its own");
                Self {
                    path: exe.to_owned(),
                    _held: None,
                }
            }
        }
    }
}

/// What is held for a container that runs.
#[derive(Debug)]
struct Live {
    link: Arc<Link>,
    /// It gives way to others: its names lead to them already.
    leaving: bool,
    container: ObservedContainer,
}

/// An id: 64 hexadecimal digits.
pub(super) fn new_id() -> String {
    (0..4)
        .map(|_| format!("{:016x}", fastrand::u64(..)))
        .collect()
}

impl Native {
    /// The engine of a project. `exe` is this program; `address_pools` replaces the default pools.
    pub fn open(
        paths: &Paths,
        project: &str,
        exe: PathBuf,
        address_pools: Option<String>,
    ) -> Result<Self, EngineError> {
        for dir in [
            paths.containers(),
            paths.volumes(),
            paths.networks(),
            paths.projects(),
            paths.shims(),
        ] {
            std::fs::create_dir_all(&dir).map_err(|error| StateError::io("make", &dir, error))?;
        }
        let store =
            ImageStore::open(paths.root()).map_err(|error| EngineError::Images(error.into()))?;
        Ok(Self {
            paths: paths.clone(),
            project: project.to_owned(),
            store,
            shim_exe: ShimExecutable::new(&exe),
            exe,
            address_pools,
            dns: DnsServer::new(),
            live: Mutex::new(HashMap::new()),
            ports: Ports::default(),
            images: Mutex::new(HashMap::new()),
            steps: steps::Steps::default(),
            notes: OnceLock::new(),
            readers: Mutex::default(),
            members_changed: tokio::sync::Notify::new(),
        })
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cached_image(&self, id: &str) -> Option<Arc<Image>> {
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    fn cache_image(&self, id: &str, image: &Arc<Image>) {
        self.images
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned(), Arc::clone(image));
    }

    /// The image that a new container of a service gets.
    fn image_for(&self, id: Option<&String>, reference: &str) -> Result<Arc<Image>, EngineError> {
        if let Some(id) = id {
            return self.image_by_id(id, reference);
        }
        let name: Reference =
            reference
                .parse()
                .map_err(
                    |error: crate::image::ReferenceError| EngineError::Reference {
                        reference: reference.to_owned(),
                        source: error.into(),
                    },
                )?;
        let found = self
            .store
            .get(&name)
            .map_err(|error| EngineError::Images(error.into()))?;
        found
            .map(Arc::new)
            .ok_or_else(|| EngineError::NoImage(reference.to_owned()))
    }

    fn create_replica(
        &self,
        desired: &Desired,
        (service, number, name): (&ServiceName, u32, String),
        replaces: Option<&str>,
    ) -> Result<ObservedContainer, EngineError> {
        let Some(wanted) = desired.services.get(service) else {
            return Err(EngineError::CutShort);
        };
        let reference = wanted.service.image.clone().unwrap_or_default();
        let image = self.image_for(wanted.image_id.as_ref(), &reference)?;
        let inherited = match replaces {
            Some(id) => observe::container_record(&self.paths, id)?
                // Docker: a volume without a name belongs to the image that declared it.
                .filter(|old| old.image_id == image.id.to_string())
                .filter(|old| {
                    wanted
                        .renew_before
                        .is_none_or(|before| old.created >= before)
                })
                .map_or_else(BTreeMap::new, |old| old.anonymous_volumes),
            None => BTreeMap::new(),
        };
        self.create(
            desired,
            NewContainer {
                service,
                model: &wanted.service,
                number,
                name,
                hash: wanted.hash.clone(),
                image,
                inherited,
                replaces,
                one_off: None,
            },
        )
    }

    fn create_one_off(
        &self,
        desired: &Desired,
        one_off: &OneOff,
    ) -> Result<ObservedContainer, EngineError> {
        let Some(model) = one_off.stack.services.get(&one_off.service) else {
            return Err(EngineError::Value(format!(
                "no such service: {}",
                one_off.service
            )));
        };
        let reference = model.image.clone().unwrap_or_default();
        let image = self.image_for(Some(&one_off.image_id), &reference)?;
        let slug = new_id();
        let name = one_off.name.clone().unwrap_or_else(|| {
            let parts = [&self.project, one_off.service.as_str(), "run", &slug[..12]];
            one_off.stack.separator.join(&parts)
        });
        self.create(
            desired,
            NewContainer {
                service: &one_off.service,
                model,
                number: 1,
                name,
                hash: service_hash(&one_off.stack, model),
                image,
                inherited: BTreeMap::new(),
                replaces: None,
                one_off: Some(OneOffTraits {
                    auto_remove: one_off.auto_remove,
                    use_aliases: one_off.use_aliases,
                    slug: Some(slug),
                }),
            },
        )
    }

    /// Whether containers of other projects have addresses on a network.
    fn foreign_guest(&self, network: &str) -> Result<Option<ContainerRecord>, EngineError> {
        for leased in leases::list(&self.paths, network)? {
            let guest = observe::container_record(&self.paths, &leased.lease.container)?;
            if let Some(guest) = guest.filter(|guest| guest.project != self.project) {
                return Ok(Some(guest));
            }
        }
        Ok(None)
    }

    /// A container that has a volume, of whatever project.
    fn user_of_volume(&self, volume: &str) -> Result<Option<ContainerRecord>, EngineError> {
        for id in observe::objects(&self.paths.containers())? {
            let record = observe::container_record(&self.paths, &id)?;
            if let Some(user) = record.filter(|record| record.has_volume(volume)) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    fn remove_container(
        &self,
        container: &ObservedContainer,
        volumes: AnonymousVolumes,
    ) -> Result<(), EngineError> {
        let record = &container.record;
        self.end_waiting(&record.id);
        let bundle = crate::runtime::bundle::Bundle::new(self.paths.container(&record.id));
        if bundle.state().exists() && !bundle.exit().exists() {
            self.settle(record)?;
        }
        // It is gone when it has no name any more; emptying it can wait for the disk.
        if let Some(gone) = retire_dir(bundle.dir())? {
            note(&self.paths, &Entry::of(record, "destroy"));
            tokio::task::spawn_blocking(move || empty_gone(&gone));
        }
        if volumes == AnonymousVolumes::Removed {
            for name in record.anonymous_volumes.values() {
                volume::remove(&self.paths, name)?;
            }
        } else if volumes == AnonymousVolumes::Inherited {
            self.remove_disinherited(record)?;
        }
        Ok(())
    }

    /// Volumes without a name that the successor did not take over, because its image is another.
    fn remove_disinherited(
        &self,
        record: &crate::state::records::ContainerRecord,
    ) -> Result<(), EngineError> {
        if record.anonymous_volumes.is_empty() {
            return Ok(());
        }
        let mut used = std::collections::BTreeSet::new();
        for id in observe::objects(&self.paths.containers())? {
            if let Some(other) = observe::container_record(&self.paths, &id)? {
                used.extend(other.anonymous_volumes.into_values());
            }
        }
        for name in record
            .anonymous_volumes
            .values()
            .filter(|name| !used.contains(*name))
        {
            volume::remove(&self.paths, name)?;
        }
        Ok(())
    }

    async fn stop(
        self: &Arc<Self>,
        container: ObservedContainer,
        (timeout, then): (Option<Duration>, Then),
        desired: &Desired,
    ) -> Result<Applied, EngineError> {
        let ended = self.wait_ended(&container.record.id);
        tokio::pin!(ended);
        if then == Then::GiveWay {
            let patience = timeout.unwrap_or(container.record.stop_grace);
            tokio::select! {
                () = self.drain(&container, patience) => {}
                () = &mut ended => {}
            }
        } else {
            self.lead_elsewhere(&container);
        }
        if container.is_up()
            && let Err(error) = self.pre_stop(&container, desired).await
        {
            self.come_back(&container);
            return Err(error);
        }
        if then == Then::StartAgain {
            let mut status = observe::container_status(&self.paths, &container.record.id)?;
            status.interrupted = true;
            self.save_status(&container.record.id, &status)?;
        }
        let step = self.begin_stop(&container, timeout)?;
        let in_time = match step {
            StopStep::Wait(grace) => tokio::time::timeout(grace, &mut ended).await.is_ok(),
            StopStep::Gone | StopStep::Killed => false,
        };
        if !in_time {
            if matches!(step, StopStep::Wait(_)) {
                self.send_signal(&container.record, nix::libc::SIGKILL)?;
                self.note_signal(&container.record, nix::libc::SIGKILL);
            }
            ended.await;
        }
        let found = observe::observe_container(&self.paths, &container.record.id, None)?;
        let found = match found {
            Some(found) if found.is_up() => self.settle(&found.record)?,
            Some(found) => found,
            None => return Ok(Applied::ContainerGone(container.record.id.clone())),
        };
        if step != StopStep::Gone {
            note(&self.paths, &Entry::of(&found.record, "stop"));
        }
        Ok(Applied::Container(Box::new(found)))
    }

    /// Starts a container of a service: what is to come before, the program, what is to follow.
    async fn start_replica(
        self: &Arc<Self>,
        container: ObservedContainer,
        desired: &Arc<Desired>,
    ) -> Result<Applied, EngineError> {
        self.pre_start(&container, desired).await?;
        let by_policy = container.status.restart_count > 0;
        let started = self.start_and_watch(container, Begin::AtOnce).await?;
        if by_policy || started.record.template.post_start.is_empty() {
            return Ok(Applied::Container(Box::new(started)));
        }
        self.note(Note::Started(started.clone()));
        Ok(match self.post_start(&started).await {
            Ok(()) => Applied::Container(Box::new(started)),
            Err(error) => Applied::Unready(Box::new(started), error),
        })
    }

    /// A container stops at once: where others are behind its ports, they get what is new.
    fn lead_elsewhere(&self, container: &ObservedContainer) {
        if let Err(error) = self.ports.leave(&container.record.id) {
            let container = &container.record.name;
            tracing::warn!(container, %error, "cannot lead its ports elsewhere");
        }
    }

    /// A container that was to stop does not: it is behind its ports and names again.
    fn come_back(&self, container: &ObservedContainer) {
        let record = &container.record;
        if let Some(live) = self.live().get_mut(&record.id) {
            live.leaving = false;
        }
        self.refresh_names();
        if let Err(error) = self.ports.running(&record.id, container.health()) {
            tracing::warn!(container = record.name, %error, "cannot lead its ports back");
        }
    }

    async fn start_and_watch(
        self: &Arc<Self>,
        container: ObservedContainer,
        begin: Begin,
    ) -> Result<ObservedContainer, EngineError> {
        let engine = Arc::clone(self);
        let again = container.status.interrupted;
        let launched = blocking(move || engine.start(&container, begin)).await?;
        let record = Arc::clone(&launched.container.record);
        note(&self.paths, &Entry::of(&record, "start"));
        if again {
            note(&self.paths, &Entry::of(&record, "restart"));
        }
        self.take_charge(launched)
    }
}

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
        observe_container(&self.paths, id, Some(&self.project))
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
    let bundle = crate::runtime::bundle::Bundle::new(paths.container(&container.record.id));
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

/// Runs what touches disk or kernel on a thread of its own, so that both cores work and the loop
/// goes on listening.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(EngineError::CutShort))
}
