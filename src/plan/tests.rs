//! The plan as a table: states in, steps and causes out.

use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use insta::assert_snapshot;
use jiff::Timestamp;

use super::*;
use crate::compose::model::{
    Attachment, Dependency, Mount, MountSource, Network, RestartPolicy, Service, ServiceNetwork,
    Volume, VolumesFrom, VolumesSource,
};
use crate::state::records::{ContainerRecord, HealthState, HealthStatus, NetworkRequest};

mod by_hand;
mod contents;
mod leaving;
mod moves;
mod objects;
mod replacing;
mod restarting;
mod waiting;

/// A moment of the test's time line, in seconds.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text)
}

/// A project and its machine, grown by the tests.
struct World {
    desired: Desired,
    observed: Observed,
    now: i64,
}

impl World {
    fn new() -> Self {
        Self {
            desired: Desired::new("shop"),
            observed: Observed::default(),
            now: 100,
        }
    }

    /// A service of the model, brought up at second 50.
    fn service(mut self, text: &str, change: impl FnOnce(&mut DesiredService)) -> Self {
        let model = Service {
            image: Some("busybox".to_owned()),
            ..Service::default()
        };
        let mut service = DesiredService {
            image_id: Some("sha256:1".to_owned()),
            hash: "h1".to_owned(),
            ..DesiredService::new(model, at(50))
        };
        change(&mut service);
        self.observed
            .images
            .insert("busybox".to_owned(), "sha256:1".to_owned());
        self.desired.services.insert(name(text), service);
        self
    }

    /// A container made at second 10 and started at second 20, unless changed.
    fn container(
        mut self,
        service: &str,
        number: u32,
        change: impl FnOnce(&mut ObservedContainer),
    ) -> Self {
        let id = format!("{service}{number}{}", self.observed.containers.len());
        let template = self
            .desired
            .services
            .get(service)
            .map(|desired| desired.service.clone());
        let record = ContainerRecord {
            id,
            created: at(10),
            config_hash: "h1".to_owned(),
            image: "busybox".to_owned(),
            image_id: "sha256:1".to_owned(),
            template: template.unwrap_or_default(),
            ..sample::record("shop", service, number)
        };
        let phase = Phase::Running {
            pid: 1,
            started_at: at(20),
        };
        let mut container = sample::container(record, phase);
        change(&mut container);
        self.observed
            .containers
            .insert(container.record.id.clone(), container);
        self
    }

    fn plan(&self) -> String {
        let plan = plan(&self.desired, &self.observed, at(self.now));
        for (index, step) in plan.steps.iter().enumerate() {
            for after in &step.after {
                if let After::Step(before) = after {
                    assert!(*before < index, "a step waits only for earlier ones");
                }
            }
        }
        plan.to_string()
    }
}

fn depends_on(target: &str, condition: Condition) -> impl FnOnce(&mut DesiredService) {
    let target = name(target);
    move |service| {
        let edge = Dependency {
            condition,
            restart: false,
            required: true,
        };
        service.service.depends_on.insert(target, edge);
    }
}

fn exited(code: i32, finished: i64) -> impl FnOnce(&mut ObservedContainer) {
    move |container| {
        container.phase = Phase::Exited(sample::exit(code, (at(20), at(finished))));
    }
}

fn healthy(status: HealthStatus) -> impl FnOnce(&mut ObservedContainer) {
    move |container| {
        change_record(container, |record| {
            record.health = Some(sample::check(30, 3));
        });
        container.status.health = Some(HealthState {
            status,
            failing_streak: 0,
            log: Vec::new(),
        });
    }
}

fn change_record(container: &mut ObservedContainer, change: impl FnOnce(&mut ContainerRecord)) {
    let mut record = (*container.record).clone();
    change(&mut record);
    container.record = Arc::new(record);
}

fn unchanged<T>(_: &mut T) {}

fn volume_of(project: &str) -> ObservedVolume {
    ObservedVolume {
        config_hash: String::new(),
        project: project.to_owned(),
    }
}
