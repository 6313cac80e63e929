//! What moves a service when nobody types a command: its dependencies, and whose namespaces it shares.

use std::path::PathBuf;

use rustix::process::Signal;

use crate::harness::{Stack, eventually, signal_to, stack};

/// When the only container of a service was started last.
fn started(stack: &Stack, service: &str) -> String {
    let state = &stack.inspect(&stack.container(service).name)["State"];
    state["StartedAt"].as_str().unwrap_or_default().to_owned()
}

/// Waits until a service was started again and runs.
fn wait_started_again(stack: &Stack, service: &str, before: &str) {
    eventually(&format!("{service} was started again"), || {
        let running = stack.container(service).state == "running";
        (running && started(stack, service) != before).then_some(())
    });
}

/// The network namespace of a service's program.
fn network_of(stack: &Stack, service: &str) -> Option<PathBuf> {
    let pid = stack.running_pid(service)?;
    std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

const EDGES: &str = "
services:
  db:
    image: busybox
    command: sleep 1000
    restart: always
    environment: {V: ONE}
  asks: {image: busybox, command: sleep 1000, depends_on: {db: {condition: service_started, restart: true}}}
  after: {image: busybox, command: sleep 1000, depends_on: {asks: {condition: service_started, restart: true}}}
  plain: {image: busybox, command: sleep 1000, depends_on: [db]}
  follows:
    image: busybox
    command: sleep 1000
    depends_on: [db]
    x-stack: {follow: {db: [restarted]}}
";

#[test]
fn dependents_follow_restarts_replacements_and_crashes_as_they_say() {
    let stack = stack!(EDGES);
    stack.up();
    let times = || ["asks", "after", "plain", "follows"].map(|service| started(&stack, service));

    // A command restarts what depends on it with `restart: true`, and what depends on that.
    let [asks, after, plain, follows] = times();
    stack.stack(&["restart", "db"]).succeeds();
    wait_started_again(&stack, "follows", &follows);
    let now = times();
    assert!(now[0] != asks && now[1] != after, "{now:?}");
    assert_eq!(now[2], plain);

    // A crash moves only what follows it.
    let [asks, after, plain, follows] = times();
    signal_to(stack.pid("db"), Signal::KILL);
    wait_started_again(&stack, "follows", &follows);
    let now = times();
    assert_eq!([&now[0], &now[1], &now[2]], [&asks, &after, &plain]);

    // A new container stops what asks for it first.
    let [asks, .., plain, follows] = times();
    stack.file("stack.yaml", EDGES.replace("ONE", "TWO"));
    let mut up = stack.up();
    for line in [
        format!("Container {} Stopped", stack.name("asks", 1)),
        format!("Container {} Recreated", stack.name("db", 1)),
        format!("Container {} Started", stack.name("asks", 1)),
    ] {
        up = up.stderr_contains(&line);
    }
    wait_started_again(&stack, "asks", &asks);
    wait_started_again(&stack, "follows", &follows);
    assert_eq!(started(&stack, "plain"), plain);

    // More replicas are no reason, and an unchanged `up` does nothing.
    let before = times();
    stack.stack(&["up", "-d", "--scale", "db=2"]).succeeds();
    assert_eq!(times(), before);
}

#[test]
fn what_shares_a_network_follows_its_owner_even_when_both_end_at_once() {
    let stack = stack!(
        "
services:
  vpn: {image: busybox, command: sleep 1000, restart: always}
  app: {image: busybox, command: sleep 1000, restart: always, network_mode: 'service:vpn'}
"
    );
    stack.up();
    let together = |what: &str, before: i32| {
        eventually(what, || {
            let moved = stack.running_pid("vpn").is_some_and(|pid| pid != before);
            let vpn = network_of(&stack, "vpn");
            (moved && vpn.is_some() && vpn == network_of(&stack, "app")).then_some(())
        });
    };
    for round in 0..3 {
        let (vpn, app) = (stack.pid("vpn"), stack.pid("app"));
        signal_to(app, Signal::KILL);
        signal_to(vpn, Signal::KILL);
        together(&format!("both run again, round {round}"), vpn);
    }
    let vpn = stack.pid("vpn");
    signal_to(vpn, Signal::KILL);
    together("the owner ended alone", vpn);
    let vpn = stack.pid("vpn");
    stack.stack(&["restart", "vpn"]).succeeds();
    together("the owner was restarted", vpn);
    let vpn = stack.pid("vpn");
    stack
        .stack(&["up", "-d", "--force-recreate", "--no-deps", "vpn"])
        .succeeds();
    together("the owner was replaced", vpn);
}

#[test]
fn attempts_are_limited_delayed_and_judged_by_their_window() {
    let stack = stack!(
        "
services:
  soon:
    image: busybox
    command: sh -c 'echo run; exit 0'
    deploy: {restart_policy: {condition: any, delay: 50ms, max_attempts: 2}}
  late:
    image: busybox
    command: sh -c 'echo run; sleep 0.4; exit 1'
    deploy: {restart_policy: {condition: on-failure, delay: 1ms, max_attempts: 1, window: 100ms}}
"
    );
    stack.up();
    // Each run outlives the window, so that no attempt ever failed.
    eventually("it was started five times", || {
        (stack.logs("late").matches("run").count() >= 5).then_some(())
    });
    stack.wait_for_state("soon", "exited");
    assert_eq!(stack.logs("soon").matches("run").count(), 3);
}
