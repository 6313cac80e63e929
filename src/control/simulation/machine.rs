//! The machine and the loop over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::Failure;
use super::history::{Event, Hand, Number, Shape};
use crate::compose::model::{
    Attachment, Condition, Dependency, FailureAction, Follow, Network, NetworkKey, OnUnhealthy,
    RestartPolicy, Service, ServiceName, ServiceNetwork, UpdateConfig, UpdateOrder,
};
use crate::control::turn::{self, Busy};
use crate::control::{Act, Command, Single};
use crate::engine::Applied;
use crate::plan::{
    Desired, DesiredService, Exit, Observed, ObservedContainer, ObservedNetwork, Op, Outcome,
    Phase, Plan, RecordedFailure, Run, Step, Then, Update, network_hash, plan, sample,
};
use crate::state::records::{
    ContainerRecord, ContainerStatus, HealthRecord, HealthState, HealthStatus, NetworkRequest,
};

const NETWORK: &str = "sim_default";

/// Far more turns than any of these small stacks needs to come to rest.
const PATIENCE: usize = 300;

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
    operations: Vec<(Timestamp, Step, Option<ObservedContainer>)>,
    /// Ends that the supervisor has not heard of.
    ends: Vec<String>,
    /// Services that something has happened to since the last rest.
    pub(super) moved: Vec<ServiceName>,
    pub(super) network_moved: bool,
    fail_next: bool,
    made: u32,
}

