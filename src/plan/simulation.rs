//! Random stacks, edits and crashes against a machine that does what the plan says: after the last
//! event the loop must come to rest with the machine matching the model.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::compose::model::{Dependency, RestartPolicy, Service};
use crate::state::records::{
    ContainerRecord, ContainerStatus, HealthRecord, HealthState, HealthStatus,
};

const RUNS: u64 = 3_000;
/// Far more steps than any of these small stacks needs.
const PATIENCE: usize = 400;

struct Machine {
    random: fastrand::Rng,
    desired: Desired,
    observed: Observed,
    now: Timestamp,
    made: u32,
}

#[test]
fn every_random_history_converges() {
    for seed in 0..RUNS {
        let mut machine = Machine::new(seed);
        for _ in 0..machine.random.usize(1..6) {
            machine.edit();
            for _ in 0..machine.random.usize(0..12) {
                if machine.random.u8(..10) < 3 {
                    machine.disturb();
                } else {
                    machine.advance(seed);
                }
            }
        }
        machine.come_to_rest(seed);
    }
}

impl Machine {
    fn new(seed: u64) -> Self {
        let mut desired = Desired::new("sim");
        desired.project = "sim".to_owned();
        Self {
            random: fastrand::Rng::with_seed(seed),
            desired,
            observed: Observed {
                images: BTreeMap::from([(String::new(), "image".to_owned())]),
                ..Observed::default()
            },
            now: Timestamp::from_second(1_000_000).unwrap(),
            made: 0,
        }
    }

    fn tick(&mut self) -> Timestamp {
        self.now += Duration::from_millis(self.random.u64(1..50));
        self.now
    }

    /// A command: services come, change, scale, stop, restart or go.
    fn edit(&mut self) {
        let now = self.tick();
        for number in 0..self.random.u32(1..6) {
            let name = ServiceName::new(format!("s{number}"));
            let kind = self.random.u8(..8);
            if kind == 0 {
                self.desired.services.shift_remove(&name);
                continue;
            }
            let edges = self.edges(number);
            let random = &mut self.random;
            let entry = self
                .desired
                .services
                .entry(name)
                .or_insert_with(|| DesiredService {
                    service: Service::default(),
                    image_id: None,
                    hash: "0".to_owned(),
                    replicas: 1,
                    run: Run::Running,
                    since: now,
                    restart_before: None,
                    recreate_before: None,
                    renew_before: None,
                    no_recreate: false,
                    timeout: None,
                    orphan: false,
                    no_deps: false,
                });
            entry.since = now;
            entry.run = Run::Running;
            match kind {
                1 => entry.run = Run::Stopped,
                2 => entry.restart_before = Some(now),
                3 => entry.recreate_before = Some(now),
                4 => entry.hash = random.u8(..4).to_string(),
                5 => entry.replicas = random.u32(..4),
                _ => {
                    entry.service.depends_on = edges;
                    entry.service.restart = if random.bool() {
                        RestartPolicy::Always
                    } else {
                        RestartPolicy::No
                    };
                }
            }
        }
        let known: Vec<ServiceName> = self.desired.services.keys().cloned().collect();
        for service in self.desired.services.values_mut() {
            service
                .service
                .depends_on
                .retain(|name, _| known.contains(name));
        }
    }

    /// Dependencies on services with lower numbers: never a circle.
    fn edges(&mut self, number: u32) -> indexmap::IndexMap<ServiceName, Dependency> {
        let conditions = [Condition::ServiceStarted, Condition::ServiceHealthy];
        let mut edges = indexmap::IndexMap::new();
        for lower in 0..number {
            if self.random.u8(..3) == 0 {
                let edge = Dependency {
                    condition: conditions[self.random.usize(..2)],
                    restart: self.random.bool(),
                    required: true,
                };
                edges.insert(ServiceName::new(format!("s{lower}")), edge);
            }
        }
        edges
    }

    /// Something happens to the machine: a program ends, or turns healthy or not.
    fn disturb(&mut self) {
        let now = self.tick();
        let ids: Vec<String> = self.observed.containers.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let id = &ids[self.random.usize(..ids.len())];
        let kind = self.random.u8(..3);
        let container = self.observed.containers.get_mut(id).unwrap();
        match kind {
            0 => end(container, 1, now),
            1 => set_health(container, HealthStatus::Healthy),
            _ => set_health(container, HealthStatus::Unhealthy),
        }
    }

    /// Does one ready step of the plan; `false` when there is none.
    fn advance(&mut self, seed: u64) -> bool {
        let now = self.tick();
        let plan = plan(&self.desired, &self.observed, now);
        let ready: Vec<&Step> = plan
            .steps
            .iter()
            .filter(|step| step.after.is_empty() && step.not_before.is_none())
            .collect();
        if ready.is_empty() {
            if let Some(due) = plan.steps.iter().filter_map(|step| step.not_before).min() {
                self.now = due;
                return true;
            }
            assert!(
                plan.steps.iter().all(|step| step
                    .after
                    .iter()
                    .any(|after| matches!(after, After::Condition { .. }))
                    || step
                        .after
                        .iter()
                        .any(|after| matches!(after, After::Step(_)))),
                "seed {seed}: a step that is neither ready nor waits"
            );
            return false;
        }
        let op = ready[self.random.usize(..ready.len())].op.clone();
        self.apply(&op, seed);
        true
    }

