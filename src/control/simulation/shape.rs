//! What the numbers of a history stand for: services as the stack file would have them.

use std::time::Duration;

use indexmap::IndexMap;

use super::history::{Edge, Number, Shape};
use crate::compose::model::{
    Attachment, Condition, Dependency, FailureAction, Follow, NetworkKey, OnUnhealthy,
    RestartPolicy, Service, ServiceName, ServiceNetwork, UpdateConfig, UpdateOrder,
};
use crate::plan::sample;
use crate::state::records::{HealthRecord, NetworkRequest};

pub(super) const NETWORK: &str = "sim_default";

pub(super) fn name(number: Number) -> ServiceName {
    ServiceName::new(["s0", "s1", "s2", "s3"][usize::from(number)])
}

pub(super) fn model(shape: &Shape) -> Service {
    let mut service = Service {
        restart: restart(shape.policy),
        healthcheck: shape.has_check.then(Default::default),
        network: network(shape.shares),
        ..Service::default()
    };
    if shape.restarts_unhealthy {
        service.x_stack.on_unhealthy = OnUnhealthy::Restart;
    }
    service.deploy.update = shape.update.map(update);
    if let Some(owner) = shape.shares {
        let edge = dependency(Condition::ServiceStarted, false);
        service.depends_on.insert(name(owner), edge);
    }
    for edge in &shape.edges {
        depend(&mut service, edge);
    }
    service
}

fn restart(policy: u8) -> RestartPolicy {
    match policy {
        0 => RestartPolicy::No,
        1 => RestartPolicy::Always,
        2 => RestartPolicy::UnlessStopped,
        _ => RestartPolicy::OnFailure {
            max_attempts: Some(2),
            delay: None,
            window: Some(Duration::from_secs(1)),
        },
    }
}

fn update((start_first, action, parallelism): (bool, u8, u64)) -> UpdateConfig {
    UpdateConfig {
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
    }
}

fn network(shares: Option<Number>) -> ServiceNetwork {
    match shares {
        Some(owner) => ServiceNetwork::Service(name(owner)),
        None => ServiceNetwork::Networks(IndexMap::from([(
            NetworkKey::new("default"),
            Attachment::default(),
        )])),
    }
}

fn dependency(condition: Condition, restart: bool) -> Dependency {
    Dependency {
        condition,
        restart,
        required: true,
    }
}

fn depend(service: &mut Service, edge: &Edge) {
    let condition = match edge.healthy {
        true => Condition::ServiceHealthy,
        false => Condition::ServiceStarted,
    };
    let to = name(edge.to);
    service
        .depends_on
        .insert(to.clone(), dependency(condition, edge.restart));
    let events = Follow::ALL
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| edge.follow & (1 << bit) != 0)
        .map(|(_, (_, event))| event);
    service.x_stack.follow.insert(to, events.collect());
}

pub(super) fn request() -> NetworkRequest {
    NetworkRequest {
        network: NETWORK.to_owned(),
        aliases: Vec::new(),
        addresses: Vec::new(),
        mac: None,
        interface: None,
        default_route: true,
    }
}

pub(super) fn check() -> HealthRecord {
    sample::check(1, 1)
}
