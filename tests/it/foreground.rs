//! `up` in the foreground, in a terminal.

use std::time::{Duration, Instant};

use crate::harness::stack;

#[test]
fn output_comes_with_the_names_of_the_containers_and_up_ends_with_the_last_of_them() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: sh -c 'echo from one'}
  longer: {image: busybox, command: sh -c 'echo from longer; sleep 0.3; exit 3'}
",
        needs: ["setsid"]
    );
    let mut up = stack.in_terminal(&["up", "--no-color"]);
    up.wait_for("one-1     | from one");
    up.wait_for("longer-1  | from longer");
    assert_eq!(up.finish(), 0);
    up.wait_for("exited with code 3");
    assert_eq!(stack.container("longer").exit_code, 3);
}

#[test]
fn without_a_terminal_it_is_plain_lines() {
    let stack =
        stack!("services: {one: {image: busybox, command: sh -c 'echo out; echo err >&2'}}");
    let up = stack.stack(&["up"]).succeeds();
    let up = up
        .stdout_contains("one-1  | out\n")
        .stderr_contains("one-1  | err\n");
    let up = up.stdout_lacks("\u{1b}").stderr_lacks("\u{1b}");
    up.stderr_contains(&format!("Container {} Started", stack.name("one", 1)));
}

#[test]
fn nothing_of_the_first_output_is_lost() {
    let stack = stack!("services: {one: {image: busybox, command: seq 1 2000}}");
    let up = stack.stack(&["up", "--no-log-prefix"]).succeeds();
    let numbers: Vec<String> = (1..=2000).map(|number: u32| number.to_string()).collect();
    let lines: Vec<&str> = up.stdout.lines().collect();
    let found: Vec<&str> = lines
        .into_iter()
        .filter(|line| line.parse::<u32>().is_ok())
        .collect();
    assert_eq!(found, numbers);
}

#[test]
fn one_interruption_stops_gracefully() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    command: sh -c 'trap \"echo cleaned; exit 0\" TERM; echo up; while :; do sleep 0.02; done'
",
        needs: ["setsid"]
    );
    let mut up = stack.in_terminal(&["up", "--no-color"]);
    up.wait_for("one-1  | up");
    up.interrupt();
    up.wait_for("Gracefully");
    up.wait_for("cleaned");
    assert_eq!(up.finish(), 130);
    let one = stack.container("one");
    assert_eq!((one.state.as_str(), one.exit_code), ("exited", 0));
}

#[test]
fn two_interruptions_kill() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    stop_grace_period: 60s
    command: sh -c 'trap \"echo no\" TERM; echo up; while :; do sleep 0.02; done'
",
        needs: ["setsid"]
    );
    let mut up = stack.in_terminal(&["up", "--no-color"]);
    up.wait_for("one-1  | up");
    up.interrupt();
    up.wait_for("one-1  | no");
    let began = Instant::now();
    up.interrupt();
    assert_eq!(up.finish(), 130);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(stack.container("one").exit_code, 137);
}

#[test]
fn a_termination_stops_too() {
    let stack =
        stack!("services: {one: {image: busybox, command: sh -c 'echo up; exec sleep 1000'}}");
    let path = stack.dir().join("output");
    let up = stack.start_into(&["up"], &path);
    stack.wait_for_log("one", "up");
    up.signal(rustix::process::Signal::TERM);
    let output = up.finish();
    assert_ne!(output.code, 0, "{output}");
    assert_eq!(stack.container("one").state, "exited");
}

#[test]
fn up_that_is_killed_leaves_its_services_running() {
    let stack =
        stack!("services: {one: {image: busybox, command: sh -c 'echo up; exec sleep 1000'}}");
    let path = stack.dir().join("output");
    let up = stack.start_into(&["up"], &path);
    stack.wait_for_log("one", "up");
    let pid = stack.pid("one");
    up.signal(rustix::process::Signal::KILL);
    drop(up);
    assert_eq!(stack.pid("one"), pid);
    stack.up();
    assert_eq!(stack.pid("one"), pid);
}

#[test]
fn the_first_end_can_end_everything_and_give_its_code() {
    let stack = stack!(
        "
services:
  tests: {image: busybox, command: sh -c 'sleep 0.3; exit 5'}
  server: {image: busybox, command: sleep 1000}
"
    );
    let up = stack.stack(&["up", "--exit-code-from", "tests"]);
    up.fails_with(5).within(Duration::from_secs(15));
    assert_eq!(stack.container("server").state, "exited");
    let up = stack.stack(&["up", "--abort-on-container-exit"]);
    assert!(up.took < Duration::from_secs(15), "{up}");
    assert_eq!(stack.container("server").state, "exited");
}

#[test]
fn only_the_chosen_services_are_shown() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: echo from-one}
  two: {image: busybox, command: echo from-two}
"
    );
    let up = stack.stack(&["up", "--attach", "one"]).succeeds();
    up.stdout_contains("from-one").stdout_lacks("from-two");
    let up = stack.stack(&["up", "--no-attach", "one"]).succeeds();
    up.stdout_contains("from-two").stdout_lacks("from-one");
}

#[test]
fn in_the_background_a_terminal_shows_what_was_done() {
    let stack = stack!(
        "services: {one: {image: busybox, command: sleep 1000}}",
        needs: ["setsid"]
    );
    let mut up = stack.in_terminal(&["up", "-d"]);
    assert_eq!(up.finish(), 0);
    up.wait_for("Started");
    assert!(up.text().contains(&stack.name("one", 1)), "{}", up.text());
}

#[test]
fn a_restarted_container_is_shown_again() {
    let text = "
services:
  again:
    image: busybox
    command: sh -c 'echo turn; exit 3'
    restart: on-failure:2
";
    let stack = stack!(text, needs: ["setsid"]);
    let mut terminal = stack.in_terminal(&["up"]);
    assert_eq!(terminal.finish(), 0, "{}", terminal.text());
    let screen = terminal.text();
    assert_eq!(screen.matches("turn").count(), 3, "{screen}");
}
