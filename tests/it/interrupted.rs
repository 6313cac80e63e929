//! Processes that are killed at any moment of their work, and what makes up for it.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Stack, eventually, signal_to, stack};

const WEB: &str = "
services:
  web:
    image: busybox
    command: sh -c 'echo from the web > /index.html; exec httpd -f -p 80 -h /'
    ports: ['8080:80']
  client:
    image: busybox
    command: sleep 1000
";

/// Six services in three levels, so that there is a middle to be killed in.
const LEVELS: &str = "
x-service: &service
  image: busybox
  command: sleep 1000
  volumes: ['data:/data']
services:
  a1: *service
  a2: *service
  b1: {<<: *service, depends_on: [a1, a2]}
  b2: {<<: *service, depends_on: [a1, a2]}
  c1: {<<: *service, depends_on: [b1, b2]}
  c2: {<<: *service, depends_on: [b1, b2]}
volumes:
  data:
";

const SERVICES: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];

/// Ends a process at once and waits until it is gone.
fn kill(pid: i32) {
    signal_to(pid, Signal::KILL);
    eventually(&format!("process {pid} has ended"), || {
        (!runs(pid)).then_some(())
    });
}

/// Whether a process still does something; one that waits for its parent does not.
fn runs(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

/// Waits until a supervisor is there that is not this one.
fn wait_for_another_supervisor(stack: &Stack, old: i32) -> i32 {
    eventually("another supervisor", || {
        stack.supervisor().filter(|pid| *pid != old)
    })
}

/// Every service has one container, which runs.
fn assert_complete(stack: &Stack) {
    for service in SERVICES {
        assert_eq!(stack.container(service).state, "running", "{service}");
    }
    assert_eq!(stack.ps().len(), SERVICES.len());
}

#[test]
fn after_a_killed_supervisor_restart_policies_and_health_go_on() {
    let text = "
services:
  again:
    image: busybox
    command: sleep 1000
    restart: always
  checked:
    image: busybox
    command: sh -c 'touch /well; sleep 1000'
    healthcheck: {test: test -e /well, interval: 50ms, retries: 2}
";
    let stack = stack!(text);
    stack.up();
    stack.wait_for("checked", |row| row.health == "healthy");
    let supervisor = stack.supervisor().expect("a supervisor");
    kill(supervisor);
    wait_for_another_supervisor(&stack, supervisor);
    stack.exec("checked", "rm /well");
    stack.wait_for("checked", |row| row.health == "unhealthy");
    stack.exec("checked", "touch /well");
    stack.wait_for("checked", |row| row.health == "healthy");
    let pid = stack.pid("again");
    kill(pid);
    eventually("it was restarted", || {
        let row = stack.container("again");
        let now = stack.inspect(&row.name)["State"]["Pid"].as_i64()?;
        (row.state == "running" && now > 0 && now != i64::from(pid)).then_some(())
    });
}

#[test]
fn a_supervisor_killed_at_any_moment_of_up_is_made_up_for() {
    let stack = stack!(LEVELS);
    for wait in [0, 5, 10, 20, 40, 60, 90, 130] {
        let running = stack.start(&["up", "-d"]);
        let began = Instant::now();
        // Waits for the supervisor, then a part of its work.
        let supervisor = eventually("a supervisor", || stack.supervisor());
        std::thread::sleep(Duration::from_millis(wait));
        kill(supervisor);
        // The command itself may fail; it must say so and not hang.
        let output = running.finish();
        assert!(began.elapsed() < Duration::from_secs(20), "{output}");
        stack.up();
        assert_complete(&stack);
        stack.stack(&["down", "-v", "-t", "0"]).succeeds();
        stack.wait_for_quiet();
        assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
    }
}

#[test]
fn a_supervisor_killed_in_the_middle_of_down_leaves_what_the_next_one_removes() {
    let stack = stack!(LEVELS);
    for wait in [0, 5, 10, 20, 40] {
        stack.up();
        let supervisor = stack.supervisor().expect("a supervisor");
        let running = stack.start(&["down", "-v", "-t", "0"]);
        std::thread::sleep(Duration::from_millis(wait));
        kill(supervisor);
        running.finish();
        stack.stack(&["down", "-v", "-t", "0"]).succeeds();
        stack.wait_for_quiet();
        assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
    }
}

#[test]
fn up_starts_a_container_whose_shim_was_killed() {
    let stack = stack!(WEB);
    stack.up();
    stack.http(8080);
    let (client, web) = (stack.pid("client"), stack.pid("web"));
    kill(stack.shim("web"));
    stack.wait_for_state("web", "exited");
    stack.up();
    assert_eq!(stack.http(8080), "from the web\n");
    assert_eq!(stack.pid("client"), client);
    assert!(!runs(web), "the old program still runs");
}

#[test]
fn after_a_power_cut_down_leaves_nothing() {
    let stack = stack!(LEVELS);
    stack.up();
    stack.lose_power();
    stack.stack(&["down", "-v"]).succeeds();
    stack.wait_for_quiet();
    assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
}

#[test]
fn up_and_down_at_once_end_in_one_of_the_two() {
    let stack = stack!(LEVELS);
    stack.up();
    let down = stack.start(&["down", "-t", "0"]);
    let up = stack.start(&["up", "-d"]);
    down.finish();
    up.finish();
    let count = stack.ps().len();
    assert!(count == 0 || count == SERVICES.len(), "{:#?}", stack.ps());
    stack.up();
    assert_complete(&stack);
}
