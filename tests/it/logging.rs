//! What is kept of containers' output, and what `logs` shows of it.

use crate::harness::{eventually, stack};

#[test]
fn the_driver_says_what_is_kept() {
    let stack = stack!(
        "
services:
  none: {image: busybox, command: echo secret, logging: {driver: none}}
  local: {image: busybox, command: echo local, logging: {driver: local}}
  much:
    image: busybox
    command: seq 1 20000
    logging: {driver: json-file, options: {max-size: 10k, max-file: '3'}}
"
    );
    stack.up();
    stack.wait_for_log("much", "20000");
    stack.wait_for_log("local", "local");
    stack.wait_for_state("none", "exited");
    let silent = stack.stack(&["logs", "none"]).succeeds();
    silent.stdout_is("").stderr_contains(&format!(
        "Can't retrieve logs for \"{}\": configured logging driver does not support reading",
        stack.name("none", 1)
    ));
    let much = stack.logs("much");
    assert!(
        much.len() < 40 << 10 && much.len() > 1 << 10,
        "{}",
        much.len()
    );
    let numbers: Vec<u32> = much.lines().filter_map(|line| line.parse().ok()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    // Shown all the same while somebody is there to see it.
    let up = stack.stack(&["up", "local"]).succeeds();
    up.stdout_contains("local-1  | local");
}

#[test]
fn options_that_no_driver_has_are_refused_and_other_drivers_are_told() {
    let text = |logging: &str| {
        format!("services: {{one: {{image: busybox, command: echo hi, logging: {logging}}}}}")
    };
    let stack = stack!(text("{driver: json-file, options: {maxsize: 1m}}"));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("unknown log opt 'maxsize' for json-file log driver");
    stack.file("stack.yaml", text("{options: {max-size: lots}}"));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("failed to initialize logging driver: invalid size: 'lots'");
    stack.file("stack.yaml", text("{driver: syslog}"));
    stack
        .up()
        .stderr_contains("`services.one.logging.driver` is ignored");
    stack.wait_for_log("one", "hi");
}

#[test]
fn a_replica_is_chosen_by_its_number() {
    let stack =
        stack!("services: {hello: {image: busybox, command: echo hello, deploy: {replicas: 2}}}");
    stack.stack(&["up"]).succeeds();
    let second = stack.stack(&["logs", "--index", "2", "hello"]).succeeds();
    second.stdout_is("hello-2  | hello\n");
    let third = stack
        .stack(&["logs", "--index", "3", "hello"])
        .fails_with(1);
    third.stderr_contains("service \"hello\" is not running container #3");
    let none = stack.stack(&["logs", "--index", "1"]).fails_with(1);
    none.stderr_contains("--index requires one service to be selected");
}

#[test]
fn lines_of_several_containers_come_in_the_order_of_their_times() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: seq 1 6000}
  another: {image: busybox, command: seq 1 6000}
"
    );
    stack.stack(&["up"]).succeeds();
    let all = stack.stack(&["logs", "-t", "--no-color"]).succeeds();
    let mut times = Vec::new();
    let mut counts = std::collections::BTreeMap::new();
    for line in all.stdout.lines() {
        let (name, rest) = line.split_once(" | ").expect("a prefix");
        let (time, number) = rest.split_once(' ').expect("a time");
        times.push(time.to_owned());
        let next = counts.entry(name.trim().to_owned()).or_insert(1_u32);
        assert_eq!(number, next.to_string(), "{line}");
        *next += 1;
    }
    assert!(times.is_sorted());
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [6001, 6001]);
    assert!(all.stdout.starts_with("another-1  | ") || all.stdout.starts_with("one-1      | "));
    let middle = &times[6000];
    let since = stack.stack(&["logs", "--since", middle]).succeeds();
    let until = stack.stack(&["logs", "--until", middle]).succeeds();
    let lines = |text: &str| text.lines().count();
    assert_eq!(lines(&since.stdout) + lines(&until.stdout), times.len());
}

#[test]
fn following_goes_on_with_new_replicas_and_after_a_restart() {
    let stack = stack!(
        "services: {web: {image: busybox, init: true, command: sh -c 'echo up; exec sleep 1000'}}"
    );
    stack.up();
    let path = stack.dir().join("followed");
    let follow = stack.start_into(&["logs", "-f", "--no-color"], &path);
    let seen = |text: &str| {
        eventually(&format!("`{}` in the log", text.escape_debug()), || {
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            log.contains(text).then_some(())
        });
    };
    seen("web-1  | up\n");
    stack.stack(&["up", "-d", "--scale", "web=2"]).succeeds();
    seen("web-2  | up\n");
    stack.stack(&["restart"]).succeeds();
    seen("web-1  | up\nweb-2");
    stack.stack(&["stop"]).succeeds();
    drop(follow);
    let log = std::fs::read_to_string(&path).expect("a file");
    assert_eq!(log.matches("web-1  | up").count(), 2, "{log}");
}
