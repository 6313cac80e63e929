//! Stop, start, restart, kill, and what restart policies do.

use std::time::Duration;

use jiff::Timestamp;
use rustix::process::Signal;

use crate::harness::{Stack, eventually, signal_to, stack};

/// Far below the ten seconds that a program is given to stop.
const QUICK: Duration = Duration::from_secs(5);

fn one(keys: &str) -> String {
    format!("services:\n  one:\n    image: busybox\n    {keys}\n")
}

fn restarts(stack: &Stack, service: &str) -> i64 {
    let name = stack.container(service).name;
    let count = stack.inspect(&name)["RestartCount"].as_i64();
    count.expect("a number")
}

#[test]
fn stop_and_start_keep_the_container() {
    let stack = stack!(one(
        "command: sh -c 'echo run >> /tmp/runs; cat /tmp/runs; sleep 1000'"
    ));
    stack.up();
    let id = stack.container("one").id;
    let stop = stack.stack(&["stop"]).succeeds();
    stop.stderr_contains(&format!("Container {} Stopped", stack.name("one", 1)));
    let stopped = stack.container("one");
    assert_eq!((stopped.state.as_str(), &stopped.id), ("exited", &id));
    stack.stack(&["stop"]).succeeds();
    let start = stack.stack(&["start"]).succeeds();
    start.stderr_contains(&format!("Container {} Started", stack.name("one", 1)));
    assert_eq!(stack.container("one").state, "running");
    eventually("the files are still there", || {
        (stack.logs("one").matches("run").count() == 3).then_some(())
    });
}

#[test]
fn restart_gives_a_new_process_in_the_same_container() {
    let stack = stack!(one("command: sleep 1000"));
    stack.up();
    let before = (stack.container("one").id, stack.pid("one"));
    stack.stack(&["restart", "one"]).succeeds();
    let after = (stack.container("one").id, stack.pid("one"));
    assert_eq!(after.0, before.0);
    assert_ne!(after.1, before.1);
    assert_eq!(
        restarts(&stack, "one"),
        0,
        "a restart that was asked for does not count"
    );
}

#[test]
fn a_program_without_a_handler_is_stopped_at_once() {
    let stack = stack!(one("command: sh -c 'sleep 1000'"));
    stack.up();
    stack.stack(&["stop"]).succeeds().within(QUICK);
    assert_eq!(stack.container("one").exit_code, 137);
}

#[test]
fn a_program_with_a_handler_is_given_its_time() {
    let stack = stack!(one(
        "command: sh -c 'trap \"sleep 0.5; echo cleaned; exit 3\" TERM; echo up; while :; do sleep 0.02; done'"
    ));
    stack.up();
    stack.wait_for_log("one", "up");
    stack.stack(&["stop"]).succeeds();
    let one = stack.container("one");
    assert_eq!((one.state.as_str(), one.exit_code), ("exited", 3));
    assert!(stack.logs("one").contains("cleaned"));
}

#[test]
fn a_program_that_does_not_stop_is_killed_after_the_time_given() {
    let stack = stack!(one(
        "command: sh -c 'trap \"echo no\" TERM; echo up; while :; do sleep 0.02; done'"
    ));
    stack.up();
    stack.wait_for_log("one", "up");
    let stop = stack.stack(&["stop", "-t", "1"]).succeeds();
    assert!(stop.took >= Duration::from_secs(1), "{stop}");
    stop.within(QUICK);
    assert_eq!(stack.container("one").exit_code, 137);
    assert!(stack.logs("one").contains("no"));
}

