//! Networks, volumes and images: what services need before their containers.

use std::collections::BTreeSet;

use super::Planner;
use crate::compose::model::{
    MountSource, NetworkKey, Service, ServiceName, ServiceNetwork, VolumeKey,
};
use crate::plan::dependency::missing_external;
use crate::plan::{After, Cause, Desired, IfUsed, ObservedContainer, Op, Problem, Then};

impl<'a> Planner<'a> {
    pub(super) fn needed_networks(&mut self) {
        let mut needed: BTreeSet<&NetworkKey> = self.desired.kept_networks.iter().collect();
        for service in self.wanted() {
            if let ServiceNetwork::Networks(networks) = &service.network {
                needed.extend(networks.keys());
            }
        }
        for key in needed {
            let Some(network) = self.desired.networks.get(key) else {
                continue;
            };
            if network.external {
                continue;
            }
            let create = Op::CreateNetwork {
                key: key.clone(),
                name: network.name.clone(),
            };
            if self.changed_networks.contains(&network.name) {
                let stops = self.stop_everything_on(&network.name);
                let remove = Op::RemoveNetwork {
                    name: network.name.clone(),
                    if_used: IfUsed::Fails,
                };
                let cause = Cause::ConfigChanged(Vec::new());
                let removed = self.plan.push(remove, cause.clone(), stops);
                let made = self.plan.push(create, cause, vec![After::Step(removed)]);
                self.networks.insert(network.name.clone(), made);
            } else if !self.observed.networks.contains_key(&network.name) {
                let made = self.plan.push(create, Cause::Missing, Vec::new());
                self.networks.insert(network.name.clone(), made);
            }
        }
    }

    /// Stops for all containers on a network, to be started again.
    fn stop_everything_on(&mut self, network: &str) -> Vec<After> {
        let cause = Cause::NetworkChanged(network.to_owned());
        let on_it = |container: &&ObservedContainer| {
            container.is_up()
                && container
                    .record
                    .networks
                    .iter()
                    .any(|request| request.network == network)
        };
        let mut stops = Vec::new();
        for container in self.observed.containers.values().filter(on_it) {
            let timeout = self
                .desired
                .services
                .get(&container.record.service)
                .and_then(|desired| desired.timeout);
            let then = (Then::StartAgain, cause.clone());
            let step = self.stop_once(container, timeout, then, Vec::new());
            stops.push(After::Step(step));
        }
        stops
    }

    pub(super) fn needed_volumes(&mut self) {
        let mut needed: BTreeSet<&VolumeKey> = self.desired.kept_volumes.iter().collect();
        for service in self.wanted() {
            for mount in &service.volumes {
                if let MountSource::Volume { volume, .. } = &mount.source {
                    needed.insert(volume);
                }
            }
        }
        for key in needed {
            let Some(volume) = self.desired.volumes.get(key) else {
                continue;
            };
            if !volume.external && !self.observed.volumes.contains_key(&volume.name) {
                let op = Op::CreateVolume {
                    key: key.clone(),
                    name: volume.name.clone(),
                };
                let step = self.plan.push(op, Cause::Missing, Vec::new());
                self.volumes.insert(volume.name.clone(), step);
            }
        }
    }

    /// The models of all that is to run and can: nothing is made for a service that misses something
    /// which is not ours to make.
    fn wanted(&self) -> Vec<&'a Service> {
        let desired: &'a Desired = self.desired;
        let services = desired.services.iter().filter(|(name, service)| {
            desired.is_wanted(name, service)
                && self.missing_resource(name, &service.service).is_none()
        });
        services
            .map(|(_, service)| &service.service)
            .chain(&desired.one_offs)
            .collect()
    }

    /// An external network or volume that is not there.
    pub(super) fn missing_resource(
        &self,
        name: &ServiceName,
        service: &Service,
    ) -> Option<Problem> {
        let networks = match &service.network {
            ServiceNetwork::Networks(networks) => networks.keys().collect(),
            _ => Vec::new(),
        };
        let network = networks
            .into_iter()
            .filter_map(|key| self.desired.networks.get(key))
            .find(|network| network.external && !self.observed.networks.contains_key(&network.name))
            .map(|network| missing_external("network", &network.name));
        let volume = || {
            service
                .volumes
                .iter()
                .filter_map(|mount| match &mount.source {
                    MountSource::Volume { volume, .. } => self.desired.volumes.get(volume),
                    _ => None,
                })
                .find(|volume| volume.external && !self.observed.volumes.contains_key(&volume.name))
                .map(|volume| missing_external("volume", &volume.name))
        };
        network.or_else(volume).map(|message| Problem {
            service: name.clone(),
            message,
            fatal: true,
        })
    }
}
