//! What is said of waits, as lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use jiff::Timestamp;

use super::*;
use crate::compose::model::Dependency;
use crate::plan::{DesiredService, Exit, plan};
use crate::state::records::{ContainerRecord, ContainerStatus, HealthRecord, HealthState};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn wanted(depends_on: IndexMap<ServiceName, Dependency>) -> DesiredService {
    let model = Service {
        depends_on,
        ..Service::default()
    };
    DesiredService {
        hash: "h".to_owned(),
        ..DesiredService::new(model, at(50))
    }
}

fn container(service: &str, phase: Phase, health: Option<HealthStatus>) -> ObservedContainer {
    let check = HealthRecord {
        command: Vec::new(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        start_period: Duration::ZERO,
        start_interval: Duration::from_secs(1),
        retries: 3,
    };
    let record = ContainerRecord {
        version: 1,
        id: format!("id-{service}"),
        name: format!("shop-{service}-1"),
        project: "shop".to_owned(),
        service: ServiceName::new(service),
        number: 1,
        one_off: false,
        auto_remove: false,
        made_alone: false,
        created: at(50),
        config_hash: "h".to_owned(),
        image: String::new(),
        image_id: "i".to_owned(),
        template: Service::default(),
        exposed: Vec::new(),
        labels: BTreeMap::new(),
        anonymous_volumes: BTreeMap::new(),
        mounts: Vec::new(),
        command: Vec::new(),
        health: health.map(|_| check),
        stop_signal: 15,
        stop_grace: Duration::from_secs(1),
        networks: Vec::new(),
    };
    let state = |status| HealthState {
        status,
        failing_streak: 0,
        log: Vec::new(),
    };
    ObservedContainer {
        record: Arc::new(record),
        status: ContainerStatus {
            health: health.map(state),
            ..ContainerStatus::default()
        },
        phase,
    }
}

fn up() -> Phase {
    Phase::Running {
        pid: 7,
        started_at: at(60),
    }
}

fn ended(code: i32) -> Phase {
    Phase::Exited(Exit {
        code,
        signal: None,
        oom_killed: false,
        error: None,
        started_at: Some(at(60)),
        finished_at: at(61),
    })
}

fn goal() -> Goal {
    Goal {
        services: Default::default(),
        container: None,
        at: at(50),
        healthy: true,
    }
}

/// `web` waits for `db`, which is like this.
fn world(edge: (Condition, bool), db: ObservedContainer) -> (Desired, Observed) {
    let dependency = Dependency {
        condition: edge.0,
        restart: false,
        required: edge.1,
    };
    let mut desired = Desired::new("shop");
    let edges = [(ServiceName::new("db"), dependency)];
    let services = [
        ("db", IndexMap::new()),
        ("web", edges.into_iter().collect()),
    ];
    for (name, edges) in services {
        desired
            .services
            .insert(ServiceName::new(name), wanted(edges));
    }
    let mut observed = Observed::default();
    observed.images.insert(String::new(), "i".to_owned());
    for container in [db, container("web", Phase::Created, None)] {
        let id = container.record.id.clone();
        observed.containers.insert(id, container);
    }
    (desired, observed)
}

fn lines(said: &[Progress]) -> Vec<String> {
    said.iter()
        .map(|progress| match &progress.detail {
            Some(detail) => format!("{} {}: {detail}", progress.name, progress.state),
            None => format!("{} {}", progress.name, progress.state),
        })
        .collect()
}

/// What a command that has just come is told.
fn told(edge: (Condition, bool), db: ObservedContainer) -> Vec<String> {
    let (desired, observed) = world(edge, db);
    let plan = plan(&desired, &observed, at(100));
    let scene = Scene {
        plan: &plan,
        desired: &desired,
        observed: &observed,
        busy: &Busy::new(),
    };
    lines(&Told::default().of_waits(waits(Dependencies::Told, &goal(), &desired), &scene))
}

#[test]
fn a_dependency_is_waited_for_and_its_end_is_told_in_docker_compose_s_words() {
    use Condition::{ServiceCompletedSuccessfully as Done, ServiceHealthy as Healthy};
    let db = |phase, health| container("db", phase, health);
    for (edge, db, expected) in [
        ((Condition::ServiceStarted, true), db(up(), None), ""),
        ((Healthy, true), db(Phase::Created, None), ""),
        (
            (Healthy, true),
            db(up(), Some(HealthStatus::Starting)),
            "Waiting: for web",
        ),
        (
            (Healthy, true),
            db(up(), Some(HealthStatus::Healthy)),
            "Waiting: for web|Healthy",
        ),
        (
            (Healthy, true),
            db(up(), Some(HealthStatus::Unhealthy)),
            "Waiting: for web|Error: dependency db failed to start",
        ),
        (
            (Healthy, true),
            db(ended(1), None),
            "Waiting: for web|Error: dependency db failed to start",
        ),
        (
            (Healthy, false),
            db(up(), None),
            "Waiting: for web|Skipped: optional dependency \"db\" failed to start",
        ),
        (
            (Done, true),
            db(ended(3), None),
            "Waiting: for web|Error: service \"db\" didn't complete successfully: exit 3",
        ),
        (
            (Done, false),
            db(ended(3), None),
            "Waiting: for web|Skipped: optional dependency \"db\" didn't complete successfully: exit 3",
        ),
        ((Done, true), db(ended(0), None), "Waiting: for web|Exited"),
    ] {
        let expected: Vec<String> = expected
            .split('|')
            .filter(|line| !line.is_empty())
            .map(|line| format!("shop-db-1 {line}"))
            .collect();
        assert_eq!(told(edge, db), expected, "{edge:?}");
    }
}

#[test]
fn everything_that_is_waited_for_is_told_once() {
    let edge = (Condition::ServiceStarted, true);
    let mut memory = Told::default();
    let mut tell = |db: Phase, health, web: Phase| {
        let (desired, mut observed) = world(edge, container("db", db, health));
        let web = container("web", web, None);
        observed.containers.insert(web.record.id.clone(), web);
        let plan = plan(&desired, &observed, at(100));
        let scene = Scene {
            plan: &plan,
            desired: &desired,
            observed: &observed,
            busy: &Busy::new(),
        };
        lines(&memory.of_goal(&goal(), &scene)).join("|")
    };
    let starting = Some(HealthStatus::Starting);
    let first = tell(up(), starting, Phase::Created);
    assert_eq!(first, "shop-db-1 Waiting: to become healthy");
    let second = tell(up(), starting, up());
    assert_eq!(
        second,
        "shop-web-1 Waiting: to become healthy|shop-web-1 Healthy"
    );
    assert_eq!(tell(up(), Some(HealthStatus::Unhealthy), up()), "");
    assert_eq!(tell(ended(0), None, up()), "shop-db-1 Exited");
    assert_eq!(tell(ended(0), None, up()), "");
}
