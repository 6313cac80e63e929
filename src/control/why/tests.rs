//! Explanations, as people read them.

use std::sync::Arc;
use std::time::Duration;

use insta::assert_snapshot;
use jiff::tz::TimeZone;

use super::*;
use crate::compose::model::{Dependency, RestartPolicy, Service};
use crate::plan::{plan, sample};
use crate::state::records::{ContainerRecord, HealthState, ProbeRecord};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn wanted(change: impl FnOnce(&mut DesiredService)) -> DesiredService {
    let mut service = DesiredService {
        hash: "h".to_owned(),
        ..DesiredService::new(Service::default(), at(50))
    };
    change(&mut service);
    service
}

fn made(service: &str, phase: Phase) -> ObservedContainer {
    let record = ContainerRecord {
        id: format!("id-{service}"),
        created: at(50),
        config_hash: "h".to_owned(),
        image_id: "i".to_owned(),
        ..sample::record("shop", service, 1)
    };
    sample::container(record, phase)
}

fn ended(code: i32, signal: Option<i32>, oom_killed: bool) -> Phase {
    Phase::Exited(Exit {
        signal,
        oom_killed,
        ..sample::exit(code, (at(60), at(99)))
    })
}

struct World {
    desired: Desired,
    observed: Observed,
    journal: Vec<Entry>,
}

impl World {
    fn new() -> Self {
        let mut observed = Observed::default();
        observed.images.insert(String::new(), "i".to_owned());
        Self {
            desired: Desired::new("shop"),
            observed,
            journal: Vec::new(),
        }
    }

    fn service(mut self, name: &str, change: impl FnOnce(&mut DesiredService)) -> Self {
        let name = ServiceName::new(name);
        self.desired.services.insert(name, wanted(change));
        self
    }

    fn container(mut self, container: ObservedContainer) -> Self {
        let id = container.record.id.clone();
        self.observed.containers.insert(id, container);
        self
    }

    fn why(&self, service: &str, now: Timestamp) -> Why {
        let plan = plan(&self.desired, &self.observed, now);
        why(
            &ServiceName::new(service),
            (&self.desired, &self.observed, &plan),
            (&self.journal, true),
            |_| vec!["the last line".to_owned()],
        )
    }

    fn text(&self, service: &str) -> String {
        let now = at(99) + Duration::from_millis(700);
        self.why(service, now).text(now, &TimeZone::UTC)
    }
}

#[test]
fn a_program_that_ends_again_and_again_is_explained_with_its_next_start() {
    let mut container = made("web", ended(137, Some(9), true));
    container.status.restart_count = 3;
    container.status.streak = 4;
    let mut world = World::new()
        .service("web", |service| {
            service.service.restart = RestartPolicy::Always
        })
        .container(container);
    let command = What::Command {
        command: "up".to_owned(),
    };
    let ended = What::Ended {
        exit: "ran out of memory (exit code 137)".to_owned(),
        restarts: true,
    };
    for (service, what) in [(None, command), (Some(ServiceName::new("web")), ended)] {
        world.journal.push(Entry {
            at: at(99),
            service,
            subject: String::new(),
            what,
        });
    }
    assert_snapshot!(world.text("web"), @r"
    web: 1 container is to run, 0 run.

    shop-web-1 ran out of memory (exit code 137) (SIGKILL) less than a second ago. It is started again 900 ms from now. It was started again 3 times since the last command.

    To be done:
      start container shop-web-1, because it ran out of memory (exit code 137) and has `restart: always` (attempt 4, after 1600 ms)
        not before 900 ms from now

    What happened, the latest last:
      00:01:39.000  `up` was asked for
      00:01:39.000  it ran out of memory (exit code 137), and is started again

    The last lines of shop-web-1:
      the last line
    ");
}

#[test]
fn a_service_that_waits_says_for_what_and_how_that_is() {
    let mut db = made(
        "db",
        Phase::Running {
            pid: 1,
            started_at: at(60),
        },
    );
    let mut record = (*db.record).clone();
    record.health = Some(sample::check(1, 3));
    db.record = Arc::new(record);
    db.status.health = Some(HealthState {
        status: HealthStatus::Starting,
        failing_streak: 1,
        log: vec![ProbeRecord {
            start: at(61),
            end: at(61),
            exit_code: 1,
            output: "psql:\nconnection refused\n".to_owned(),
        }],
    });
    let world = World::new()
        .service("db", |_| {})
        .service("web", |service| {
            let edge = Dependency {
                condition: Condition::ServiceHealthy,
                restart: false,
                required: true,
            };
            let edges = &mut service.service.depends_on;
            edges.insert(ServiceName::new("db"), edge);
        })
        .container(db)
        .container(made("web", Phase::Created));
    assert_snapshot!(world.text("web"), @r"
    web: 1 container is to run, 0 run.

    shop-web-1 was made and has not been started.

    To be done:
      start container shop-web-1, because it has not been started
        waits for db to be healthy (shop-db-1 is starting, its last probe failed with 1: connection refused)

    The last lines of shop-web-1:
      the last line
    ");
    assert_snapshot!(world.text("db"), @r"
    db: 1 container is to run, 1 runs.

    shop-db-1 has run for 39 seconds. It is not healthy yet: connection refused.

    The last lines of shop-db-1:
      the last line
    ");
}

#[test]
fn what_ended_for_good_and_what_was_never_there_say_so() {
    let world = World::new()
        .service("job", |_| {})
        .container(made("job", ended(3, None, false)));
    assert_snapshot!(world.text("job"), @r"
    job: 1 container is to run, 0 run.

    shop-job-1 exited (3) less than a second ago. `restart: no` leaves it as it is.

    The last lines of shop-job-1:
      the last line
    ");
    assert_snapshot!(world.text("other"), @"other has not been brought up.");
}

#[test]
fn a_step_that_failed_says_how_and_that_nobody_tries_it_again() {
    let mut world = World::new().service("web", |_| {});
    let failure = crate::plan::RecordedFailure {
        at: at(98),
        message: "cannot create container shop-web-1: no space left".to_owned(),
    };
    let failures = &mut world.observed.failures;
    failures.insert("shop-web-1".to_owned(), failure);
    let why = world.why("web", at(99));
    assert_eq!(
        why.steps[0].failed.as_deref(),
        Some("cannot create container shop-web-1: no space left")
    );
    let json = serde_json::to_value(&why).unwrap();
    assert_eq!(json["wanted"], "running");
    assert_eq!(json["steps"][0]["what"], "create container shop-web-1");
}
