//! The steps that bring the replicas of one service to what they are to be.

use std::borrow::Cow;

use crate::compose::model::{
    MountSource, Service, ServiceName, UpdateOrder, VolumesFrom, VolumesSource,
};

use super::diff::{Planner, Subject};
use super::replicas::{Slot, owners};
use super::rolling::{Progress, Rolling};
use super::{
    After, AnonymousVolumes, Cause, DesiredService, Observed, Op, Problem, Run, Then, Turn,
    UpdateState, Watch,
};

/// Whether a replica may be worked on.
enum Gate<'r> {
    /// At once, and all of them.
    Open,
    /// It is its turn in an update.
    Turn(&'r Rolling<'r>),
    /// Its new container has failed, and the update goes on as if it had not.
    Tolerated,
    /// Others of its service come first.
    Later(&'r Rolling<'r>),
    /// Its update is paused: it stays what it is.
    Held,
}

/// A replica that is worked on.
struct Work<'w, 'a> {
    name: &'w ServiceName,
    desired: &'w DesiredService,
    slot: &'w Slot<'a>,
    /// The name that its container has in the end.
    container: String,
    /// What must have happened before it is touched.
    before: Vec<After>,
}

impl<'a> Planner<'a> {
    /// Replaces, makes and starts the containers of a service.
    pub(super) fn replace(
        &mut self,
        name: &ServiceName,
        desired: &DesiredService,
        slots: &[Slot<'a>],
    ) {
        let rolling = Rolling::of(name, self.desired).filter(|rolling| {
            let replaces = slots.iter().any(|slot| !slot.outdated.is_empty());
            desired.run == Run::Running && (rolling.update.is_some() || replaces)
        });
        let Some(rolling) = rolling else {
            for slot in slots {
                self.slot((name, desired), slot, &Gate::Open);
            }
            return;
        };
        self.tell_update(name, desired, &rolling);
        let progress = |slot: &Slot<'a>| {
            let failure = self.failure_to_make(name, desired, slot.number);
            let asked = self.asked(desired, slot);
            rolling.progress(slot, (&asked, failure), self.now)
        };
        let replicas: Vec<(u32, Progress)> = slots
            .iter()
            .map(|slot| (slot.number, progress(slot)))
            .collect();
        let decision = rolling.decide(&replicas, self.now);
        if decision.watched || decision.look_again.is_some() {
            self.plan.watches.push(Watch {
                service: name.clone(),
                until: decision.look_again,
                awaited: decision.watched,
            });
        }
        self.plan.turns.extend(decision.outcome.map(|outcome| Turn {
            service: name.clone(),
            outcome,
        }));
        for (slot, (_, progress)) in slots.iter().zip(&replicas) {
            let failed = matches!(progress, Progress::Failed { .. });
            let gate = match decision.go.contains(&slot.number) {
                true if failed => Gate::Tolerated,
                true => Gate::Turn(&rolling),
                false if rolling.is_paused() => Gate::Held,
                false => Gate::Later(&rolling),
            };
            self.slot((name, desired), slot, &gate);
        }
    }

    /// What is to be said of an update that did not go well. A command after the one that asked for
    /// it has not failed because of it.
    fn tell_update(&mut self, name: &ServiceName, desired: &DesiredService, rolling: &Rolling<'_>) {
        let Some(update) = rolling.update else {
            return;
        };
        let message = match &update.state {
            UpdateState::Paused { reason } => {
                format!("the update of {name} is paused: {reason}")
            }
            UpdateState::RolledBack { reason, .. } => {
                format!("the update of {name} was rolled back: {reason}")
            }
            UpdateState::Underway => match &update.failed_before {
                Some(reason) => format!(
                    "the last update of {name} to this configuration was rolled back: {reason}"
                ),
                None => return,
            },
        };
        self.plan.problems.push(Problem {
            service: name.clone(),
            message,
            fatal: !update.is_underway() && desired.since <= update.began,
        });
    }

