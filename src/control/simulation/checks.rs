//! What must hold at every step, and at rest.

use super::Failure;
use super::machine::Simulation;
use crate::compose::model::{Condition, RestartPolicy, ServiceName, ServiceNetwork, UpdateOrder};
use crate::plan::{Cause, ObservedContainer, Op, Phase, Plan, Run, Step, plan};
use crate::state::records::HealthStatus;

impl Simulation {
    /// What must hold of a step that begins.
    pub(super) fn check_begin(&self, step: &Step, plan: &Plan) -> Result<(), Failure> {
        let op = &step.op;
        match op {
            Op::StartContainer {
                id: Some(id),
                service,
                ..
            } => {
                let known = self.observed.containers.get(id);
                let Some(known) = known.filter(|container| !container.is_up()) else {
                    return Err(format!("{op}: it is up, or not there"));
                };
                let by_policy = matches!(step.cause, Cause::Restart { .. });
                if self.desired.is_held(&known.record) || by_policy && was_killed(known) {
                    return Err(format!("{op}: a person has ended it"));
                }
                self.check_replicas(service, (step, plan))?;
                self.check_edges(service, (step, plan))?;
                self.check_moved(service, step)
            }
            Op::StopContainer { id, .. } => {
                let Some(known) = self.observed.containers.get(id) else {
                    return Err(format!("{op}: it is not there"));
                };
                self.check_moved(&known.record.service, step)
            }
            Op::RemoveContainer { id, .. } => {
                let Some(known) = self.containers.get(id) else {
                    return Err(format!("{op}: it is not there"));
                };
                if known.is_up() {
                    return Err(format!("{op}: it runs"));
                }
                self.check_moved(&known.record.service, step)
            }
            Op::CreateContainer { service, .. } => self.check_moved(service, step),
            Op::RenameContainer { .. } => Ok(()),
            Op::CreateNetwork { .. } | Op::RemoveNetwork { .. } => Ok(()),
            other => Err(format!("nobody wants to {other}")),
        }
    }

    /// No more replicas than asked for run at a time; those that are to go do not count.
    fn check_replicas(
        &self,
        service: &ServiceName,
        (step, plan): (&Step, &Plan),
    ) -> Result<(), Failure> {
        let goes = |id: &String| {
            let mut steps = plan.steps.iter().chain(self.busy.values());
            steps.any(|step| match &step.op {
                Op::StopContainer { id: other, .. } | Op::RemoveContainer { id: other, .. } => {
                    id == other
                }
                _ => false,
            })
        };
        let Some(desired) = self.desired.services.get(service) else {
            return Err(format!("{}: no such service", step.op));
        };
        let up = self
            .containers
            .values()
            .filter(|container| container.record.service == *service && container.is_up())
            .filter(|container| !goes(&container.record.id))
            .count();
        let starting = self.busy.values().filter(|busy| match &busy.op {
            Op::StartContainer {
                service: other,
                id: Some(id),
                ..
            } => other == service && !goes(id),
            _ => false,
        });
        let same = self
            .containers
            .values()
            .any(|container| container.record.name == step.op.subject().1 && container.is_up());
        if same {
            return Err(format!("{}: one of this number runs", step.op));
        }
        // An update that starts first has as many more as it replaces at a time.
        let more = match &desired.service.deploy.update {
            Some(update) if update.order == UpdateOrder::StartFirst => update
                .parallelism
                .map_or(desired.replicas as usize, |count| count as usize),
            _ => 0,
        };
        match up + starting.count() >= desired.replicas as usize + more {
            true => Err(format!("{}: more than {} run", step.op, desired.replicas)),
            false => Ok(()),
        }
    }

