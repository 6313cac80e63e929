//! `up`: what a stack makes of the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compose::model::{Hook, Service, ServiceName, Stack, VolumeKey};
use crate::plan::{Desired, DesiredService, Run, Update, contents, service_hash};

/// `up`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Up {
    /// The whole model.
    pub stack: Stack,
    /// The services to bring up: selected ones and, unless told otherwise, their dependencies.
    pub services: Vec<ServiceName>,
    /// Ids of the images that the services' references mean now.
    pub image_ids: IndexMap<ServiceName, String>,
    /// Replicas that the command line asked for.
    pub scale: IndexMap<ServiceName, u32>,
    /// Which existing containers are replaced, of services that are not only dependencies.
    pub recreate: Recreate,
    /// Services that are brought up only because others need them.
    #[serde(default)]
    pub dependencies: Vec<ServiceName>,
    /// Containers of those are replaced even if they are up to date.
    #[serde(default)]
    pub recreate_dependencies: bool,
    /// Volumes that may be made anew, though what is in them is lost, with the hash of the
    /// configuration that they get.
    #[serde(default)]
    pub agreed: BTreeMap<VolumeKey, String>,
    /// New containers do not take over volumes without a name.
    #[serde(default)]
    pub renew_volumes: bool,
    /// Make containers, but do not start them.
    pub no_start: bool,
    /// Do not wait for dependencies.
    pub no_deps: bool,
    /// Make networks and volumes that no service uses, too.
    #[serde(default)]
    pub all_resources: bool,
    /// Remove containers of services that the stack file has no more.
    pub remove_orphans: bool,
    /// Time to stop in; `None` = each container's own.
    pub timeout: Option<Duration>,
    /// Report only when everything is healthy too.
    pub wait: bool,
}

/// Which existing containers `up` replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recreate {
    /// Those that are out of date.
    OutOfDate,
    /// All (`--force-recreate`).
    All,
    /// None (`--no-recreate`).
    None,
}

impl Up {
    /// These services of a stack, with no flag.
    pub fn new(stack: Stack, services: Vec<ServiceName>) -> Self {
        Self {
            stack,
            services,
            image_ids: IndexMap::new(),
            scale: IndexMap::new(),
            recreate: Recreate::OutOfDate,
            dependencies: Vec::new(),
            recreate_dependencies: false,
            agreed: BTreeMap::new(),
            renew_volumes: false,
            no_start: false,
            no_deps: false,
            all_resources: false,
            remove_orphans: false,
            timeout: None,
            wait: false,
        }
    }

    /// Whether containers of a service are replaced even if they are up to date.
    fn recreates(&self, name: &ServiceName) -> bool {
        match self.dependencies.contains(name) {
            true => self.recreate_dependencies,
            false => self.recreate == Recreate::All,
        }
    }

    pub(in crate::control) fn apply(&self, desired: &mut Desired, now: Timestamp) {
        desired.adopt(&self.stack);
        match self.all_resources {
            true => desired.keep_unused(&self.stack),
            false => desired.forget_unused(),
        }
        desired.agreed.clone_from(&self.agreed);
        desired.ask_all(|name| self.services.contains(name));
        let known = |name: &ServiceName| {
            self.stack.services.contains_key(name)
                || self.stack.disabled_services.contains_key(name)
        };
        if self.remove_orphans {
            desired.services.retain(|name, _| known(name));
            desired.clear_one_offs_before = Some(now);
        }
        for (name, service) in &mut desired.services {
            service.orphan = !known(name);
        }
        desired.pre_stop = pre_stop(&self.stack);
        let named: BTreeSet<&ServiceName> = self.services.iter().collect();
        let mut services = IndexMap::with_capacity(self.stack.services.len());
        let models = self.stack.services.iter();
        for (name, model) in models.chain(&self.stack.disabled_services) {
            let old = desired.services.shift_remove(name);
            if named.contains(name) {
                let known = desired.updates.shift_remove(name);
                let service = self.service((name, model), old.as_ref(), now);
                if let Some(update) = Update::begin(&service, old.as_ref(), known) {
                    desired.updates.insert(name.clone(), update);
                }
                services.insert(name.clone(), service);
            } else if let Some(old) = old {
                services.insert(name.clone(), old);
            }
        }
        services.extend(std::mem::take(&mut desired.services));
        desired.services = services;
    }

    /// What one service is to be from now on; `old` is what it was to be.
    fn service(
        &self,
        (name, model): (&ServiceName, &Service),
        old: Option<&DesiredService>,
        now: Timestamp,
    ) -> DesiredService {
        DesiredService {
            image_id: self.image_ids.get(name).cloned(),
            hash: service_hash(&self.stack, model),
            contents: contents(&self.stack, model),
            replicas: self.scale.get(name).copied().unwrap_or(model.replicas),
            run: match self.no_start {
                true => Run::Created,
                false => Run::Running,
            },
            restart_before: old.and_then(|old| old.restart_before),
            recreate_before: match self.recreates(name) {
                true => Some(now),
                false => old.and_then(|old| old.recreate_before),
            },
            renew_before: match self.renew_volumes {
                true => Some(now),
                false => old.and_then(|old| old.renew_before),
            },
            no_recreate: self.recreate == Recreate::None,
            timeout: self.timeout,
            no_deps: self.no_deps,
            ..DesiredService::new(model.clone(), now)
        }
    }
}

/// What runs in the containers of a stack's services before they are stopped.
pub fn pre_stop(stack: &Stack) -> BTreeMap<ServiceName, Vec<Hook>> {
    let services = stack.services.iter().chain(&stack.disabled_services);
    services
        .map(|(name, service)| (name.clone(), service.pre_stop.clone()))
        .collect()
}
