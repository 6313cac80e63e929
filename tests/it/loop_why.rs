//! `stack why`: the causes, with and without a supervisor and a stack file.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Stack, eventually, signal_to, stack};

fn why(stack: &Stack, service: &str) -> Value {
    let output = stack
        .stack(&["why", "--format", "json", service])
        .succeeds();
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn a_service_that_crashes_is_explained_with_its_end_its_restart_and_its_last_words() {
    let stack = stack!(
        "
services:
  web:
    image: busybox
    command: sh -c 'echo first; echo the last words >&2; exit 7'
    restart: on-failure:50
"
    );
    stack.up();
    eventually("it waits for its third restart", || {
        let why = why(&stack, "web");
        let container = &why["containers"][0];
        let waits = container["next_start"].is_string();
        let counted = container["restarts"]
            .as_u64()
            .is_some_and(|count| count >= 2);
        (waits && counted).then(|| {
            assert_eq!(container["exit"]["code"], 7);
            assert!(container["log"].to_string().contains("the last words"));
            assert_eq!(why["wanted"], "running");
            assert!(why["history"].to_string().contains("exited (7)"));
            let step = &why["steps"][0]["because"];
            assert!(
                step.to_string().contains("restart: on-failure:50"),
                "{step}"
            );
        })
    });
    stack.stack(&["stop"]).succeeds();
    stack.wait_for_quiet();
    let text = stack.stack(&["why", "web"]).succeeds();
    text.stdout_contains("web was stopped by a command; 0 run.")
        .stdout_contains("the last words");
    // Without the file, too.
    let file = stack.dir().join("stack.yaml");
    std::fs::rename(&file, stack.dir().join("away")).unwrap();
    let project = stack.project().to_owned();
    let text = stack.stack(&["-p", &project, "why", "web"]).succeeds();
    text.stdout_contains("exited (7)");
    std::fs::rename(stack.dir().join("away"), &file).unwrap();
}

#[test]
fn what_a_service_waits_for_is_named_with_its_state() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sleep 1000
    healthcheck: {test: 'echo not yet; exit 3', interval: 100s}
  web: {image: busybox, command: sleep 1000, depends_on: {db: {condition: service_healthy}}}
"
    );
    let up = stack.start(&["up", "-d"]);
    let text = eventually("web waits for a database that was probed", || {
        let output = stack.stack(&["why", "web"]);
        (output.stdout.contains("failed with 3")).then_some(output.stdout)
    });
    assert!(text.contains("waits for db to be healthy"), "{text}");
    assert!(text.contains("not yet"), "{text}");
    let text = stack.stack(&["why", "db"]).succeeds();
    text.stdout_contains("It is not healthy yet: not yet");
    up.signal(Signal::INT);
    up.finish();
}

#[test]
fn signals_and_failures_are_told_and_a_name_that_is_not_there_is_suggested() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sleep 1000}
  broken: {image: busybox, command: no-such-program}
"
    );
    stack.stack(&["up", "-d"]).fails_with(1);
    signal_to(stack.pid("web"), Signal::KILL);
    stack.wait_for_state("web", "exited");
    let text = stack.stack(&["why", "web"]).succeeds();
    text.stdout_contains("was ended by signal 9 (SIGKILL)")
        .stdout_contains("`restart: no` leaves it as it is");
    let text = stack.stack(&["why", "broken"]).succeeds();
    text.stdout_contains("no-such-program");
    let wrong = stack.stack(&["why", "wep"]).fails_with(1);
    wrong.stderr_contains("did you mean `web`?");
}

#[test]
fn what_is_replaced_is_not_said_to_be_started_again() {
    let text = |seconds| {
        format!(
            "services: {{web: {{image: busybox, command: sleep {seconds}, init: true, restart: always}}}}"
        )
    };
    let stack = stack!(text(1000));
    stack.up();
    stack.file("stack.yaml", text(2000));
    stack.up();
    stack
        .stack(&["why", "web"])
        .succeeds()
        .stdout_contains("it exited (143)\n")
        .stdout_contains("a new one takes its place: its configuration changed: command");
}
