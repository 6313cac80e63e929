//! What happens to the machine: commands of people, ends of programs, and the end of the supervisor.

use std::sync::Arc;
use std::time::Duration;

use super::Failure;
use super::history::{Event, Hand, Number, Shape};
use super::machine::{Simulation, end};
use super::shape::{model, name};
use crate::compose::model::{Service, ServiceName, ServiceNetwork};
use crate::control::turn;
use crate::control::{Act, Command, Single};
use crate::plan::{DesiredService, ObservedContainer, Run, Update};
use crate::state::records::{HealthState, HealthStatus};

impl Simulation {
    pub(super) fn happen(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Wait(millis) => return self.pass(Duration::from_millis(*millis)),
            Event::Crash(services, code) => self.crash(services, *code),
            Event::Health(service, well) => self.turn_health(*service, *well),
            Event::FailOperation => self.fail_next = true,
            Event::KillSupervisor => self.kill_supervisor(),
            Event::Kill(service) => {
                let service = name(*service);
                self.kill(|container| container.record.service == service);
            }
            Event::Single(service, index, hand) => self.single(*service, *index, *hand),
            command => self.command(command),
        }
        self.turn().map(drop)
    }

    pub(super) fn command(&mut self, event: &Event) {
        self.now += Duration::from_millis(1);
        let now = self.now;
        match event {
            Event::Up(shapes) => self.up(shapes),
            Event::Leave(number) => {
                self.desired.services.shift_remove(&name(*number));
                self.mark(*number);
                self.drop_edges();
            }
            Event::Network => {
                let network = &mut self.desired.networks[0];
                network.internal = !network.internal;
                self.network_moved = true;
                self.up(&[]);
            }
            Event::Scale(number, replicas) => {
                self.change(*number, |service| service.replicas = *replicas);
            }
            Event::ForceRecreate(number) => {
                self.change(*number, |service| service.recreate_before = Some(now));
            }
            Event::Stop(number) => self.give(*number, |services| Command::Stop {
                services,
                timeout: None,
            }),
            Event::Start(number) => self.give(*number, |services| Command::Start {
                services,
                wait: false,
            }),
            Event::Restart(number) => self.give(*number, |services| Command::Restart {
                services,
                timeout: None,
                no_deps: false,
            }),
            _ => {}
        }
        turn::asked(&self.busy, &mut self.observed);
    }

    /// One of the real commands, to one service.
    fn give(&mut self, number: Number, command: impl FnOnce(Vec<ServiceName>) -> Command) {
        if self.desired.services.contains_key(&name(number)) {
            let now = self.now;
            command(vec![name(number)]).apply(&mut self.desired, now);
            for (service, desired) in &self.desired.services {
                if desired.since == now {
                    self.moved.push(service.clone());
                }
            }
        }
    }

    /// Something is done to one container.
    fn single(&mut self, number: Number, index: u8, hand: Hand) {
        let replicas = self.containers.values().filter(|container| {
            container.record.service == name(number)
                && self
                    .desired
                    .services
                    .contains_key(&container.record.service)
        });
        let replicas: Vec<_> = replicas.collect();
        let Some(one) = replicas.get(usize::from(index) % replicas.len().max(1)) else {
            return;
        };
        let (record, left) = (Arc::clone(&one.record), replicas.len() as u32 - 1);
        let act = match hand {
            Hand::Stop => Act::Stop { timeout: None },
            Hand::Start => Act::Start,
            Hand::Restart => Act::Restart { timeout: None },
            Hand::Remove => Act::Remove {
                left: Some(left),
                force: true,
                volumes: false,
            },
            Hand::Kill => return self.kill(|container| container.record.id == record.id),
        };
        self.now += Duration::from_millis(1);
        let single = Single {
            id: record.id.clone(),
            name: record.name.clone(),
            service: record.service.clone(),
            act,
        };
        Command::Single(single).apply(&mut self.desired, self.now);
        self.mark(number);
        self.drop_edges();
        turn::asked(&self.busy, &mut self.observed);
    }

    /// SIGKILL from a person: noted before it is sent.
    fn kill(&mut self, concerned: impl Fn(&ObservedContainer) -> bool) {
        self.now += Duration::from_millis(1);
        let now = self.now;
        for (id, container) in &mut self.containers {
            let known = self.observed.containers.get_mut(id);
            let Some(known) = known.filter(|known| concerned(known) && known.is_up()) else {
                continue;
            };
            turn::signalled(known, 9, now);
            container.status = known.status.clone();
            self.moved.push(container.record.service.clone());
            if container.is_up() {
                self.now += Duration::from_millis(1);
                end(container, 137, self.now);
                self.ends.push(id.clone());
            }
        }
    }

    fn change(&mut self, number: Number, change: impl FnOnce(&mut DesiredService)) {
        if let Some(old) = self.desired.services.get(&name(number)).cloned() {
            let mut service = old.clone();
            change(&mut service);
            service.run = Run::Running;
            service.since = self.now;
            self.update(&name(number), service, Some(&old));
            self.mark(number);
        }
    }

    fn mark(&mut self, number: Number) {
        self.moved.push(name(number));
    }

    /// `up` of the whole stack: what runs and has not changed is not touched.
    fn up(&mut self, shapes: &[(Number, Shape)]) {
        self.desired.ask_all(|_| true);
        for (number, shape) in shapes {
            self.mark(*number);
            let service = DesiredService {
                // A container is made with its health check and its network.
                hash: format!("{}.{}.{:?}", shape.hash, shape.has_check, shape.shares),
                replicas: shape.replicas,
                service: model(shape),
                ..self.fresh()
            };
            let old = self.desired.services.get(&name(*number)).cloned();
            let before = old
                .as_ref()
                .map(|old| (old.restart_before, old.recreate_before));
            let (restart_before, recreate_before) = before.unwrap_or_default();
            let service = DesiredService {
                restart_before,
                recreate_before,
                ..service
            };
            self.update(&name(*number), service, old.as_ref());
        }
        for (name, service) in &mut self.desired.services {
            service.since = self.now;
            if service.run == Run::Stopped {
                service.run = Run::Running;
                self.moved.push(name.clone());
            }
            let is_down = |container: &ObservedContainer| {
                container.record.service == *name && !container.is_up()
            };
            if self.containers.values().any(is_down) {
                self.moved.push(name.clone());
            }
        }
        self.drop_edges();
    }

    /// Takes a service over and begins its update, as `up` does.
    pub(super) fn update(
        &mut self,
        name: &ServiceName,
        new: DesiredService,
        old: Option<&DesiredService>,
    ) {
        self.desired.ask_all(|other| other == name);
        let updates = &mut self.desired.updates;
        let known = updates.shift_remove(name);
        if let Some(update) = Update::begin(&new, old, known) {
            updates.insert(name.clone(), update);
        }
        self.desired.services.insert(name.clone(), new);
    }

    fn fresh(&self) -> DesiredService {
        DesiredService::new(Service::default(), self.now)
    }

    /// Edges to services that are not there: a file with them would not be loaded.
    fn drop_edges(&mut self) {
        let known: Vec<ServiceName> = self.desired.services.keys().cloned().collect();
        for (name, desired) in &mut self.desired.services {
            let service = &mut desired.service;
            if service.depends_on.keys().any(|name| !known.contains(name)) {
                self.moved.push(name.clone());
            }
            service.depends_on.retain(|name, _| known.contains(name));
            let follow = &mut service.x_stack.follow;
            follow.retain(|name, _| known.contains(name));
            if let ServiceNetwork::Service(owner) = &service.network
                && !known.contains(owner)
            {
                service.network = ServiceNetwork::None;
                // Another network is another configuration.
                desired.hash.push_str(" alone");
            }
        }
    }

    fn crash(&mut self, services: &[Number], code: i32) {
        let now = self.now;
        for number in services {
            for container in self.containers.values_mut() {
                if container.record.service == name(*number) && container.is_up() {
                    end(container, code, now);
                    self.ends.push(container.record.id.clone());
                }
            }
            self.mark(*number);
        }
    }

    fn turn_health(&mut self, number: Number, well: bool) {
        let ids = self.containers.values().filter(|container| {
            container.record.service == name(number)
                && container.is_up()
                && container.record.health.is_some()
        });
        let ids: Vec<String> = ids.map(|container| container.record.id.clone()).collect();
        for id in ids {
            self.probe(&id, well);
        }
        self.mark(number);
    }

    pub(super) fn probe(&mut self, id: &str, well: bool) {
        let status = match well {
            true => HealthStatus::Healthy,
            false => HealthStatus::Unhealthy,
        };
        let state = HealthState {
            status,
            failing_streak: 0,
            log: Vec::new(),
        };
        let started_at = self.containers[id].started_at();
        let known = (&self.desired, &mut self.observed);
        if turn::probed(id, (started_at, state), known, self.now).is_some() {
            let status = self.observed.containers[id].status.clone();
            if let Some(container) = self.containers.get_mut(id) {
                container.status = status;
            }
        }
    }

    /// What was being done is done or not; the next supervisor looks at what there is.
    fn kill_supervisor(&mut self) {
        for (_, step, container) in std::mem::take(&mut self.operations) {
            if self.random.bool() {
                let _ = self.apply(&step, container);
            }
        }
        self.observe();
    }
}