#[test]
fn the_stop_signal_of_the_file_is_sent() {
    let stack = stack!(one("stop_signal: SIGUSR2
    stop_grace_period: 15s
    command: sh -c 'trap \"exit 12\" USR2; echo up; while :; do sleep 0.02; done'"));
    stack.up();
    stack.wait_for_log("one", "up");
    stack.stack(&["stop"]).succeeds().within(QUICK);
    assert_eq!(stack.container("one").exit_code, 12);
}

#[test]
fn the_stop_signal_of_the_image_is_sent() {
    let stack = stack!(
        "
services:
  one:
    image: configured
    entrypoint: sh -c 'trap \"exit 10\" USR1; echo up; while :; do sleep 0.02; done'
"
    );
    stack.up();
    stack.wait_for_log("one", "up");
    stack.stack(&["stop"]).succeeds().within(QUICK);
    assert_eq!(stack.container("one").exit_code, 10);
}

#[test]
fn kill_sends_the_signal_that_was_asked_for() {
    let stack = stack!(one(
        "command: sh -c 'trap \"echo hup\" HUP; echo up; while :; do sleep 0.02; done'"
    ));
    stack.up();
    stack.wait_for_log("one", "up");
    stack.stack(&["kill", "-s", "HUP"]).succeeds();
    stack.wait_for_log("one", "hup");
    assert_eq!(stack.container("one").state, "running");
    stack.stack(&["kill"]).succeeds();
    let one = stack.wait_for_state("one", "exited");
    assert_eq!(one.exit_code, 137);
}

#[test]
fn an_init_passes_signals_on_and_reaps() {
    let stack = stack!(one(
        "init: true
    command: sh -c 'trap \"exit 5\" TERM; (sleep 0.01 &) ; echo up; while :; do sleep 0.02; done'"
    ));
    stack.up();
    stack.wait_for_log("one", "up");
    eventually("nobody is a zombie", || {
        let states = stack.exec("one", "cat /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f3");
        (!states.contains('Z')).then_some(())
    });
    stack.stack(&["stop"]).succeeds().within(QUICK);
    assert_eq!(stack.container("one").exit_code, 5);
}

#[test]
fn always_starts_again_and_counts() {
    let stack = stack!(one(
        "command: sh -c 'echo run; exit 0'\n    restart: always"
    ));
    stack.up();
    eventually("it ran three times", || {
        (restarts(&stack, "one") >= 2).then_some(())
    });
    // The count is written down before the program has said anything.
    eventually("all three are in the log", || {
        (stack.logs("one").matches("run").count() >= 3).then_some(())
    });
}

#[test]
fn restarts_come_later_and_later() {
    let stack = stack!(one("command: echo run\n    restart: always"));
    stack.up();
    let times = || -> Vec<Timestamp> {
        let logs = stack
            .stack(&["logs", "-t", "--no-log-prefix", "--no-color"])
            .succeeds();
        let first = |line: &str| line.split(' ').next().and_then(|time| time.parse().ok());
        logs.stdout.lines().filter_map(first).collect()
    };
    let times = eventually("it ran five times", || {
        Some(times()).filter(|times| times.len() >= 5)
    });
    let pauses: Vec<i128> = times
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).as_nanos())
        .collect();
    // 100, 200, 400, 800 ms, and what a busy machine adds.
    assert!(pauses[3] > 2 * pauses[0].min(pauses[1]), "{pauses:?}");
    assert!(pauses[0] >= 90_000_000, "{pauses:?}");
}

#[test]
fn on_failure_starts_again_only_after_a_failure_and_only_so_often() {
    let stack = stack!(
        "
services:
  fails: {image: busybox, command: sh -c 'echo run; exit 3', restart: 'on-failure:2'}
  succeeds: {image: busybox, command: sh -c 'echo run; exit 0', restart: on-failure}
"
    );
    stack.up();
    eventually("it ran three times", || {
        (stack.logs("fails").matches("run").count() == 3).then_some(())
    });
    let fails = stack.wait_for_state("fails", "exited");
    assert_eq!((fails.exit_code, restarts(&stack, "fails")), (3, 2));
    stack.wait_for_quiet();
    assert_eq!(stack.logs("fails").matches("run").count(), 3);
    assert_eq!(stack.container("succeeds").state, "exited");
    assert_eq!(stack.logs("succeeds").matches("run").count(), 1);
}

#[test]
fn what_was_stopped_stays_stopped_whatever_its_policy() {
    let stack = stack!(
        "
services:
  always: {image: busybox, command: sleep 1000, restart: always}
  unless: {image: busybox, command: sleep 1000, restart: unless-stopped}
"
    );
    stack.up();
    stack.stack(&["stop"]).succeeds();
    // Nothing is left to look after, so nothing can start anything any more.
    stack.wait_for_quiet();
    for row in stack.ps() {
        assert_eq!(row.state, "exited", "{row:#?}");
    }
}

