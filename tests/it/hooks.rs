//! `pre_start`, `post_start`, `pre_stop`: commands at turning points of a container's life.

use std::time::Duration;

use crate::harness::{Stack, eventually, stack};

/// The lines of a file that hooks write to.
fn told(stack: &Stack) -> Vec<String> {
    let text = std::fs::read_to_string(stack.dir().join("told")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn forget(stack: &Stack) {
    let _ = std::fs::remove_file(stack.dir().join("told"));
}

#[test]
fn post_start_runs_in_the_container_before_what_depends_on_it_starts() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sleep 1000
    environment: {OF_SERVICE: kept, GONE: here}
    volumes: ['.:/files']
    post_start:
      - command: sh -c 'sleep 0.2; echo $$OF_SERVICE $$OWN $${GONE-gone} $$PWD >> /files/told'
        environment: {OWN: set, GONE: null}
        working_dir: /tmp
      - command: [sh, -c, 'id -u >> /files/told; grep CapEff /proc/self/status >> /files/told']
        privileged: true
      - {command: sh -c 'echo user > /tmp/of-user', user: '1000'}
  web:
    image: busybox
    command: sh -c 'cat /files/told; exec sleep 1000'
    volumes: ['.:/files']
    depends_on: [db]
"
    );
    stack.up();
    let lines = told(&stack);
    assert_eq!(lines[..2], ["kept set gone /tmp", "0"], "{lines:?}");
    let all = lines[2].split_whitespace().last().expect("capabilities");
    let own = stack.exec("db", "grep CapEff /proc/self/status");
    assert!(all.len() == 16 && !own.contains(all), "{all} and {own}");
    assert_eq!(stack.exec("db", "stat -c %u /tmp/of-user"), "1000\n");
    stack.wait_for_log("web", "kept set gone /tmp");
}

#[test]
fn hooks_run_on_start_restart_stop_and_down_and_not_when_the_policy_restarts() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    init: true
    command: sh -c 'while [ ! -e /files/crash ]; do sleep 0.02; done; rm /files/crash; exit 1'
    restart: on-failure
    volumes: ['.:/files']
    post_start: [{command: sh -c 'echo started >> /files/told'}]
    pre_stop: [{command: sh -c 'echo stopping >> /files/told'}]
"
    );
    let expect = |command: &[&str], lines: &[&str]| {
        forget(&stack);
        stack.stack(command).succeeds();
        assert_eq!(told(&stack), lines, "{command:?}");
    };
    expect(&["up", "-d"], &["started"]);
    expect(&["up", "-d"], &[]);
    expect(&["restart"], &["stopping", "started"]);
    expect(&["up", "-d", "--force-recreate"], &["stopping", "started"]);
    forget(&stack);
    stack.file("crash", "");
    eventually("it is started again", || {
        let found = stack.inspect(&stack.name("one", 1));
        (found["RestartCount"] == 1 && found["State"]["Running"] == true).then_some(())
    });
    assert_eq!(told(&stack), [""; 0]);
    expect(&["stop"], &["stopping"]);
    expect(&["start"], &["started"]);
    expect(&["down"], &["stopping"]);
}

#[test]
fn a_post_start_that_fails_fails_up_and_leaves_the_container_running() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sleep 1000
    post_start: [{command: sh -c 'echo bad news; exit 7'}, {command: touch /tmp/never}]
  web: {image: busybox, command: sleep 1000, depends_on: [db]}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("db hook exited with status 7: bad news");
    assert_eq!(stack.container("db").state, "running");
    assert_eq!(stack.container("web").state, "created");
    assert_eq!(stack.exec("db", "ls /tmp"), "");
    // Docker Compose: the container runs, so there is nothing to start.
    stack.up();
    assert_eq!(stack.container("web").state, "running");
}

#[test]
fn a_post_start_comes_too_late_for_a_program_that_has_ended() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: 'true', post_start: [{command: sleep 5}]}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("Error response from daemon: container")
        .stderr_contains("is not running")
        .within(Duration::from_secs(10));
}

