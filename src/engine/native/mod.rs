//! The engine of this machine: our own runtime, networks and image store.
//!
//! Owns the containers of one project while a supervisor lives, and the reading of everybody's.
//! Invariant: what it holds in memory (descriptors of shims, bound ports, name server sockets) can
//! be had again from disk, kernel and shims; [`Engine::observe`](super::Engine::observe) does so.

pub(crate) mod capabilities;
mod config;
mod create;
mod engine;
mod files;
mod guest;
mod hooks;
mod labels;
mod launch;
mod leases;
mod network;
pub mod objects;
mod observe;
mod pidfd;
mod ports;
mod probe;
mod ready;
mod rename;
mod renew;
mod replica;
mod root;
mod settle;
mod start;
mod steps;
mod stop;
mod template;
mod volume;
mod volumes_from;
mod watch;

pub(crate) use config::SYSTEM_PATHS;
pub(crate) use guest::{GuestEndpoint, GuestNetwork};
pub(crate) use hooks::run_hook;
#[cfg(test)]
pub(crate) use observe::is_of_others;
pub use observe::{networks, observe, observe_container, observe_services, projects};
pub(crate) use root::{RootError, View, user_of, with_root};
pub(crate) use steps::HOOK_LABEL;
pub use template::parse_signal;

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::image::{Image, ImageStore, Reference};
use crate::net::dns::DnsServer;
use crate::plan::ObservedContainer;
use crate::runtime::sealed;
use crate::state::{Paths, StateError};

use self::ports::Ports;
use self::watch::Link;
use super::{EngineError, Note};

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