#[test]
fn what_crashes_is_started_again() {
    let stack = stack!(one("command: sleep 1000\n    restart: unless-stopped"));
    stack.up();
    let pid = stack.pid("one");
    signal_to(pid, Signal::SEGV);
    signal_to(pid, Signal::KILL);
    stack.wait_for("one", |row| {
        row.state == "running" && restarts(&stack, "one") == 1
    });
    assert_ne!(stack.pid("one"), pid);
}

#[test]
fn a_restart_policy_is_seen_without_a_new_container_and_a_changed_one_makes_a_new_one() {
    let stack = stack!(one("command: sleep 1000"));
    stack.up();
    let id = stack.container("one").id;
    stack.file(
        "stack.yaml",
        one("command: sleep 1000\n    restart: always"),
    );
    stack.up();
    assert_ne!(stack.container("one").id, id);
    let policy =
        stack.inspect(&stack.name("one", 1))["HostConfig"]["RestartPolicy"]["Name"].clone();
    assert_eq!(policy, "always");
}

#[test]
fn exit_codes_and_signals_are_kept() {
    let stack = stack!(
        "
services:
  zero: {image: busybox, command: 'true'}
  seven: {image: busybox, command: sh -c 'exit 7'}
  signal: {image: busybox, command: sh -c 'kill -9 $$$$'}
  nested: {image: busybox, command: sh -c 'sh -c \"kill -USR1 \\$$\\$$\"; exit $$?'}
"
    );
    stack.up();
    let codes = [("zero", 0), ("seven", 7), ("nested", 138)];
    for (service, code) in codes {
        assert_eq!(
            stack.wait_for_state(service, "exited").exit_code,
            code,
            "{service}"
        );
    }
    // PID 1 of a namespace is not killed by its own signals.
    assert_eq!(stack.wait_for_state("signal", "exited").exit_code, 0);
    let name = stack.name("seven", 1);
    let state = &stack.inspect(&name)["State"];
    assert_eq!(
        (&state["ExitCode"], &state["Running"]),
        (&7.into(), &false.into())
    );
}

#[test]
fn a_program_that_is_not_there_is_an_error_that_names_it() {
    let stack = stack!(
        "
services:
  missing: {image: busybox, command: no-such-program}
  forbidden: {image: busybox, command: /etc/passwd}
  fine: {image: busybox, command: sleep 1000}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("missing")
        .stderr_contains("no-such-program")
        .stderr_contains("forbidden")
        .stderr_contains("/etc/passwd");
    assert_eq!(stack.container("fine").state, "running");
    assert_ne!(stack.container("missing").state, "running");
}

#[test]
fn a_program_that_takes_too_much_memory_is_ended_and_that_is_recorded() {
    let stack = stack!(one(
        "command: sh -c 'head -c 200m /dev/zero | tail'\n    mem_limit: 32m"
    ));
    stack.up();
    let one = stack.wait_for_state("one", "exited");
    let state = stack.inspect(&one.name)["State"].clone();
    assert_eq!(state["OOMKilled"], true, "{state}");
    assert_ne!(one.exit_code, 0);
}

#[test]
fn pause_freezes_and_unpause_lets_go_on() {
    let stack = stack!(one(
        "command: sh -c 'while :; do cat /proc/uptime; sleep 0.01; done'"
    ));
    stack.up();
    stack.stack(&["pause"]).succeeds();
    assert_eq!(stack.container("one").state, "paused");
    let before = stack.logs("one");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(stack.logs("one"), before);
    stack.stack(&["unpause"]).succeeds();
    assert_eq!(stack.container("one").state, "running");
    eventually("it goes on", || (stack.logs("one") != before).then_some(()));
    // What is frozen can be stopped all the same.
    stack.stack(&["pause"]).succeeds();
    stack.stack(&["stop", "-t", "1"]).succeeds().within(QUICK);
    assert_eq!(stack.container("one").state, "exited");
}