#[test]
fn a_pre_stop_that_fails_keeps_the_container_until_it_is_mended() {
    let text = |command: &str| {
        format!(
            "
services:
  sample: {{image: busybox, command: sleep 1000, pre_stop: [{{command: {command}}}]}}
  other: {{image: busybox, command: sleep 1000}}
"
        )
    };
    let stack = stack!(text("command-not-found"));
    stack.up();
    for command in ["stop", "down"] {
        let stop = stack.stack(&[command]).fails_with(1);
        stop.stderr_contains("sample hook exited with status 127");
        assert_eq!(stack.container("sample").state, "running");
    }
    assert_eq!(stack.replicas("other"), []);
    stack.file("stack.yaml", text("'true'"));
    stack.down();
    assert_eq!(stack.ps(), []);
}

#[test]
fn what_hooks_write_is_among_the_output() {
    let stack = stack!(
        "
services:
  app:
    image: busybox
    init: true
    command: sh -c 'echo main; exec sleep 1000'
    post_start: [{command: sh -c 'echo post; echo complaint >&2'}]
    pre_stop: [{command: echo pre-stop}]
  end: {image: busybox, command: sleep 0.5}
"
    );
    let up = stack.stack(&["up", "--abort-on-container-exit"]).succeeds();
    for line in ["post", "complaint", "pre-stop"] {
        let up = &up.stdout;
        let found = up
            .lines()
            .any(|found| found == format!("app-1 ->  | {line}"));
        assert!(found, "{line} in {up}");
    }
    assert!(up.stdout.contains("| main\n"), "{up}");
    // It is no output of the container.
    assert_eq!(stack.logs("app"), "main\n");
}

const STEPS: &str = "
services:
  app:
    image: busybox
    command: sleep 1000
    environment: {OF_SERVICE: kept}
    volumes: ['.:/files', /scratch]
    deploy: {replicas: 2}
    pre_start:
      - command: sh -c 'echo once $$OF_SERVICE $$OWN >> /files/told; hostname > /scratch/seen'
        environment: {OWN: set}
      - {image: seeded, command: sh -c 'ls /data >/dev/null && echo other image >> /files/told'}
      - {command: sh -c 'echo each >> /files/told', per_replica: true}
";

#[test]
fn steps_come_before_the_start_once_or_for_each_replica() {
    let stack = stack!(STEPS);
    stack.up();
    let mut lines = told(&stack);
    lines.sort();
    let all = ["each", "each", "once kept set", "other image"];
    assert_eq!(lines, all);
    // They are gone, and were never containers of the service.
    assert_eq!(stack.ps().len(), 2);
    let containers = stack.root().join("containers");
    assert_eq!(
        std::fs::read_dir(containers).expect("a directory").count(),
        2
    );
    forget(&stack);
    stack.stack(&["restart"]).succeeds();
    assert_eq!(told(&stack), [""; 0]);
    stack.stack(&["stop"]).succeeds();
    stack.stack(&["start"]).succeeds();
    let mut lines = told(&stack);
    lines.sort();
    assert_eq!(lines, all);
}

#[test]
fn a_step_that_fails_keeps_the_service_from_starting_and_can_be_looked_at() {
    let text = |command: &str| {
        format!(
            "
services:
  init:
    image: busybox
    command: sleep 1000
    pre_start: [{{command: sh -c '{command}'}}, {{command: touch /never}}]
  after: {{image: busybox, command: sleep 1000, depends_on: [init]}}
"
        )
    };
    let stack = stack!(text("echo oh no; exit 4"));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    let message = "service \"init\" pre_start[0] exited with code 4: oh no (hook container ";
    up.stderr_contains(message)
        .stderr_contains("retained for inspection");
    assert_eq!(stack.container("init").state, "created");
    assert_eq!(stack.container("after").state, "created");
    let step = format!("{}-init-pre_start-0", stack.project());
    let left = stack.inspect(&step);
    assert_eq!(left["State"]["ExitCode"], 4);
    assert_eq!(
        left["Config"]["Labels"]["com.docker.compose.hook"],
        "pre_start"
    );
    stack.file("stack.yaml", text("exit 0"));
    stack.up().stderr_lacks("orphan");
    assert_eq!(stack.container("after").state, "running");
    stack.stack(&["inspect", &step]).fails_with(1);
    stack.file("stack.yaml", text("exit 5"));
    stack.stack(&["up", "-d"]).fails_with(1);
    // Commands that start nothing run no steps, and `down` leaves none behind.
    forget(&stack);
    stack.down();
}