    /// Why the container of a replica could not be made.
    fn failure_to_make(
        &self,
        name: &ServiceName,
        desired: &DesiredService,
        number: u32,
    ) -> Option<&'a str> {
        let container = self.desired.container_name(name, &desired.service, number);
        let temporary = format!("_{container}");
        let of_it = |found: &str| found == container || found.ends_with(&temporary);
        let observed: &'a Observed = self.observed;
        observed
            .failures
            .iter()
            .find(|(subject, failure)| of_it(subject) && failure.at >= desired.since)
            .map(|(_, failure)| failure.message.as_str())
    }

    fn slot(
        &mut self,
        (name, desired): (&ServiceName, &DesiredService),
        slot: &Slot<'a>,
        gate: &Gate<'_>,
    ) {
        let container = self
            .desired
            .container_name(name, &desired.service, slot.number);
        let asked = self.asked(desired, slot);
        let mut work = Work {
            name,
            desired: &asked,
            slot,
            container,
            before: Vec::new(),
        };
        // A container that was made to come second has the name of the one that runs.
        let has_name = slot.current.is_some_and(|current| {
            let name = &current.record.name;
            let mut others = slot.outdated.iter();
            !current.is_up() && others.any(|(old, _)| old.record.name == *name)
        });
        let starts_first = |rolling: &Rolling<'_>| {
            rolling.config.order == UpdateOrder::StartFirst
                && !has_name
                && slot.outdated.iter().any(|(old, _)| old.is_up())
        };
        match gate {
            Gate::Held => self.hold(&work),
            Gate::Open => self.stop_first(&work, Then::StayDown),
            Gate::Turn(rolling) if starts_first(rolling) => self.start_first(&work, rolling),
            Gate::Turn(_) | Gate::Tolerated => self.stop_first(&work, Then::GiveWay),
            Gate::Later(rolling) => {
                work.before.push(After::Earlier {
                    service: name.clone(),
                });
                match starts_first(rolling) {
                    true => self.start_first(&work, rolling),
                    false => self.stop_first(&work, Then::GiveWay),
                }
            }
        }
    }

    /// What is asked of a replica: of its container alone, where there is one.
    fn asked<'d>(&self, desired: &'d DesiredService, slot: &Slot<'_>) -> Cow<'d, DesiredService> {
        match slot.current {
            Some(current) => self.desired.asked(desired, &current.record),
            None => Cow::Borrowed(desired),
        }
    }

    /// The container that there is goes on as its service's policies say, be it an old one.
    fn hold(&mut self, work: &Work<'_, 'a>) {
        let oldest = || work.slot.outdated.first().map(|(old, _)| *old);
        match work.slot.current.or_else(oldest) {
            Some(current) if current.is_up() => {
                self.keep_running(work.name, work.desired, current);
            }
            Some(current) => self.start_again(work.name, work.desired, current, Vec::new()),
            None => {}
        }
    }

    /// The old container stops before the new one starts.
    fn stop_first(&mut self, work: &Work<'_, 'a>, then: Then) {
        let (mut after, mut cause) = (work.before.clone(), Cause::Missing);
        let slot = work.slot;
        if slot.current.is_none() {
            if let Some((_, reason)) = slot.outdated.first() {
                cause = Cause::Replaces(self.reason(work, reason));
            }
            after = vec![self.create(work, &work.container, cause.clone())];
        }
        // A new container is made before the old one is touched: when that fails, the old one still runs.
        for removed in self.give_way(work, &after, then) {
            after.push(removed);
        }
        if work.desired.run == Run::Running {
            self.bring_up(work, &work.container, (cause, after));
        }
        self.rename(work);
    }

    /// The new container is ready before the old one stops. Meanwhile it has another name, made as
    /// Docker Compose makes it.
    fn start_first(&mut self, work: &Work<'_, 'a>, rolling: &Rolling<'_>) {
        let (mut after, mut cause) = (work.before.clone(), Cause::Missing);
        let mut name = work.container.clone();
        if let Some(current) = work.slot.current {
            name.clone_from(&current.record.name);
        } else if let Some((old, reason)) = work.slot.outdated.first() {
            let id = &old.record.id;
            name = format!("{}_{name}", id.get(..12).unwrap_or(id));
            cause = Cause::Replaces(self.reason(work, reason));
            after = vec![self.create(work, &name, cause.clone())];
        }
        self.bring_up(work, &name, (cause, after));
        let is_ready = |current| rolling.is_ready(current, self.now);
        let before = match work.slot.current.is_some_and(is_ready) {
            true => work.before.clone(),
            false => vec![After::Ready { name }],
        };
        self.give_way(work, &before, Then::GiveWay);
    }

    /// Stops and removes the old containers of a replica; the removals.
    fn give_way(&mut self, work: &Work<'_, 'a>, before: &[After], then: Then) -> Vec<After> {
        let mut removed = Vec::new();
        for (old, reason) in &work.slot.outdated {
            let because = Cause::ReplacedBy(self.reason(work, reason));
            let mut before = before.to_vec();
            if old.is_up() {
                // With one after the other, what follows is restarted when the last is replaced.
                let beside = work.slot.current.is_some_and(|current| current.is_up());
                if then == Then::StayDown && !beside {
                    let stops = self.stop_followers(work.name, &before);
                    before.extend(stops);
                }
                let then = (then, because.clone());
                // One that is stopped for another reason, too, waits for that only.
                let known = self.has_stop(old);
                let step = self.stop_once(old, work.desired.timeout, then, before.clone());
                before.retain(|_| known);
                before.push(After::Step(step));
            }
            let step = self.remove(old, &because, AnonymousVolumes::Inherited, before);
            removed.push(After::Step(step));
        }
        removed
    }

    /// Starts the container of a replica, or sees that it goes on.
    fn bring_up(&mut self, work: &Work<'_, 'a>, name: &str, (cause, after): (Cause, Vec<After>)) {
        let (service, desired) = (work.name, work.desired);
        match work.slot.current {
            Some(current) if current.is_up() => self.keep_running(service, desired, current),
            Some(current) => self.start_again(service, desired, current, after),
            None => {
                let subject = Subject {
                    id: None,
                    name: name.to_owned(),
                };
                self.start(service, desired, subject, (cause, after));
            }
        }
    }

    /// A container that stands alone has the name of its replica.
    fn rename(&mut self, work: &Work<'_, 'a>) {
        if let Some(current) = work.slot.current
            && work.slot.outdated.is_empty()
            && current.record.name != work.container
            && current
                .record
                .name
                .ends_with(&format!("_{}", work.container))
        {
            let op = Op::RenameContainer {
                id: current.record.id.clone(),
                name: current.record.name.clone(),
                to: work.container.clone(),
            };
            self.plan.push(op, Cause::InPlace, Vec::new());
        }
    }

    /// Why an old container is replaced.
    fn reason(&self, work: &Work<'_, 'a>, reason: &Cause) -> String {
        match self.desired.updates.get(work.name).map(|u| &u.state) {
            Some(UpdateState::RolledBack { reason, .. }) => {
                Cause::RolledBack(reason.clone()).to_string()
            }
            _ => reason.to_string(),
        }
    }

    /// The making of those whose mounts are taken over, or whose namespaces are shared: what they have
    /// mounted is known then, and what shares it is the younger one.
    fn making_of_owners(&self, service: &Service) -> Vec<After> {
        let owners = owners(service);
        let is_owner = |op: &Op| match op {
            Op::CreateContainer {
                service: made,
                name,
                ..
            } => {
                let mounts = |from: &VolumesFrom| matches!(&from.source, VolumesSource::Container(owner) if owner == name);
                owners.contains(&made) || service.volumes_from.iter().any(mounts)
            }
            _ => false,
        };
        let steps = self.plan.steps.iter().enumerate();
        let owners = steps.filter(|(_, step)| is_owner(&step.op));
        owners.map(|(index, _)| After::Step(index)).collect()
    }

    /// The making of volumes that are made anew: a container that had the old one could not be told
    /// from one that is to have the new one.
    fn renewed_volumes_of(&self, service: &Service) -> Vec<After> {
        let names = service
            .volumes
            .iter()
            .filter_map(|mount| match &mount.source {
                MountSource::Volume { volume, .. } => self.desired.volumes.get(volume),
                _ => None,
            });
        let steps = names.filter_map(|volume| self.volumes.get(&volume.name));
        let renewed = steps.filter(|step| self.plan.steps[**step].cause != Cause::Missing);
        renewed.map(|step| After::Step(*step)).collect()
    }

    fn create(&mut self, work: &Work<'_, 'a>, container: &str, cause: Cause) -> After {
        let mut after = work.before.clone();
        let reference = work.desired.service.image.clone().unwrap_or_default();
        if !self.observed.images.contains_key(&reference) {
            let fetched = *self.images.entry(reference.clone()).or_insert_with(|| {
                let op = match work.desired.service.has_build {
                    true => Op::BuildImage { reference },
                    false => Op::PullImage { reference },
                };
                self.plan
                    .push(op, Cause::NeededBy(work.name.clone()), Vec::new())
            });
            after.push(After::Step(fetched));
        }
        after.extend(self.making_of_owners(&work.desired.service));
        after.extend(self.renewed_volumes_of(&work.desired.service));
        let op = Op::CreateContainer {
            service: work.name.clone(),
            number: work.slot.number,
            name: container.to_owned(),
            replaces: work
                .slot
                .outdated
                .first()
                .map(|(old, _)| old.record.id.clone()),
        };
        After::Step(self.plan.push(op, cause, after))
    }
}
