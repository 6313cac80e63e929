//! `events`: what happened to containers, from the journal and as it happens.

use rustix::process::Signal;
use serde_json::Value;

use super::{SHOP, documents};
use crate::harness::{Stack, eventually, signal_to, stack};

/// The events of a project so far, as Compose's JSON has them.
fn events(stack: &Stack) -> Vec<Value> {
    let arguments = ["events", "--json", "--since", "1h", "--until", "0s"];
    documents(&stack.stack(&arguments).succeeds().stdout)
}

/// What happened to a service's containers, in the order of the journal.
fn actions(stack: &Stack, service: &str) -> Vec<String> {
    events(stack)
        .iter()
        .filter(|event| event["service"] == service)
        .map(|event| event["action"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn events_tell_what_happened_to_containers() {
    let stack = stack!(SHOP);
    stack.up();
    stack.wait_for_state("job", "exited");
    stack.stack(&["pause", "web"]).succeeds();
    stack.stack(&["unpause", "web"]).succeeds();
    stack
        .stack(&["exec", "-T", "web", "sh", "-c", "exit 3"])
        .fails_with(3);
    stack.stack(&["restart", "web"]).succeeds();
    eventually("the end of the job is told", || {
        (actions(&stack, "job") == ["create", "start", "die"]).then_some(())
    });
    assert_eq!(
        actions(&stack, "web"),
        [
            "create",
            "start",
            "pause",
            "unpause",
            "exec_create: sh -c exit 3",
            "exec_start: sh -c exit 3",
            "exec_die",
            "kill",
            "die",
            "stop",
            "start",
            "restart"
        ]
    );
    let id = stack.container("job").id;
    let of_job = stack.stack(&["events", "--json", "--since", "1h", "--until", "0s", "job"]);
    let end = documents(&of_job.succeeds().stdout).pop().unwrap();
    assert_eq!(
        (&end["id"], &end["type"]),
        (&id.as_str().into(), &"container".into())
    );
    let attributes = &end["attributes"];
    assert_eq!(attributes["exitCode"], "3");
    assert_eq!(attributes["image"], "busybox");
    assert_eq!(attributes["name"], stack.name("job", 1).as_str());
    assert!(attributes.get("com.docker.compose.project").is_none());
    let time: jiff::Timestamp = end["time"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 60);
    let first = &events(&stack)[0];
    assert_eq!(first["action"], "create");
    let line = stack.stack(&["events", "--since", "1h", "--until", "0s", "job"]);
    let line = line.succeeds().stdout;
    let last = line.lines().last().unwrap();
    let end = format!(
        " container die {id} (execDuration=0, exitCode=3, image=busybox, name={})",
        stack.name("job", 1)
    );
    assert!(last.ends_with(&end), "{last}");
    // What was before is not asked for, and what is to come has not happened.
    stack
        .stack(&["events", "--since", "0s", "--until", "0s"])
        .succeeds()
        .stdout_is("");
}

#[test]
fn events_outlive_what_they_tell_of() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000, labels: {a: b}}}");
    stack.up();
    stack.down();
    let told = actions(&stack, "one");
    assert_eq!(told.last().map(String::as_str), Some("destroy"));
    assert_eq!(events(&stack)[0]["attributes"]["a"], "b");
    stack
        .stack(&["events", "nope"])
        .fails_with(1)
        .stderr_contains("no such service: nope");
    stack
        .stack(&["events", "--since", "yesterday"])
        .fails_with(1)
        .stderr_contains("`yesterday` is no point in time");
}

#[test]
fn events_are_shown_as_they_happen() {
    let stack = stack!(
        "services: {one: {image: busybox, command: sleep 1000}, two: {image: busybox, command: 'true'}}"
    );
    let path = stack.dir().join("events");
    let running = stack.start_into(&["events", "--json", "one"], &path);
    // It follows from the moment on that its directory is there.
    eventually("it listens", || {
        stack.root().join("events").exists().then_some(())
    });
    let seen = || documents(&std::fs::read_to_string(&path).unwrap());
    stack.up();
    eventually("the start is told", || {
        (seen().last()?["action"] == "start").then_some(())
    });
    stack.stack(&["kill", "-s", "TERM", "one"]).succeeds();
    stack.stack(&["kill", "one"]).succeeds();
    stack.wait_for_state("one", "exited");
    let told = eventually("the end is told", || {
        let told = seen();
        told.iter()
            .any(|event| event["action"] == "die")
            .then_some(told)
    });
    assert!(
        told.iter().all(|event| event["service"] == "one"),
        "{told:?}"
    );
    let signals: Vec<&Value> = told
        .iter()
        .filter(|event| event["action"] == "kill")
        .map(|event| &event["attributes"]["signal"])
        .collect();
    assert_eq!(signals[..2], ["15", "9"]);
    running.signal(Signal::INT);
    running.finish();
}

#[test]
fn events_follow_until_a_time_to_come() {
    let stack = stack!("services: {one: {image: busybox, command: 'true'}}");
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1500);
    let soon = soon.to_string();
    let running = stack.start(&["events", "--json", "--until", &soon]);
    eventually("it listens", || {
        stack.root().join("events").exists().then_some(())
    });
    stack.up();
    let output = running.finish().succeeds();
    assert!(
        output.stdout.contains("\"action\":\"create\""),
        "{}",
        output.stdout
    );
    assert!(jiff::Timestamp::now().to_string() > soon);
}

#[test]
fn an_end_that_nobody_saw_is_told_once() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    stack.up();
    let supervisor = stack.supervisor().expect("one");
    let (pid, shim) = (stack.pid("one"), stack.shim("one"));
    signal_to(supervisor, Signal::STOP);
    signal_to(shim, Signal::KILL);
    signal_to(pid, Signal::KILL);
    signal_to(supervisor, Signal::KILL);
    stack.wait_for_state("one", "exited");
    stack.stack(&["stop"]).succeeds();
    stack.stack(&["stop"]).succeeds();
    let told = actions(&stack, "one");
    let ends = told.iter().filter(|action| *action == "die").count();
    assert_eq!(ends, 1, "{told:?}");
}

#[test]
fn health_and_restarts_are_events_too() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    command: sleep 1000
    healthcheck: {test: ['CMD', 'test', '!', '-e', /sick], interval: 50ms, retries: 1}
  two:
    image: busybox
    command: sh -c 'sleep 0.1; exit 1'
    restart: on-failure:1
"
    );
    stack.stack(&["up", "-d", "--wait", "one"]).succeeds();
    stack.exec("one", "touch /sick");
    stack.wait_for("one", |row| row.health == "unhealthy");
    let told = actions(&stack, "one");
    let healthy = told
        .iter()
        .position(|action| action == "health_status: healthy");
    let unhealthy = told
        .iter()
        .position(|action| action == "health_status: unhealthy");
    assert!(healthy.is_some() && healthy < unhealthy, "{told:?}");
    stack.stack(&["up", "-d", "two"]).succeeds();
    eventually("it was started again", || {
        let told = actions(&stack, "two");
        let expected = ["create", "start", "die", "start", "die"];
        (told == expected).then_some(())
    });
}

#[test]
fn events_of_one_off_containers_are_left_out() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    stack.stack(&["run", "--rm", "one", "true"]).succeeds();
    assert_eq!(events(&stack), [] as [Value; 0]);
}
