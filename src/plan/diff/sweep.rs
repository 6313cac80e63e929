//! What nobody is left to use, after a command has taken some services away.

use std::collections::BTreeMap;

use super::Planner;
use crate::compose::model::{MountSource, Service, ServiceNetwork};
use crate::plan::{After, Cause, IfUsed, ObservedContainer, Op};

impl<'a> Planner<'a> {
    /// Own networks, and volumes when they were asked for, that neither a service of the project nor a
    /// container needs which stays.
    pub(super) fn sweep(&mut self) {
        let Some(sweep) = &self.desired.sweep else {
            return;
        };
        let removals = self.removals();
        let own = |project: &String| *project == self.desired.project;
        let mut steps = Vec::new();
        for (name, _) in self
            .observed
            .networks
            .iter()
            .filter(|(_, n)| own(&n.project))
        {
            let on_it = |container: &ObservedContainer| {
                let mut networks = container.record.networks.iter();
                networks.any(|request| request.network == *name)
            };
            if self.services().any(|service| self.is_on(service, name)) {
                continue;
            }
            let if_used = IfUsed::Stays;
            let op = Op::RemoveNetwork {
                name: name.clone(),
                if_used,
            };
            steps.extend(
                self.removal_of_all(on_it, &removals)
                    .map(|after| (op, after)),
            );
        }
        for volume in self.desired.volumes.values().filter(|_| sweep.volumes) {
            let found = self.observed.volumes.get(&volume.name);
            let has = |container: &ObservedContainer| {
                let mut mounts = container.record.mounts.iter();
                mounts.any(|mount| mount.kind == "volume" && mount.name == volume.name)
            };
            if volume.external
                || found.is_none_or(|found| !own(&found.project))
                || self
                    .services()
                    .any(|service| self.has(service, &volume.name))
            {
                continue;
            }
            let op = Op::RemoveVolume {
                name: volume.name.clone(),
                if_used: IfUsed::Stays,
            };
            steps.extend(self.removal_of_all(has, &removals).map(|after| (op, after)));
        }
        for (op, after) in steps {
            self.plan.push(op, Cause::Unused, after);
        }
    }

    /// The services that the project is to have, those that are stopped among them.
    fn services(&self) -> impl Iterator<Item = &'a Service> + use<'a> {
        let all = self.desired;
        let services = all.services.values().map(|service| &service.service);
        services.chain(&all.one_offs)
    }

    fn is_on(&self, service: &Service, network: &str) -> bool {
        let ServiceNetwork::Networks(networks) = &service.network else {
            return false;
        };
        let mut models = networks.keys().map(|key| self.desired.networks.get(key));
        models.any(|model| model.is_some_and(|model| model.name == network))
    }

    fn has(&self, service: &Service, volume: &str) -> bool {
        service.volumes.iter().any(|mount| match &mount.source {
            MountSource::Volume { volume: key, .. } => {
                let model = self.desired.volumes.get(key);
                model.is_some_and(|model| model.name == volume)
            }
            _ => false,
        })
    }

    /// The containers that this plan removes, with the step that does.
    fn removals(&self) -> BTreeMap<String, usize> {
        let steps = self.plan.steps.iter().enumerate();
        let removals = steps.filter_map(|(index, step)| match &step.op {
            Op::RemoveContainer { id, .. } => Some((id.clone(), index)),
            _ => None,
        });
        removals.collect()
    }

    /// The removals of all containers of which this is true; `None` when one of them stays.
    fn removal_of_all(
        &self,
        concerns: impl Fn(&ObservedContainer) -> bool,
        removals: &BTreeMap<String, usize>,
    ) -> Option<Vec<After>> {
        let containers = self.observed.containers.values();
        containers
            .filter(|container| concerns(container))
            .map(|container| {
                let step = removals.get(&container.record.id)?;
                Some(After::Step(*step))
            })
            .collect()
    }
}
