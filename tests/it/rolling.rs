//! `deploy.update_config`: replicas replaced one after the other, and back when it fails.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::balance::{under_load, yaml};
use crate::harness::{Row, Stack, eventually, http, signal_to, stack};

const PORT: u16 = 8080;

/// A service that answers with its version.
fn web(version: &str, update: &str) -> String {
    let command = yaml(
        "sh -c 'mkdir /www; echo $$VERSION > /www/index.html; trap exit TERM; httpd -p 80 -h /www; sleep 1000 & wait'",
    );
    format!(
        "
services:
  web:
    image: busybox
    command: {command}
    environment: {{VERSION: {version}}}
    ports: ['{PORT}:80']
    healthcheck: {{test: wget -q -O - http://127.0.0.1/, interval: 1s}}
    deploy: {{replicas: 3, update_config: {update}}}
"
    )
}

/// A version that ends soon after its start.
fn broken(update: &str) -> String {
    web("v2", update).replace("mkdir /www;", "exit 3;")
}

fn names(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().map(|row| row.name.clone()).collect()
}

fn ids(stack: &Stack) -> BTreeSet<String> {
    let rows = stack.replicas("web");
    rows.into_iter().map(|row| row.id).collect()
}

fn expected(stack: &Stack) -> BTreeSet<String> {
    (1..=3).map(|number| stack.name("web", number)).collect()
}

/// Rolls three replicas to a new version under load: no request fails.
fn rolls_without_a_failure(update: &str) {
    let stack = stack!(web("v1", update));
    stack.stack(&["up", "-d", "--wait"]).succeeds();
    let before = ids(&stack);
    stack.file("stack.yaml", web("v2", update));
    let tally = under_load(PORT, |_| {
        stack.up();
    });
    assert!(tally.failures.lock().unwrap().is_empty(), "{tally:?}");
    assert!(tally.answered.load(Ordering::Relaxed) > 20, "{tally:?}");
    let seen: Vec<String> = tally.seen.lock().unwrap().iter().cloned().collect();
    assert_eq!(seen, ["v1", "v2"]);
    let rows = stack.replicas("web");
    assert_eq!(names(&rows), expected(&stack));
    assert!(rows.iter().all(|row| row.state == "running"), "{rows:#?}");
    assert!(before.is_disjoint(&ids(&stack)));
    let inspected = stack.inspect(&stack.name("web", 2));
    assert_eq!(inspected["Name"], format!("/{}", stack.name("web", 2)));
    // Nothing is left to do.
    let plan = stack.stack(&["plan"]).succeeds();
    assert_eq!(plan.stdout, "nothing to do\n");
}

#[test]
fn a_rolling_update_that_starts_first_loses_no_request() {
    rolls_without_a_failure("{order: start-first, parallelism: 1}");
}

#[test]
fn a_rolling_update_that_stops_first_loses_no_request() {
    rolls_without_a_failure("{order: stop-first, parallelism: 1}");
}

#[test]
fn two_at_a_time_lose_no_request_either() {
    rolls_without_a_failure("{order: stop-first, parallelism: 2, failure_action: continue}");
}

#[test]
fn a_single_replica_that_starts_first_loses_no_request() {
    let update = "{order: start-first}";
    let single = |version| web(version, update).replace("replicas: 3", "replicas: 1");
    let stack = stack!(single("v1"));
    stack.stack(&["up", "-d", "--wait"]).succeeds();
    stack.file("stack.yaml", single("v2"));
    let tally = under_load(PORT, |_| {
        stack.up();
    });
    assert!(tally.failures.lock().unwrap().is_empty(), "{tally:?}");
    assert_eq!(stack.http(PORT), "v2\n");
    assert_eq!(stack.container("web").name, stack.name("web", 1));
}

#[test]
fn the_plan_shows_the_groups_and_the_delay_is_kept() {
    let update = "{parallelism: 1, delay: 300ms}";
    let stack = stack!(web("v1", update));
    stack.stack(&["up", "-d", "--wait"]).succeeds();
    stack.file("stack.yaml", web("v2", update));
    let plan = stack.stack(&["plan"]).succeeds().stdout;
    assert_eq!(
        plan.matches("[after earlier replicas of web]").count(),
        2,
        "{plan}"
    );
    let begin = std::time::Instant::now();
    stack.up();
    assert!(begin.elapsed().as_millis() >= 600, "{:?}", begin.elapsed());
}

#[test]
fn an_update_that_fails_is_rolled_back_and_says_why() {
    for order in ["start-first", "stop-first"] {
        let update = format!("{{order: {order}, failure_action: rollback, monitor: 2s}}");
        let stack = stack!(web("v1", &update));
        stack.stack(&["up", "-d", "--wait"]).succeeds();
        let before = ids(&stack);
        stack.file("stack.yaml", broken(&update));
        let mut output = None;
        let tally = under_load(PORT, |_| output = Some(stack.stack(&["up", "-d"])));
        let output = output.unwrap();
        assert_eq!(output.code, 1, "{output}");
        let told = "the update of web was rolled back: container ";
        assert!(output.stderr.contains(told), "{output}");
        assert!(output.stderr.contains("exited (3)"), "{output}");
        assert!(tally.failures.lock().unwrap().is_empty(), "{tally:?}");
        let rows = stack.replicas("web");
        assert_eq!(names(&rows), expected(&stack), "{order}");
        assert!(rows.iter().all(|row| row.state == "running"), "{rows:#?}");
        // Those that were not reached are the same as before.
        assert!(before.intersection(&ids(&stack)).count() >= 2);
        assert_eq!(stack.http(PORT), "v1\n");
        let plan = stack.stack(&["plan"]).stdout;
        let reason = "the last update of web to this configuration was rolled back: container ";
        assert!(plan.contains(reason), "{plan}");
        // The version that works goes through.
        stack.file("stack.yaml", web("v3", &update));
        stack.up();
        assert_eq!(stack.http(PORT), "v3\n");
    }
}

#[test]
fn an_update_that_fails_pauses_and_goes_on_with_the_next_command() {
    let update = "{order: start-first}";
    let stack = stack!(web("v1", update));
    stack.stack(&["up", "-d", "--wait"]).succeeds();
    stack.file("stack.yaml", broken(update));
    let output = stack.stack(&["up", "-d"]);
    assert_eq!(output.code, 1, "{output}");
    let told = "the update of web is paused: container ";
    assert!(output.stderr.contains(told), "{output}");
    assert_eq!(stack.http(PORT), "v1\n");
    let running = |rows: &[Row]| rows.iter().filter(|row| row.state == "running").count();
    assert_eq!(running(&stack.replicas("web")), 3);
    stack.file("stack.yaml", web("v3", update));
    stack.up();
    assert_eq!(stack.http(PORT), "v3\n");
    assert_eq!(names(&stack.replicas("web")), expected(&stack));
}

#[test]
fn an_update_survives_the_supervisor() {
    let update = "{order: start-first, delay: 300ms}";
    let stack = stack!(web("v1", update));
    stack.stack(&["up", "-d", "--wait"]).succeeds();
    stack.file("stack.yaml", web("v2", update));
    let mut up = Some(stack.start(&["up", "-d"]));
    let new = |row: &Row| http::get(("127.0.0.1", PORT), "/").is_ok() && row.state == "running";
    let before = ids(&stack);
    eventually("one is replaced", || {
        let rows = stack.replicas("web");
        let replaced = rows.iter().any(|row| !before.contains(&row.id) && new(row));
        replaced.then_some(())
    });
    signal_to(
        stack.supervisor().expect("a supervisor"),
        rustix::process::Signal::KILL,
    );
    // Its command is told that it broke off; the update goes on.
    drop(up.take().map(|up| up.finish()));
    eventually("all are replaced", || {
        let rows = stack.replicas("web");
        let done = names(&rows) == expected(&stack)
            && rows.len() == 3
            && rows.iter().all(|row| !before.contains(&row.id));
        done.then_some(())
    });
    assert_eq!(stack.http(PORT), "v2\n");
}
