//! `up` in the foreground: whose output is shown, whose end counts, and what keys do.

use crate::harness::{eventually, stack};

const CASCADE: &str = "
services:
  running: {image: busybox, init: true, command: sleep 1000}
  exit: {image: busybox, command: sh -c 'sleep 0.2; exit 0'}
  fail: {image: busybox, command: sh -c 'sleep 0.2; exit 111', depends_on: {exit: {condition: service_completed_successfully}}}
";

#[test]
fn the_first_end_or_the_first_failure_stops_all() {
    let stack = stack!(CASCADE);
    let up = stack.stack(&["up", "--abort-on-container-exit"]).succeeds();
    up.stdout_contains("exit-1 exited with code 0")
        .stderr_contains(" Compose Stopping Aborting on container exit...");
    assert_eq!(stack.container("running").state, "exited");
    let up = stack.stack(&["up", "--abort-on-container-failure"]);
    up.fails_with(111)
        .stdout_contains("exit-1 exited with code 0")
        .stdout_contains("fail-1 exited with code 111");
    assert_eq!(stack.container("running").state, "exited");
}

#[test]
fn the_exit_code_is_that_of_the_service_that_was_named() {
    let stack = stack!(CASCADE);
    // It is ended by the abort; PID 1 is an init, which passes the signal on.
    stack
        .stack(&["up", "--exit-code-from", "running"])
        .fails_with(143);
    let alone = ["up", "--exit-code-from", "fail", "fail"];
    stack.stack(&alone).fails_with(111);
    let unknown = stack.stack(&["up", "--exit-code-from", "nobody"]);
    unknown
        .fails_with(1)
        .stderr_contains("no such service: nobody: not found");
}

#[test]
fn the_end_of_a_one_off_container_is_nobody_s_end() {
    let stack = stack!(CASCADE);
    let path = stack.dir().join("output");
    let up = stack.start_into(&["up", "--abort-on-container-exit", "running"], &path);
    stack.wait_for_state("running", "running");
    stack
        .stack(&["run", "--rm", "--no-deps", "running", "true"])
        .succeeds();
    assert_eq!(stack.container("running").state, "running");
    up.signal(rustix::process::Signal::INT);
    let output = up.finish().fails_with(130);
    output
        .stderr_lacks("Aborting")
        .stderr_contains("Gracefully Stopping... press Ctrl+C");
    let shown = std::fs::read_to_string(&path).expect("a file");
    assert!(shown.starts_with("Attaching to running-1\n"), "{shown}");
}

#[test]
fn what_is_shown_and_what_is_waited_for_follow_the_names() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sh -c 'echo from-web', depends_on: [db]}
  db: {image: busybox, command: sh -c 'echo from-db; sleep 0.3'}
  quiet: {image: busybox, command: echo from-quiet, attach: false}
"
    );
    for (flags, shown) in [
        (&[][..], &["web", "db"][..]),
        (&["web"], &["web"]),
        (&["--attach-dependencies", "web"], &["web", "db"]),
        (&["--attach", "quiet"], &["quiet"]),
        (&["--no-attach", "web"], &["db"]),
    ] {
        let up = stack.stack(&[&["up"], flags].concat()).succeeds();
        for service in ["web", "db", "quiet"] {
            let words = [&format!("{service}-1"), "|", &format!("from-{service}")];
            let mut lines = up.stdout.lines();
            let found = lines.any(|line| line.split_whitespace().eq(words));
            assert_eq!(found, shown.contains(&service), "{service} in {up}");
        }
        // What was not waited for may still run, and would have nothing to say.
        stack.stack(&["stop"]).succeeds();
    }
    let unknown = stack.stack(&["up", "--attach", "nobody"]).fails_with(1);
    unknown.stderr_contains("cannot attach to services not included in up: nobody");
}

#[test]
fn an_interruption_stops_what_was_named_and_not_what_it_needs() {
    let stack = stack!(
        "
services:
  app: {image: busybox, command: sh -c 'echo hello; exec sleep 1000', depends_on: [dependency]}
  dependency: {image: busybox, command: sleep 1000}
  beside: {image: busybox, command: sleep 1000}
"
    );
    stack.stack(&["up", "-d", "beside"]).succeeds();
    let path = stack.dir().join("output");
    let up = stack.start_into(&["up", "--menu=false", "app"], &path);
    stack.wait_for_log("app", "hello");
    stack.wait_for_state("app", "running");
    up.signal(rustix::process::Signal::INT);
    up.finish().fails_with(130);
    assert_eq!(stack.container("app").state, "exited");
    assert_eq!(stack.container("dependency").state, "running");
    assert_eq!(stack.container("beside").state, "running");
}

#[test]
fn a_container_that_has_ended_is_started_again_and_a_changed_one_is_shown_anew() {
    let text =
        |value: &str| format!("services: {{app: {{image: busybox, command: echo value={value}}}}}");
    let stack = stack!(text("one"));
    stack.up();
    let first = stack.wait_for_state("app", "exited");
    let up = stack.stack(&["up"]).succeeds();
    up.stdout_contains("value=one\n");
    assert_eq!(stack.container("app").id, first.id);
    stack.file("stack.yaml", text("two"));
    let up = stack.stack(&["up"]).succeeds();
    up.stdout_contains("value=two\n").stdout_lacks("value=one");
    assert_ne!(stack.container("app").id, first.id);
}

const CHATTY: &str = "services: {one: {image: busybox, command: sh -c 'echo up; exec sleep 1000'}}";

#[test]
fn a_key_leaves_the_services_running() {
    let stack = stack!(CHATTY, needs: ["setsid"]);
    let mut up = stack.in_terminal(&["up"]);
    up.wait_for("up\r\n");
    up.wait_for("Detach");
    up.type_in("w");
    up.wait_for("watch is not yet configured");
    up.type_in("d");
    assert_eq!(up.finish(), 0, "{}", up.text());
    assert_eq!(stack.container("one").state, "running");
}

#[test]
fn without_a_menu_keys_mean_nothing_and_an_interruption_is_one_with_it_too() {
    let stack = stack!(CHATTY, needs: ["setsid"]);
    let mut with = stack.in_terminal(&["up"]);
    with.wait_for("Detach");
    with.interrupt();
    assert_eq!(with.finish(), 130, "{}", with.text());
    let stack = stack.with_env("COMPOSE_MENU", "0");
    let mut without = stack.in_terminal(&["up"]);
    without.wait_for("up\r\n");
    without.type_in("d");
    without.interrupt();
    assert_eq!(without.finish(), 130);
    assert!(!without.text().contains("Detach"), "{}", without.text());
    eventually("it has been stopped", || {
        (stack.container("one").state == "exited").then_some(())
    });
}

#[test]
fn the_menu_can_be_switched_off_in_the_file_of_variables() {
    let stack = stack!(CHATTY, needs: ["setsid"]);
    stack.file(".env", "COMPOSE_MENU=false\n");
    let mut up = stack.in_terminal(&["up"]);
    up.wait_for("up\r\n");
    up.interrupt();
    assert_eq!(up.finish(), 130);
    assert!(!up.text().contains("Detach"), "{}", up.text());
}
