//! What `up`, `start` and `restart` wait for, and when they give up.

use std::time::Duration;

use crate::harness::stack;

const TEN: Duration = Duration::from_secs(10);

#[test]
fn a_dependency_that_ends_again_and_again_is_not_waited_for_without_end() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'exit 1'
    restart: always
    healthcheck: {test: exit 1, interval: 30s}
  web: {image: busybox, command: sleep 1000, depends_on: {db: {condition: service_healthy}}}
"
    );
    let db = stack.name("db", 1);
    let up = stack.stack(&["up", "-d"]).fails_with(1).within(TEN);
    up.stderr_contains(&format!(
        "dependency failed to start: container {db} is unhealthy: it exited (1)"
    ));
    assert_eq!(stack.container("web").state, "created");
}

#[test]
fn a_dependency_that_crashes_once_and_is_healthy_then_is_waited_for() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'test -e /data/tried && exec sleep 1000; touch /data/tried; exit 1'
    restart: on-failure
    healthcheck: {test: test -e /data/tried}
    volumes: [data:/data]
  web: {image: busybox, command: sleep 1000, depends_on: {db: {condition: service_healthy}}}
volumes: {data: {}}
"
    );
    stack.up();
    assert_eq!(stack.container("web").state, "running");
    assert_eq!(stack.container("db").health, "healthy");
}

#[test]
fn what_a_dependency_died_of_is_said_in_docker_compose_s_words() {
    let stack = stack!(
        "
services:
  db: {image: busybox, command: sh -c 'exit 1', healthcheck: {test: exit 1}}
  job: {image: busybox, command: sh -c 'exit 3'}
  bare: {image: busybox, command: sleep 1000}
  web: {image: busybox, command: sleep 1000, depends_on: {db: {condition: service_healthy}}}
  app:
    image: busybox
    command: sleep 1000
    depends_on: {job: {condition: service_completed_successfully}}
  odd: {image: busybox, command: sleep 1000, depends_on: {bare: {condition: service_healthy}}}
"
    );
    for (service, message) in [
        (
            "web",
            format!(
                "dependency failed to start: container {} exited (1)",
                stack.name("db", 1)
            ),
        ),
        (
            "app",
            "service \"job\" didn't complete successfully: exit 3".to_owned(),
        ),
        (
            "odd",
            format!("container {} has no healthcheck", stack.name("bare", 1)),
        ),
    ] {
        let up = stack.stack(&["up", "-d", service]).fails_with(1);
        up.stderr_contains(&message);
        assert_eq!(stack.container(service).state, "created");
    }
}

#[test]
fn an_optional_dependency_that_fails_is_a_warning() {
    let stack = stack!(
        "
services:
  job: {image: busybox, command: sh -c 'exit 1'}
  web:
    image: busybox
    command: sleep 1000
    depends_on: {job: {condition: service_completed_successfully, required: false}}
"
    );
    let message = "optional dependency \"job\" didn't complete successfully: exit 1";
    stack.up().stderr_contains(message);
    assert_eq!(stack.container("web").state, "running");
}

#[test]
fn time_that_is_up_is_told_and_what_was_started_goes_on() {
    let stack = stack!(
        "
services:
  app: {image: busybox, command: sleep 1000, healthcheck: {test: exit 1, interval: 60s}}
  web: {image: busybox, command: echo web-started, depends_on: {app: {condition: service_healthy}}}
"
    );
    let wait = ["up", "--wait", "--wait-timeout", "1"];
    let up = stack.stack(&[&wait[..], &["app"]].concat()).fails_with(1);
    up.stderr_contains("application not healthy after 1s");
    let up = stack.stack(&wait).fails_with(1);
    up.stderr_contains("timeout waiting for dependencies");
    let up = stack.stack(&["up", "--menu=false", "--wait-timeout", "1"]);
    up.fails_with(1)
        .stderr_contains("timeout waiting for dependencies")
        .stdout_lacks("web-started");
    assert_eq!(stack.container("app").state, "running");
    assert_eq!(stack.container("web").state, "created");
}

#[test]
fn start_starts_what_a_service_needs() {
    let stack = stack!(
        "
services:
  foo: {image: busybox, command: sleep 1000, depends_on: [bar]}
  bar: {image: busybox, command: sleep 1000}
  other: {image: busybox, command: sleep 1000}
"
    );
    stack.up();
    stack.stack(&["stop"]).succeeds();
    let start = stack.stack(&["start", "foo"]).succeeds();
    start
        .stderr_contains(&format!("Container {} Started", stack.name("bar", 1)))
        .stderr_contains(&format!("Container {} Started", stack.name("foo", 1)));
    assert_eq!(stack.container("other").state, "exited");
    let none = stack.stack(&["-p", "nobody", "start"]).fails_with(1);
    none.stderr_contains("no container found for project \"nobody\": not found");
}

#[test]
fn what_follows_a_restart_is_stopped_and_started() {
    let text = |label: &str| {
        format!(
            "
services:
  base:
    image: busybox
    command: sleep 1000
    labels: {{test: {label}}}
    healthcheck: {{test: exit 0}}
  follower:
    image: busybox
    command: sleep 1000
    depends_on: {{base: {{condition: service_healthy, restart: true}}}}
  loose: {{image: busybox, command: sleep 1000, depends_on: [base]}}
"
        )
    };
    let stack = stack!(text("one"));
    stack.up();
    let name = |service| stack.name(service, 1);
    let restart = stack.stack(&["restart", "base"]).succeeds();
    restart
        .stderr_contains(&format!("Container {} Restarting", name("base")))
        .stderr_contains(&format!("Container {} Healthy", name("base")))
        .stderr_contains(&format!("Container {} Started", name("follower")))
        .stderr_lacks("loose");
    stack.file("stack.yaml", text("two"));
    stack
        .up()
        .stderr_contains(&format!("Container {} Recreated", name("base")))
        .stderr_contains(&format!("Container {} Stopped", name("follower")))
        .stderr_contains(&format!("Container {} Started", name("follower")))
        .stderr_contains(&format!("Container {} Running", name("loose")));
}
