//! Containers and services for tests, as plain as they can be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Exit, ObservedContainer, Phase};
use crate::compose::model::{Service, ServiceName};
use crate::state::records::{ContainerRecord, ContainerStatus, HealthRecord};

/// A replica of a project's service, made at the beginning of time.
pub(crate) fn record(project: &str, service: &str, number: u32) -> ContainerRecord {
    ContainerRecord {
        version: 1,
        id: format!("{service}{number}"),
        name: format!("{project}-{service}-{number}"),
        project: project.to_owned(),
        service: ServiceName::new(service),
        number,
        one_off: false,
        auto_remove: false,
        made_alone: false,
        created: Timestamp::UNIX_EPOCH,
        config_hash: String::new(),
        image: String::new(),
        image_id: "image".to_owned(),
        template: Service::default(),
        labels: BTreeMap::new(),
        anonymous_volumes: BTreeMap::new(),
        mounts: Vec::new(),
        command: Vec::new(),
        health: None,
        stop_signal: 15,
        stop_grace: Duration::from_secs(10),
        networks: Vec::new(),
        exposed: Vec::new(),
    }
}

/// A container that nothing is known of but this.
pub(crate) fn container(record: ContainerRecord, phase: Phase) -> ObservedContainer {
    ObservedContainer {
        record: Arc::new(record),
        status: ContainerStatus::default(),
        phase,
    }
}

/// The end of a program that ran from the first of these times to the second.
pub(crate) fn exit(code: i32, (started, finished): (Timestamp, Timestamp)) -> Exit {
    Exit {
        code,
        signal: None,
        oom_killed: false,
        error: None,
        started_at: Some(started),
        finished_at: finished,
    }
}

/// A health check: each so many seconds, unhealthy after so many failures.
pub(crate) fn check(interval: u64, retries: u32) -> HealthRecord {
    let interval = Duration::from_secs(interval);
    HealthRecord {
        command: vec!["true".to_owned()],
        interval,
        timeout: interval,
        retries,
        start_period: Duration::ZERO,
        start_interval: interval,
    }
}
