//! Services that wait for others.

use std::time::Duration;

use jiff::Timestamp;

use crate::harness::{Stack, stack};

/// When a service wrote its first line.
fn first_line_at(stack: &Stack, service: &str) -> Timestamp {
    let logs = stack.stack(&["logs", "-t", "--no-log-prefix", "--no-color", service]);
    let logs = logs.succeeds();
    let line = logs.stdout.lines().next().expect("it wrote a line");
    let time = line.split(' ').next().expect("a time");
    time.parse()
        .unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_service_starts_when_what_it_needs_is_healthy() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'sleep 0.3; echo ready; touch /tmp/ready; sleep 1000'
    healthcheck:
      test: [CMD, test, -e, /tmp/ready]
      interval: 1s
  web:
    image: busybox
    command: sh -c 'echo started; sleep 1000'
    depends_on:
      db: {condition: service_healthy}
"
    );
    let up = stack.up();
    up.stderr_contains(&format!("Container {} Healthy", stack.name("db", 1)));
    stack.wait_for_log("web", "started");
    let (db, web) = (first_line_at(&stack, "db"), first_line_at(&stack, "web"));
    assert!(web > db, "web started at {web}, db was ready at {db}");
    assert_eq!(stack.container("db").health, "healthy");
}

#[test]
fn readiness_is_seen_long_before_the_interval_is_over() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'sleep 0.3; touch /tmp/ready; sleep 1000'
    healthcheck: {test: test -e /tmp/ready, interval: 30s}
  web:
    image: busybox
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
"
    );
    stack.up().within(Duration::from_secs(10));
}

#[test]
fn a_service_starts_when_a_job_before_it_has_succeeded() {
    let stack = stack!(
        "
services:
  migrate:
    image: busybox
    command: sh -c 'sleep 0.2; echo migrated'
  web:
    image: busybox
    command: sh -c 'echo started; sleep 1000'
    depends_on: {migrate: {condition: service_completed_successfully}}
"
    );
    stack.up();
    stack.wait_for_log("web", "started");
    assert!(first_line_at(&stack, "web") > first_line_at(&stack, "migrate"));
    assert_eq!(stack.container("migrate").state, "exited");
}

#[test]
fn a_job_that_fails_keeps_back_what_needs_it_and_is_named() {
    let stack = stack!(
        "
services:
  migrate: {image: busybox, command: sh -c 'exit 7'}
  web:
    image: busybox
    command: sleep 1000
    depends_on: {migrate: {condition: service_completed_successfully}}
  beside: {image: busybox, command: sleep 1000}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("migrate").stderr_contains("7");
    assert_ne!(
        stack
            .ps()
            .iter()
            .find(|row| row.service == "web")
            .map(|row| row.state.as_str()),
        Some("running")
    );
    stack.wait_for_state("beside", "running");
    // It is tried again by the next command.
    stack.file(
        "stack.yaml",
        "
services:
  migrate: {image: busybox, command: sh -c 'exit 0'}
  web:
    image: busybox
    command: sleep 1000
    depends_on: {migrate: {condition: service_completed_successfully}}
  beside: {image: busybox, command: sleep 1000}
",
    );
    stack.up();
    assert_eq!(stack.container("web").state, "running");
}

#[test]
fn a_service_that_gets_unhealthy_fails_up_and_is_named() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sleep 1000
    healthcheck: {test: 'echo not today; exit 1', interval: 50ms, retries: 2}
  web:
    image: busybox
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("db").stderr_contains("unhealthy");
    let db = stack.container("db");
    assert_eq!(
        (db.state.as_str(), db.health.as_str()),
        ("running", "unhealthy")
    );
    assert!(db.status.contains("(unhealthy)"), "{}", db.status);
    let log = stack.inspect(&db.name)["State"]["Health"]["Log"].to_string();
    assert!(log.contains("not today"), "{log}");
}

#[test]
fn a_dependency_that_ends_before_it_is_healthy_fails_up() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'exit 3'
    healthcheck: {test: exit 1, interval: 1s}
  web:
    image: busybox
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("db").within(Duration::from_secs(15));
}

#[test]
fn wait_returns_when_everything_is_healthy() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'sleep 0.3; touch /tmp/ready; sleep 1000'
    healthcheck: {test: test -e /tmp/ready, interval: 1s}
"
    );
    stack.stack(&["up", "--wait"]).succeeds();
    assert_eq!(stack.container("db").health, "healthy");
}

#[test]
fn wait_fails_when_something_gets_unhealthy() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sleep 1000
    healthcheck: {test: exit 1, interval: 50ms, retries: 2}
"
    );
    let up = stack.stack(&["up", "--wait"]).fails_with(1);
    up.stderr_contains("db");
}

#[test]
fn wait_ends_after_its_time() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sleep 1000
    healthcheck: {test: exit 1, interval: 60s, retries: 100}
"
    );
    let up = stack
        .stack(&["up", "--wait", "--wait-timeout", "1"])
        .fails_with(1);
    up.within(Duration::from_secs(15));
}

#[test]
fn health_follows_what_the_probe_says() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'touch /tmp/ready; sleep 1000'
    healthcheck: {test: test -e /tmp/ready, interval: 50ms, retries: 2}
"
    );
    stack.stack(&["up", "--wait"]).succeeds();
    stack.exec("db", "rm /tmp/ready");
    stack.wait_for("db", |row| row.health == "unhealthy");
    stack.exec("db", "touch /tmp/ready");
    stack.wait_for("db", |row| row.health == "healthy");
}

#[test]
fn a_probe_that_hangs_is_ended_and_counts_as_failed() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sleep 1000
    healthcheck: {test: sleep 600, interval: 50ms, timeout: 100ms, retries: 1}
"
    );
    stack.up();
    stack.wait_for("db", |row| row.health == "unhealthy");
    let processes = stack.exec("db", "ps");
    let hanging = processes.matches("sleep 600").count();
    assert!(hanging <= 2, "{processes}");
}

#[test]
fn a_cycle_is_an_error_that_shows_it() {
    let stack = stack!(
        "
services:
  a: {image: busybox, depends_on: [b]}
  b: {image: busybox, depends_on: [c]}
  c: {image: busybox, depends_on: [a]}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("a -> b -> c -> a");
    assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
}

#[test]
fn what_depends_on_others_is_stopped_before_them() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'trap \"echo stopped; exit 0\" TERM; echo up; while :; do sleep 0.02; done'
  web:
    image: busybox
    command: sh -c 'trap \"sleep 0.2; echo stopped; exit 0\" TERM; echo up; while :; do sleep 0.02; done'
    depends_on: [db]
"
    );
    stack.up();
    stack.wait_for_log("db", "up");
    stack.wait_for_log("web", "up");
    stack.stack(&["stop"]).succeeds();
    let ended = |service: &str| -> Timestamp {
        let name = stack.container(service).name;
        let time = stack.inspect(&name)["State"]["FinishedAt"].clone();
        time.as_str().expect("a time").parse().expect("a time")
    };
    assert!(ended("web") < ended("db"));
    assert!(stack.logs("web").contains("stopped"));
    assert!(stack.logs("db").contains("stopped"));
}
