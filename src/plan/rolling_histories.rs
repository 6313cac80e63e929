//! Random updates of one service against a machine that does what the plan says: how many containers
//! there are at each moment, and where it all ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::super::{
    Desired, Exit, Observed, ObservedContainer, Op, Phase, Step, Update, plan, sample,
};
use super::{UpdateState, default_rollback};
use crate::compose::model::{FailureAction, Service, ServiceName, UpdateConfig, UpdateOrder};
use crate::state::records::{ContainerRecord, ContainerStatus, HealthState, HealthStatus};

const RUNS: u64 = 400;

struct Machine {
    random: fastrand::Rng,
    desired: Desired,
    observed: Observed,
    now: Timestamp,
    made: u32,
    /// Containers of the second version fail.
    broken: bool,
}

#[test]
fn every_update_ends_with_as_many_containers_as_there_were() {
    for seed in 0..RUNS {
        let mut machine = Machine::new(seed);
        machine.bring_up("v1");
        machine.come_to_rest(seed, None);
        let config = machine.update_to("v2");
        machine.come_to_rest(seed, Some(&config));
        machine.check(seed, &config);
    }
}

impl Machine {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let broken = random.u8(..4) == 0;
        Self {
            random,
            desired: Desired::new("sim"),
            observed: Observed {
                images: BTreeMap::from([(String::new(), "image".to_owned())]),
                ..Observed::default()
            },
            now: Timestamp::from_second(1_000_000).unwrap(),
            made: 0,
            broken,
        }
    }

    fn config(&mut self) -> UpdateConfig {
        let random = &mut self.random;
        let actions = [
            FailureAction::Pause,
            FailureAction::Continue,
            FailureAction::Rollback,
        ];
        let orders = [UpdateOrder::StopFirst, UpdateOrder::StartFirst];
        UpdateConfig {
            parallelism: random.bool().then(|| random.u64(1..3)),
            delay: Duration::from_millis(random.u64(..2) * 700),
            failure_action: actions[random.usize(..3)],
            monitor: random.bool().then_some(Duration::from_millis(500)),
            max_failure_ratio: [0.0, 0.4][random.usize(..2)],
            order: orders[random.usize(..2)],
        }
    }

    fn bring_up(&mut self, hash: &str) {
        let mut service = Service::default();
        service.deploy.update = Some(self.config());
        service.deploy.rollback = self.random.bool().then(default_rollback);
        let mut desired = super::tests::desired(hash, 0);
        desired.service = service;
        desired.replicas = self.random.u32(1..5);
        desired.since = self.now;
        self.desired.services.insert(name(), desired);
    }

    fn update_to(&mut self, hash: &str) -> UpdateConfig {
        self.now += Duration::from_secs(60);
        let old = self.desired.services[&name()].clone();
        let (mut new, config) = (old.clone(), self.config());
        new.service.deploy.update = Some(config.clone());
        new.hash = hash.to_owned();
        new.since = self.now;
        let update = Update::begin(&new, Some(&old), None).expect("it changed");
        self.desired.updates.insert(name(), update);
        self.desired.services.insert(name(), new);
        config
    }

    /// Does ready steps and lets programs get ready, or fail, until nothing more happens.
    fn come_to_rest(&mut self, seed: u64, config: Option<&UpdateConfig>) {
        for _ in 0..2_000 {
            self.now += Duration::from_millis(self.random.u64(1..40));
            let plan = plan(&self.desired, &self.observed, self.now);
            for turn in &plan.turns {
                self.desired.turn(turn, self.now);
            }
            if !plan.turns.is_empty() {
                continue;
            }
            if let Some(config) = config {
                self.count(seed, config);
            }
            let ready: Vec<&Step> = plan.steps.iter().filter(|s| s.after.is_empty()).collect();
            let waiting = self.observed.containers.values().any(|container| {
                container.is_up() && container.health() == Some(HealthStatus::Starting)
            });
            if !ready.is_empty() && (!waiting || self.random.bool()) {
                let op = ready[self.random.usize(..ready.len())].op.clone();
                self.apply(&op);
            } else if waiting {
                self.live();
            } else if let Some(at) = plan.watches.iter().filter_map(|watch| watch.until).min() {
                self.now = at;
            } else {
                assert!(plan.steps.is_empty(), "seed {seed}: it hangs:\n{plan}");
                return;
            }
        }
        let left = plan(&self.desired, &self.observed, self.now);
        panic!("seed {seed}: no rest; left:\n{left}");
    }

    /// While an update goes well, no more replicas are missing, or doubled, than it may touch.
    fn count(&self, seed: u64, config: &UpdateConfig) {
        let well = self.desired.updates.get(&name()).map(|u| &u.state);
        if self.broken || well != Some(&UpdateState::Underway) {
            return;
        }
        let replicas = self.desired.services[&name()].replicas as usize;
        let group = config.parallelism.map_or(replicas, |n| n as usize);
        let up = || self.observed.containers.values().filter(|c| c.is_up());
        let healthy = up()
            .filter(|container| container.health() == Some(HealthStatus::Healthy))
            .count();
        let (least, most) = match config.order {
            UpdateOrder::StopFirst => (replicas.saturating_sub(group), replicas),
            UpdateOrder::StartFirst => (replicas, replicas + group),
        };
        assert!(
            healthy >= least,
            "seed {seed}: {healthy} of {replicas} healthy, {config:?}"
        );
        let up = up().count();
        assert!(up <= most, "seed {seed}: {up} of {replicas} up, {config:?}");
    }

    /// One of those that start gets ready, or fails.
    fn live(&mut self) {
        let starting: Vec<String> = self
            .observed
            .containers
            .values()
            .filter(|c| c.is_up() && c.health() == Some(HealthStatus::Starting))
            .map(|c| c.record.id.clone())
            .collect();
        let id = &starting[self.random.usize(..starting.len())];
        let fails = self.broken && self.random.u8(..3) > 0;
        let (ends, now) = (self.random.bool(), self.now);
        let container = self.observed.containers.get_mut(id).unwrap();
        let fails = fails && container.record.config_hash == "v2";
        match (fails, ends) {
            (true, true) => end(container, now),
            (true, false) => set_health(container, HealthStatus::Unhealthy),
            _ => {
                set_health(container, HealthStatus::Healthy);
                container.status.ready_since = Some(now);
            }
        }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::CreateContainer { number, name, .. } => self.create(*number, name),
            Op::StartContainer { id: Some(id), .. } => {
                let container = self.observed.containers.get_mut(id).unwrap();
                container.status = ContainerStatus::default();
                container.phase = Phase::Running {
                    pid: 1,
                    started_at: self.now,
                };
            }
            Op::StopContainer { id, .. } => {
                let container = self.observed.containers.get_mut(id).unwrap();
                end(container, self.now);
            }
            Op::RemoveContainer { id, .. } => drop(self.observed.containers.remove(id)),
            Op::RenameContainer { id, to, .. } => {
                let container = self.observed.containers.get_mut(id).unwrap();
                let mut record = (*container.record).clone();
                record.name.clone_from(to);
                container.record = Arc::new(record);
            }
            other => panic!("unexpected {other}"),
        }
    }

    fn create(&mut self, number: u32, container: &str) {
        self.made += 1;
        let desired = &self.desired.services[&name()];
        let id = format!("{:064}", self.made);
        let record = ContainerRecord {
            id: id.clone(),
            name: container.to_owned(),
            created: self.now,
            config_hash: desired.hash.clone(),
            template: desired.service.clone(),
            health: Some(sample::check(1, 1)),
            ..sample::record("sim", "s", number)
        };
        let container = sample::container(record, Phase::Created);
        self.observed.containers.insert(id, container);
    }

    fn check(&self, seed: u64, config: &UpdateConfig) {
        let service = &self.desired.services[&name()];
        let state = self
            .desired
            .updates
            .get(&name())
            .map(|update| &update.state);
        if matches!(state, Some(UpdateState::Paused { .. })) {
            assert!(self.broken, "seed {seed}: paused without a failure");
            return;
        }
        let hashes: Vec<&str> = self
            .observed
            .containers
            .values()
            .map(|container| container.record.config_hash.as_str())
            .collect();
        let wanted = vec![service.hash.as_str(); service.replicas as usize];
        assert_eq!(hashes, wanted, "seed {seed}: {config:?}");
        let mut names: Vec<&str> = self
            .observed
            .containers
            .values()
            .map(|container| container.record.name.as_str())
            .collect();
        names.sort_unstable();
        let wanted: Vec<String> = (1..=service.replicas)
            .map(|n| format!("sim-s-{n}"))
            .collect();
        assert_eq!(names, wanted, "seed {seed}: {config:?}");
        let back = matches!(state, Some(UpdateState::RolledBack { .. }));
        assert_eq!(service.hash, if back { "v1" } else { "v2" }, "seed {seed}");
        assert!(back || state.is_none(), "seed {seed}: {state:?}");
    }
}

fn name() -> ServiceName {
    ServiceName::new("s")
}

fn end(container: &mut ObservedContainer, now: Timestamp) {
    let started_at = container.started_at();
    container.phase = Phase::Exited(Exit {
        code: 1,
        signal: None,
        oom_killed: false,
        error: None,
        started_at,
        finished_at: now,
    });
}

fn set_health(container: &mut ObservedContainer, status: HealthStatus) {
    container.status.health = Some(HealthState {
        status,
        failing_streak: 0,
        log: Vec::new(),
    });
}