pub(super) fn name(number: Number) -> ServiceName {
    ServiceName::new(["s0", "s1", "s2", "s3"][usize::from(number)])
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
    fn observe(&mut self) {
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

    fn command(&mut self, event: &Event) {
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
    fn update(&mut self, name: &ServiceName, new: DesiredService, old: Option<&DesiredService>) {
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

    fn probe(&mut self, id: &str, well: bool) {
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

    /// Time goes by.
    fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let until = self.now + time;
        loop {
            let plan = self.turn()?;
            let next = self.next(&plan);
            if next.is_none() && plan.is_empty() && self.desired.updates.is_empty() {
                self.check_by_hand()?;
                self.moved.clear();
                self.network_moved = false;
            }
            let Some(next) = next.filter(|next| *next <= until) else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(next);
        }
    }

    fn next(&self, plan: &Plan) -> Option<Timestamp> {
        let done = self.operations.iter().map(|(done, ..)| *done);
        let due = plan.steps.iter().filter_map(|step| step.not_before);
        let watched = plan.watches.iter().filter_map(|watch| watch.until);
        done.chain(due).chain(watched).min()
    }

    /// One turn of the loop: what has happened is taken in, what is ready begins.
    fn turn(&mut self) -> Result<Plan, Failure> {
        self.take_ends();
        let mut done = Vec::new();
        let now = self.now;
        self.operations.retain(|operation| {
            let is_done = operation.0 <= now;
            if is_done {
                done.push(operation.clone());
            }
            !is_done
        });
        for (_, step, container) in done {
            self.busy.remove(step.op.subject().1);
            let result = self.apply(&step, container);
            self.take_ends();
            match result {
                Ok(applied) => {
                    turn::succeeded(&step, &mut self.observed);
                    turn::done(applied, &mut self.observed);
                }
                Err(error) => self.failed(&step, error),
            }
        }
        let mut plan = plan(&self.desired, &self.observed, self.now);
        while !plan.turns.is_empty() {
            for turn in &plan.turns {
                self.moved.push(turn.service.clone());
                self.desired.turn(turn, now);
                if matches!(turn.outcome, Outcome::RollBack(_)) {
                    self.observed.failures.clear();
                }
            }
            plan = crate::plan::plan(&self.desired, &self.observed, now);
        }
        let ready: Vec<Step> = turn::ready(&plan, (&self.observed, &self.busy))
            .cloned()
            .collect();
        for step in ready {
            if !self.busy.contains_key(step.op.subject().1) {
                self.begin(step, &plan)?;
            }
        }
        Ok(plan)
    }

    fn take_ends(&mut self) {
        for id in std::mem::take(&mut self.ends) {
            if let Some(container) = self.containers.get(&id).cloned() {
                turn::ended(container, (&self.desired, &mut self.observed));
            }
        }
    }

    fn begin(&mut self, step: Step, plan: &Plan) -> Result<(), Failure> {
        self.check_begin(&step, plan)?;
        let container = turn::begin(&step, (&self.desired, &mut self.observed));
        if let Op::StopContainer { id, then, .. } = &step.op
            && let (Some(real), Some(known)) = (self.containers.get_mut(id), &container)
        {
            // Written down before anything is done.
            real.status = known.status.clone();
            real.status.interrupted = *then == Then::StartAgain;
        }
        let takes = match self.random.u8(..20) {
            0 => self.random.u64(500..3000),
            _ => self.random.u64(1..60),
        };
        self.busy
            .insert(step.op.subject().1.to_owned(), step.clone());
        let done = self.now + Duration::from_millis(takes);
        self.operations.push((done, step, container));
        Ok(())
    }

    fn failed(&mut self, step: &Step, error: Error) {
        if error != Error::CutShort {
            let failure = RecordedFailure {
                at: self.now,
                message: "it failed".to_owned(),
            };
            turn::failed(step, failure, &mut self.observed);
        }
        if let Op::StartContainer { id: Some(id), .. } | Op::StopContainer { id, .. } = &step.op
            && let Some(container) = self.containers.get(id)
        {
            let container = container.clone();
            self.observed.containers.insert(id.clone(), container);
        }
    }

    /// Does an operation as the engine would.
    fn apply(&mut self, step: &Step, known: Option<ObservedContainer>) -> Result<Applied, Error> {
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

    /// Nothing more happens but what the loop does, and programs that turn healthy.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Failure> {
        self.fail_next = false;
        // What failed is asked for again, and so is what was taken back or paused.
        self.command(&Event::Up(Vec::new()));
        for (name, service) in self.desired.services.clone() {
            let known = self.desired.updates.get(&name);
            if known.is_some_and(|update| !update.is_underway()) {
                self.update(&name, service.clone(), Some(&service));
            }
        }
        for _ in 0..PATIENCE {
            let plan = self.turn()?;
            if let Some(next) = self.next(&plan) {
                self.now = self.now.max(next);
                continue;
            }
            let ill = self.observed.containers.values().find(|container| {
                container.is_up()
                    && !matches!(container.health(), None | Some(HealthStatus::Healthy))
            });
            match ill.map(|container| container.record.id.clone()) {
                Some(id) => self.probe(&id, true),
                None => return self.check_rest(),
            }
        }
        let left = plan(&self.desired, &self.observed, self.now);
        Err(format!("no rest after {PATIENCE} turns; left:\n{left}"))
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Error {
    CutShort,
    NoOwner,
    Other,
}

fn model(shape: &Shape) -> Service {
    let mut service = Service {
        restart: match shape.policy {
            0 => RestartPolicy::No,
            1 => RestartPolicy::Always,
            2 => RestartPolicy::UnlessStopped,
            _ => RestartPolicy::OnFailure {
                max_attempts: Some(2),
                delay: None,
                window: Some(Duration::from_secs(1)),
            },
        },
        healthcheck: shape.has_check.then(Default::default),
        ..Service::default()
    };
    if shape.restarts_unhealthy {
        service.x_stack.on_unhealthy = OnUnhealthy::Restart;
    }
    service.deploy.update = shape
        .update
        .map(|(start_first, action, parallelism)| UpdateConfig {
            parallelism: Some(parallelism).filter(|count| *count > 0),
            delay: Duration::from_millis(200),
            failure_action: match action {
                0 => FailureAction::Pause,
                1 => FailureAction::Continue,
                _ => FailureAction::Rollback,
            },
            monitor: Some(Duration::from_millis(300)),
            max_failure_ratio: 0.0,
            order: match start_first {
                true => UpdateOrder::StartFirst,
                false => UpdateOrder::StopFirst,
            },
        });
    service.network = match shape.shares {
        Some(owner) => ServiceNetwork::Service(name(owner)),
        None => ServiceNetwork::Networks(IndexMap::from([(
            NetworkKey::new("default"),
            Attachment::default(),
        )])),
    };
    let started = |restart| Dependency {
        condition: Condition::ServiceStarted,
        restart,
        required: true,
    };
    if let Some(owner) = shape.shares {
        service.depends_on.insert(name(owner), started(false));
    }
    for edge in &shape.edges {
        let dependency = Dependency {
            condition: match edge.healthy {
                true => Condition::ServiceHealthy,
                false => Condition::ServiceStarted,
            },
            ..started(edge.restart)
        };
        service.depends_on.insert(name(edge.to), dependency);
        let events = Follow::ALL
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| edge.follow & (1 << bit) != 0)
            .map(|(_, (_, event))| event);
        service
            .x_stack
            .follow
            .insert(name(edge.to), events.collect());
    }
    service
}

fn request() -> NetworkRequest {
    NetworkRequest {
        network: NETWORK.to_owned(),
        aliases: Vec::new(),
        addresses: Vec::new(),
        mac: None,
        interface: None,
        default_route: true,
    }
}

fn check() -> HealthRecord {
    sample::check(1, 1)
}

fn end(container: &mut ObservedContainer, code: i32, now: Timestamp) {
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