    /// At rest, what was asked of single containers is so.
    pub(super) fn check_by_hand(&self) -> Result<(), Failure> {
        for (id, own) in &self.desired.by_hand {
            let container = self.containers.get(id);
            match container.filter(|_| own.run == Run::Stopped) {
                Some(container) if container.is_up() => {
                    return Err(format!("{} runs", container.record.name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// No dependent starts before its edges are open. A restart policy waits for nobody, but for the
    /// owner of its namespaces; nor does a person who starts one container.
    fn check_edges(
        &self,
        service: &ServiceName,
        (step, plan): (&Step, &Plan),
    ) -> Result<(), Failure> {
        let goes = |container: &ObservedContainer| {
            plan.steps.iter().any(|step| {
                matches!(&step.op, Op::RemoveContainer { id, .. } if *id == container.record.id)
            })
        };
        let model = &self.desired.services[service].service;
        let alone = match &step.op {
            Op::StartContainer { id: Some(id), .. } => self.desired.by_hand.contains_key(id),
            _ => false,
        };
        let by_policy = alone || matches!(step.cause, Cause::Restart { .. });
        for (dependency, edge) in &model.depends_on {
            let wanted = self.desired.services[dependency].replicas;
            // What is out of date is on its way out, whatever became of it.
            let other = &self.desired.services[dependency];
            let is_current = |container: &&ObservedContainer| {
                let record = &container.record;
                let before = other.recreate_before;
                // One that is not to run is not replaced, either.
                let stays = other.run != Run::Running || self.desired.is_held(record);
                let current = record.config_hash == other.hash || stays;
                let young = before.is_none_or(|before| record.created >= before);
                current && !goes(container) && (stays || young)
            };
            let mut containers = self
                .observed
                .of_service(dependency)
                .filter(is_current)
                .peekable();
            if wanted > 0 && containers.peek().is_none() && !by_policy {
                return Err(format!("{}: {dependency} is not there", step.op));
            }
            let mut stand: Vec<_> = containers.collect();
            // For what a person has stopped, alone or with its service, the others stand in.
            let is_asked_for = |one: &&ObservedContainer| {
                self.desired.asked(other, &one.record).run != Run::Stopped
            };
            if stand.iter().any(is_asked_for) {
                stand.retain(is_asked_for);
            }
            for container in stand {
                let open = match edge.condition {
                    _ if by_policy || wanted == 0 => true,
                    Condition::ServiceHealthy => container.health() == Some(HealthStatus::Healthy),
                    _ => container.phase != Phase::Created,
                };
                if !open && container.record.number <= wanted {
                    let name = &container.record.name;
                    return Err(format!("{}: {name} is not ready", step.op));
                }
            }
        }
        if let ServiceNetwork::Service(owner) = &model.network
            && !self.observed.of_service(owner).any(|owner| owner.is_up())
        {
            return Err(format!("{}: {owner} does not run", step.op));
        }
        Ok(())
    }

    /// Nothing happens to a service that nothing has happened to, nor to anything that it follows.
    fn check_moved(&self, service: &ServiceName, step: &Step) -> Result<(), Failure> {
        let mut seen = vec![service];
        let mut index = 0;
        while let Some(name) = seen.get(index).copied() {
            index += 1;
            if self.moved.contains(name) {
                return Ok(());
            }
            let Some(desired) = self.desired.services.get(name) else {
                return Ok(());
            };
            let model = &desired.service;
            if self.network_moved && matches!(model.network, ServiceNetwork::Networks(_)) {
                return Ok(());
            }
            let follows = model.depends_on.iter().filter(|(dependency, edge)| {
                let shares =
                    matches!(&model.network, ServiceNetwork::Service(owner) if owner == *dependency);
                let follow = model.x_stack.follow.get(*dependency);
                shares || edge.restart || follow.is_some_and(|events| !events.is_empty())
            });
            seen.extend(follows.map(|(dependency, _)| dependency));
        }
        Err(format!(
            "{}: nothing has happened to {service}: {}",
            step.op, step.cause
        ))
    }

    /// Whether waiting is in vain: for the health of what has no check, for namespaces of what has no
    /// container, for what ended and stays so, or for what waits in vain itself.
    fn is_in_vain(&self, service: &ServiceName) -> bool {
        let model = &self.desired.services[service].service;
        model.depends_on.iter().any(|(name, edge)| {
            let Some(dependency) = self.desired.services.get(name) else {
                return false;
            };
            let healthy = edge.condition == Condition::ServiceHealthy;
            let shares = matches!(&model.network, ServiceNetwork::Service(owner) if owner == name);
            let ended = self.containers.values().any(|container| {
                container.record.service == *name && matches!(container.phase, Phase::Exited(_))
            });
            healthy && dependency.service.healthcheck.is_none()
                || shares && dependency.replicas == 0
                || (healthy || shares) && ended
                || self.is_in_vain(name)
        })
    }

    /// The machine is as the model says.
    pub(super) fn check_rest(&mut self) -> Result<(), Failure> {
        let left = plan(&self.desired, &self.observed, self.now);
        let waits = left.steps.iter().any(|step| step.after.is_empty());
        if waits || !self.busy.is_empty() {
            return Err(format!("left over:\n{left}"));
        }
        for (name, service) in &self.desired.services {
            let containers: Vec<_> = self
                .containers
                .values()
                .filter(|container| container.record.service == *name)
                .collect();
            let blocked = left.problems.iter().any(|problem| problem.service == *name)
                || left.steps.iter().any(
                    |step| matches!(&step.op, Op::StartContainer { service, .. } if service == name),
                );
            let count = containers.len();
            if service.run == Run::Running && count != service.replicas as usize && !blocked {
                return Err(format!("{count} containers of {name}"));
            }
            for container in containers {
                let ended = matches!(container.phase, Phase::Exited(_))
                    && !matches!(
                        service.service.restart,
                        RestartPolicy::Always | RestartPolicy::UnlessStopped
                    );
                let fits = match service.run {
                    Run::Stopped => !container.is_up(),
                    _ => container.is_up() || blocked || ended,
                };
                let current = container.record.config_hash == service.hash;
                if !fits || !current && !blocked {
                    return Err(format!(
                        "{} is {:?}\n{left}",
                        container.record.name, container.phase
                    ));
                }
            }
        }
        let unexplained = left
            .problems
            .iter()
            // What became of an update that came before is told, and stands in nobody's way.
            .filter(|problem| !problem.message.contains("update of"))
            .find(|problem| !self.is_in_vain(&problem.service));
        if unexplained.is_some() {
            return Err(format!("something stands in the way:\n{left}"));
        }
        let known = |container: &ObservedContainer| {
            self.desired
                .services
                .contains_key(&container.record.service)
        };
        match self.containers.values().all(known) && self.containers == self.observed.containers {
            true => Ok(()),
            false => Err("orphans, or things that the loop does not know".to_owned()),
        }
    }
}

/// Whether a person's signal ended it.
fn was_killed(container: &ObservedContainer) -> bool {
    match &container.phase {
        Phase::Exited(exit) => crate::plan::was_killed(exit, &container.status),
        _ => false,
    }
}