    fn apply(&mut self, op: &Op, seed: u64) {
        let now = self.tick();
        match op {
            Op::CreateContainer {
                service,
                number,
                name,
                ..
            } => self.create(service, *number, name),
            Op::StartContainer { id: Some(id), .. } => {
                self.check_edges(id, seed);
                let container = self.observed.containers.get_mut(id).unwrap();
                assert!(!container.is_up(), "seed {seed}: started twice");
                container.status.interrupted = false;
                container.status.streak += 1;
                container.status.health = None;
                container.phase = Phase::Running {
                    pid: 1,
                    started_at: now,
                };
            }
            Op::StopContainer { id, then, .. } => {
                let container = self.observed.containers.get_mut(id).unwrap();
                container.status.interrupted = *then == Then::StartAgain;
                end(container, 143, now);
            }
            Op::RemoveContainer { id, .. } => {
                let gone = self.observed.containers.remove(id).unwrap();
                assert!(!gone.is_up(), "seed {seed}: removed while it ran");
            }
            other => panic!("seed {seed}: unexpected {other}"),
        }
    }

    /// No dependent starts before its edges are open, except again by its restart policy.
    fn check_edges(&self, id: &str, seed: u64) {
        let container = &self.observed.containers[id];
        let Some(desired) = self.desired.services.get(&container.record.service) else {
            panic!("seed {seed}: started an orphan");
        };
        let again = matches!(&container.phase, Phase::Exited(exit)
            if exit.finished_at >= desired.since && !container.status.interrupted);
        for (name, edge) in &desired.service.depends_on {
            let state =
                dependency::dependency_state(name, edge.condition, &self.desired, &self.observed);
            assert!(
                again || state == DependencyState::Met,
                "seed {seed}: {} started too early",
                container.record.name
            );
        }
    }

    fn create(&mut self, service: &ServiceName, number: u32, name: &str) {
        self.made += 1;
        let desired = &self.desired.services[service];
        let id = format!("{:06}", self.made);
        let record = ContainerRecord {
            version: 1,
            id: id.clone(),
            name: name.to_owned(),
            project: "sim".to_owned(),
            service: service.clone(),
            number,
            one_off: false,
            auto_remove: false,
            created: self.now,
            config_hash: desired.hash.clone(),
            image: String::new(),
            image_id: "image".to_owned(),
            template: desired.service.clone(),
            labels: BTreeMap::new(),
            anonymous_volumes: BTreeMap::new(),
            mounts: Vec::new(),
            command: Vec::new(),
            health: Some(HealthRecord {
                command: Vec::new(),
                interval: Duration::from_secs(1),
                timeout: Duration::from_secs(1),
                retries: 1,
                start_period: Duration::ZERO,
                start_interval: Duration::from_secs(1),
            }),
            stop_signal: 15,
            stop_grace: Duration::from_secs(1),
            networks: Vec::new(),
            exposed: Vec::new(),
        };
        let container = ObservedContainer {
            record: Arc::new(record),
            status: ContainerStatus::default(),
            phase: Phase::Created,
        };
        self.observed.containers.insert(id, container);
    }

    /// Nothing more happens but what the loop does, and programs that turn healthy.
    fn come_to_rest(&mut self, seed: u64) {
        for _ in 0..PATIENCE {
            if self.advance(seed) {
                continue;
            }
            let mut changed = false;
            for container in self.observed.containers.values_mut() {
                if container.is_up() && container.health() != Some(HealthStatus::Healthy) {
                    set_health(container, HealthStatus::Healthy);
                    changed = true;
                }
            }
            if !changed {
                return self.check_rest(seed);
            }
        }
        let left = plan(&self.desired, &self.observed, self.now);
        panic!("seed {seed}: no rest after {PATIENCE} steps; left:\n{left}");
    }

    fn check_rest(&self, seed: u64) {
        let left = plan(&self.desired, &self.observed, self.now);
        assert!(left.steps.is_empty(), "seed {seed}: left over:\n{left}");
        for (name, service) in &self.desired.services {
            let containers: Vec<_> = self.observed.of_service(name).collect();
            if service.run == Run::Stopped {
                assert!(
                    containers.iter().all(|container| !container.is_up()),
                    "seed {seed}: {name} is not stopped"
                );
                continue;
            }
            assert_eq!(
                containers.len(),
                service.replicas as usize,
                "seed {seed}: replicas of {name}"
            );
            for container in containers {
                assert_eq!(
                    container.record.config_hash, service.hash,
                    "seed {seed}: {name} is out of date"
                );
                let blocked = left.problems.iter().any(|problem| problem.service == *name);
                let ended = matches!(container.phase, Phase::Exited(_))
                    && service.service.restart == RestartPolicy::No;
                assert!(
                    container.is_up() || blocked || ended,
                    "seed {seed}: {name} does not run"
                );
            }
        }
        for container in self.observed.containers.values() {
            assert!(
                self.desired
                    .services
                    .contains_key(&container.record.service),
                "seed {seed}: an orphan is left"
            );
        }
    }
}

fn end(container: &mut ObservedContainer, code: i32, now: Timestamp) {
    if let Some(started_at) = container.started_at().filter(|_| container.is_up()) {
        container.phase = Phase::Exited(Exit {
            code,
            signal: None,
            oom_killed: false,
            error: None,
            started_at: Some(started_at),
            finished_at: now,
        });
    }
}

fn set_health(container: &mut ObservedContainer, status: HealthStatus) {
    if container.is_up() {
        container.status.health = Some(HealthState {
            status,
            failing_streak: 0,
            log: Vec::new(),
        });
    }
}
