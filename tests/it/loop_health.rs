//! Readiness without a program in the image, and what follows when a container turns unhealthy.

use std::time::Duration;

use crate::harness::{eventually, stack};

#[test]
fn readiness_is_found_by_a_connection_a_request_or_a_line() {
    let stack = stack!(
        r#"
services:
  tcp:
    image: busybox
    command: sh -c 'sleep 0.4; exec nc -ll -p 7000 -e true'
    x-stack: {ready: {tcp: 7000}}
  http:
    image: busybox
    command: sh -c 'mkdir /w; echo fine > /w/health; sleep 0.4; exec httpd -f -p 80 -h /w'
    x-stack: {ready: {http: {port: 80, path: /health}}}
  log:
    image: busybox
    command: sh -c 'echo is ready soon; sleep 0.4; echo "db 7 is ready"; sleep 1000'
    x-stack: {ready: {log: "^db \\d+ is ready$$"}}
  web:
    image: busybox
    command: sleep 1000
    depends_on:
      tcp: {condition: service_healthy}
      http: {condition: service_healthy}
      log: {condition: service_healthy}
"#
    );
    stack.up().within(Duration::from_secs(20));
    for service in ["tcp", "http", "log"] {
        assert_eq!(stack.container(service).health, "healthy", "{service}");
    }
    assert_eq!(stack.container("web").state, "running");
    let health = stack.inspect(&stack.name("log", 1))["State"]["Health"]["Log"].to_string();
    assert!(health.contains("db 7 is ready"), "{health}");
}

#[test]
fn what_never_gets_ready_turns_unhealthy_and_says_why() {
    let stack = stack!(
        "
services:
  web:
    image: busybox
    command: sleep 1000
    x-stack: {ready: {http: {port: 80}, interval: 50ms, retries: 2}}
"
    );
    let up = stack.stack(&["up", "-d", "--wait"]).fails_with(1);
    up.stderr_contains("unhealthy");
    let why = stack.stack(&["why", "web"]).succeeds();
    why.stdout_contains("It is unhealthy after")
        .stdout_contains("refused");
}

#[test]
fn an_unhealthy_container_is_restarted_or_told_as_the_file_says() {
    let stack = stack!(
        "
services:
  restarted:
    image: busybox
    command: sh -c 'echo run; touch /tmp/well; sleep 1000'
    healthcheck: {test: test -e /tmp/well, interval: 50ms, retries: 2}
    x-stack: {on_unhealthy: restart}
  told:
    image: busybox
    command: sh -c 'touch /tmp/well; sleep 1000'
    healthcheck: {test: test -e /tmp/well, interval: 50ms, retries: 2}
    x-stack: {on_unhealthy: exec, exec: [sh, -c, 'echo x >> /tmp/told; touch /tmp/well']}
  left:
    image: busybox
    command: sh -c 'touch /tmp/well; sleep 1000'
    healthcheck: {test: test -e /tmp/well, interval: 50ms, retries: 2}
"
    );
    stack.stack(&["up", "-d", "--wait"]).succeeds();
    let pids = ["restarted", "told", "left"].map(|service| stack.pid(service));
    for service in ["restarted", "told", "left"] {
        stack.exec(service, "rm /tmp/well");
    }
    eventually("it was restarted and is well", || {
        let row = stack.container("restarted");
        let pid = stack.running_pid("restarted");
        (pid.is_some_and(|pid| pid != pids[0]) && row.health == "healthy").then_some(())
    });
    assert!(stack.logs("restarted").matches("run").count() >= 2);
    eventually("it was told and is well", || {
        let told = stack.exec("told", "cat /tmp/told 2>/dev/null || true");
        (told.trim() == "x" && stack.container("told").health == "healthy").then_some(())
    });
    let left = stack.wait_for("left", |row| row.health == "unhealthy");
    assert_eq!(left.state, "running");
    assert_eq!([stack.pid("told"), stack.pid("left")], [pids[1], pids[2]]);
    let name = stack.name("restarted", 1);
    let why = stack.stack(&["why", "restarted"]).succeeds();
    why.stdout_contains(&format!(
        "stop container {name} to start it again: it is unhealthy and has `on_unhealthy: restart`"
    ))
    .stdout_contains("it turned unhealthy");
    let why = stack.stack(&["why", "told"]).succeeds();
    why.stdout_contains("the program of `on_unhealthy` ended with 0");
}

#[test]
fn a_dependent_that_follows_health_is_down_until_its_dependency_is_well_again() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'touch /tmp/well; sleep 1000'
    healthcheck: {test: test -e /tmp/well, interval: 50ms, retries: 2}
  web:
    image: busybox
    command: sleep 1000
    depends_on: {db: {condition: service_healthy}}
    x-stack: {follow: [db]}
"
    );
    stack.up();
    let (db, web) = (stack.pid("db"), stack.pid("web"));
    stack.exec("db", "rm /tmp/well");
    stack.wait_for("db", |row| row.health == "unhealthy");
    stack.wait_for_state("web", "exited");
    let why = stack.stack(&["why", "web"]).succeeds();
    why.stdout_contains("db, which it follows, turned unhealthy")
        .stdout_contains("dependency failed to start");
    stack.exec("db", "touch /tmp/well");
    stack.wait_for_state("web", "running");
    assert_eq!(stack.pid("db"), db);
    assert_ne!(stack.pid("web"), web);
}

#[test]
fn mistakes_in_x_stack_are_shown_with_their_place() {
    let table = [
        ("redy: {tcp: 80}", "did you mean `ready`?"),
        ("ready: {tcp: 80, http: {port: 80}}", "more than one thing"),
        (
            "ready: {interval: 1s}",
            "give one of `tcp`, `http` and `log`",
        ),
        ("ready: {tcp: 70000}", "must be between 1 and 65535"),
        ("ready: {log: '('}", "is not a regular expression"),
        (
            "ready: {http: {port: 80, path: x}}",
            "a path starts with `/`",
        ),
        ("on_unhealthy: restrt", "did you mean `restart`?"),
        ("on_unhealthy: exec", "does not say what to run"),
        ("exec: [a]", "would never run"),
        ("follow: {dd: [replaced]}", "did you mean `db`?"),
        ("follow: {db: [replacd]}", "did you mean `replaced`?"),
    ];
    let text = |keys: &str| {
        format!(
            "services:\n  db: {{image: busybox}}\n  web:\n    image: busybox\n    depends_on: [db]\n    x-stack: {{{keys}}}\n"
        )
    };
    let stack = stack!(text("on_unhealthy: none"));
    for (keys, expected) in table {
        stack.file("stack.yaml", text(keys));
        let plan = stack.stack(&["plan"]).fails_with(1);
        plan.stderr_contains(expected)
            .stderr_contains("stack.yaml:6:");
    }
}
