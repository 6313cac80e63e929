//! Commands that look and change nothing.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Running, Stack, eventually, stack};

const TALKER: &str = "
services:
  one:
    image: busybox
    command: sh -c 'for i in 1 2 3 4 5; do echo line $$i; done; echo mistake >&2; sleep 1000'
    ports: ['8080:80']
    labels: {mine: 'yes'}
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn ps_is_a_table_with_compose_s_columns() {
    let stack = stack!(TALKER);
    stack.up();
    let table = stack.stack(&["ps"]).succeeds().stdout;
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        [
            "NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"
        ]
    );
    let row = lines.next().unwrap();
    for part in [
        &stack.name("one", 1),
        "busybox",
        "one",
        "Up ",
        "0.0.0.0:8080->80/tcp",
    ] {
        assert!(row.contains(part), "{part}: {row}");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn ps_shows_ended_containers_only_when_asked() {
    let stack = stack!(
        "services: {one: {image: busybox, command: 'false'}, two: {image: busybox, command: sleep 1000}}"
    );
    stack.up();
    stack.wait_for_state("one", "exited");
    let ps = stack.stack(&["ps"]).succeeds();
    ps.stdout_lacks(&stack.name("one", 1))
        .stdout_contains(&stack.name("two", 1));
    let all = stack.stack(&["ps", "-a"]).succeeds();
    all.stdout_contains(&stack.name("one", 1))
        .stdout_contains("Exited (1)");
    let services = stack.stack(&["ps", "--services", "-a"]).succeeds();
    services.stdout_is("one\ntwo\n");
    let exited = stack
        .stack(&["ps", "--status", "exited", "--services"])
        .succeeds();
    exited.stdout_is("one\n");
    let quiet = stack.stack(&["ps", "-q"]).succeeds();
    quiet.stdout_is(&format!("{}\n", stack.container("two").id));
}

#[test]
fn ps_as_json_has_compose_s_fields() {
    let stack = stack!(TALKER);
    stack.up();
    let row = json(
        stack
            .stack(&["ps", "--format", "json"])
            .succeeds()
            .stdout
            .trim(),
    );
    let fields = row.as_object().unwrap();
    for field in [
        "Command",
        "CreatedAt",
        "ExitCode",
        "Health",
        "ID",
        "Image",
        "Labels",
        "LocalVolumes",
        "Mounts",
        "Name",
        "Names",
        "Networks",
        "Ports",
        "Project",
        "Publishers",
        "RunningFor",
        "Service",
        "Size",
        "State",
        "Status",
    ] {
        assert!(fields.contains_key(field), "{field} is missing: {row}");
    }
    assert_eq!(
        (&row["State"], &row["ExitCode"], &row["Project"]),
        (&"running".into(), &0.into(), &stack.project().into())
    );
    assert_eq!(row["ID"].as_str().unwrap().len(), 12);
    assert!(
        row["Labels"].as_str().unwrap().contains("mine=yes"),
        "{row}"
    );
}

#[test]
fn inspect_has_docker_s_shape() {
    let stack = stack!(TALKER);
    stack.up();
    let name = stack.name("one", 1);
    let found = stack.inspect(&name);
    let id = stack.container("one").id;
    assert_eq!(
        (&found["Id"], &found["RestartCount"]),
        (&id.as_str().into(), &0.into())
    );
    assert_eq!(found["Path"], "sh");
    assert_eq!(found["State"]["Status"], "running");
    assert_eq!(found["State"]["Running"], true);
    assert_eq!(found["Config"]["Image"], "busybox");
    assert!(found["Name"].as_str().unwrap().ends_with(&name));
    assert!(found["State"]["Pid"].as_i64().unwrap() > 1);
    let network = &found["NetworkSettings"]["Networks"][format!("{}_default", stack.project())];
    assert!(
        network["IPAddress"].is_string() && network["Gateway"].is_string(),
        "{network}"
    );
    assert_eq!(stack.inspect(&id[..12])["Id"], id.as_str());
    stack
        .stack(&["inspect", "no-such-container"])
        .fails_with(1)
        .stderr_contains("no-such-container");
}

#[test]
fn ls_lists_projects() {
    let stack = stack!(TALKER);
    stack
        .stack(&["ls"])
        .succeeds()
        .stdout_lacks(stack.project());
    stack.up();
    let ls = stack.stack(&["ls"]).succeeds();
    ls.stdout_contains(stack.project())
        .stdout_contains("running(1)")
        .stdout_contains("stack.yaml");
    stack.stack(&["stop"]).succeeds();
    stack
        .stack(&["ls"])
        .succeeds()
        .stdout_lacks(stack.project());
    stack
        .stack(&["ls", "-a"])
        .succeeds()
        .stdout_contains("exited(1)");
}

#[test]
fn images_lists_what_containers_are_made_of() {
    let stack = stack!(TALKER);
    stack.up();
    let images = stack.stack(&["images"]).succeeds();
    images
        .stdout_contains("busybox")
        .stdout_contains(&stack.name("one", 1));
    let all = stack.stack(&["image", "ls"]).succeeds();
    all.stdout_contains("seeded").stdout_contains("configured");
}

#[test]
fn config_prints_the_whole_file_as_json_and_yaml() {
    let stack = stack!(
        "services: {one: {image: 'busybox:${TAG:-latest}', environment: {A: 1}, ports: ['8080:80']}}"
    );
    let config = json(
        &stack
            .stack(&["config", "--format", "json"])
            .succeeds()
            .stdout,
    );
    let one = &config["services"]["one"];
    assert_eq!(one["image"], "busybox:latest");
    assert_eq!(one["environment"]["A"], "1");
    assert_eq!(one["ports"][0]["published"], "8080");
    assert_eq!(config["name"], stack.project());
    let yaml = stack.stack(&["config"]).succeeds();
    yaml.stdout_contains("image: busybox:latest");
    stack.stack(&["config", "-q"]).succeeds().stdout_is("");
    stack
        .stack(&["config", "--services"])
        .succeeds()
        .stdout_is("one\n");
}

#[test]
fn version_says_which() {
    let stack = stack!(TALKER);
    let version = env!("CARGO_PKG_VERSION");
    stack
        .stack(&["version"])
        .succeeds()
        .stdout_contains(version);
    stack
        .stack(&["version", "--short"])
        .succeeds()
        .stdout_is(&format!("{version}\n"));
}

#[test]
fn logs_come_with_their_names_and_have_both_streams() {
    let stack = stack!(TALKER);
    stack.up();
    stack.wait_for_log("one", "line 5");
    eventually("both are there", || {
        let logs = stack.stack(&["logs", "--no-color"]).succeeds();
        (logs.stdout.contains("one-1") && logs.stdout.contains("mistake")).then_some(())
    });
    let logs = stack.stack(&["logs", "--no-color"]).succeeds();
    assert!(
        logs.stdout
            .lines()
            .any(|line| line.contains("one-1") && line.ends_with("| line 1")),
        "{logs}"
    );
    logs.stderr_is("");
}

#[test]
fn logs_can_be_cut_and_dated() {
    let stack = stack!(
        "services: {one: {image: busybox, command: sh -c 'for i in 1 2 3 4 5; do echo line $$i; done; sleep 1000'}}"
    );
    stack.up();
    stack.wait_for_log("one", "line 5");
    let plain = |flags: &[&str]| {
        let flags = [&["logs", "--no-log-prefix", "--no-color"], flags].concat();
        stack.stack(&flags).succeeds().stdout
    };
    assert_eq!(plain(&["-n", "2"]), "line 4\nline 5\n");
    assert_eq!(plain(&["--tail", "0"]), "");
    assert_eq!(plain(&["one"]).lines().count(), 5);
    let dated = plain(&["-t"]);
    let (time, text) = dated.lines().next().unwrap().split_once(' ').unwrap();
    assert_eq!(text, "line 1");
    let time: jiff::Timestamp = time.parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 60);
    assert_eq!(plain(&["--since", "10m"]).lines().count(), 5);
    let after = jiff::Timestamp::now().to_string();
    assert_eq!(plain(&["--since", &after]), "");
    assert_eq!(plain(&["--until", &after]).lines().count(), 5);
    stack
        .stack(&["logs", "absent"])
        .fails_with(1)
        .stderr_contains("absent");
}

#[test]
fn logs_stay_when_the_container_is_replaced() {
    let stack =
        stack!("services: {one: {image: busybox, command: sh -c 'echo first; sleep 1000'}}");
    stack.up();
    stack.wait_for_log("one", "first");
    stack.file(
        "stack.yaml",
        "services: {one: {image: busybox, command: sh -c 'echo second; sleep 1000'}}",
    );
    stack.up();
    stack.wait_for_log("one", "second");
    assert_eq!(stack.logs("one"), "first\nsecond\n");
}

/// Waits until a running command has written a line with this text.
fn wait_for_file(path: &std::path::Path, text: &str) {
    eventually(&format!("`{text}` in its output"), || {
        std::fs::read_to_string(path)
            .is_ok_and(|found| found.contains(text))
            .then_some(())
    });
}

/// `logs -f` with its standard output in a file.
fn follow(stack: &Stack, arguments: &[&str]) -> (Running, std::path::PathBuf) {
    let path = stack.dir().join("followed");
    let running = stack.start_into(&[&["logs", "-f", "--no-color"], arguments].concat(), &path);
    (running, path)
}

#[test]
fn logs_that_are_followed_come_at_once_and_end_with_an_interruption() {
    let stack = stack!(
        "services: {one: {image: busybox, command: sh -c 'echo before; while ! test -e /tmp/go; do sleep 0.01; done; echo after; sleep 1000'}}"
    );
    stack.up();
    stack.wait_for_log("one", "before");
    let (running, path) = follow(&stack, &["--no-log-prefix"]);
    wait_for_file(&path, "before");
    stack.exec("one", "touch /tmp/go");
    wait_for_file(&path, "after");
    // A new container is followed too.
    stack.stack(&["up", "-d", "--force-recreate"]).succeeds();
    eventually("the new one's line", || {
        let text = std::fs::read_to_string(&path).unwrap();
        (text.matches("before").count() == 2).then_some(())
    });
    running.signal(Signal::INT);
    let output = running.finish();
    assert!(output.code == 130 || output.code == 0, "{output}");
}

#[test]
fn following_ends_when_everything_has_ended() {
    let stack = stack!("services: {one: {image: busybox, command: sh -c 'sleep 0.3; echo end'}}");
    stack.up();
    let (running, path) = follow(&stack, &[]);
    let output = running.finish();
    assert_eq!(output.code, 0, "{output}");
    wait_for_file(&path, "end");
}

#[test]
fn a_program_that_writes_very_much_is_not_held_up_and_can_be_read() {
    let stack = stack!(
        "services: {one: {image: busybox, command: sh -c 'yes 0123456789012345678901234567890123456789 | head -n 200000; echo end'}}"
    );
    stack.up();
    stack.wait_for_state("one", "exited");
    let logs = stack.logs("one");
    assert_eq!(logs.lines().count(), 200_001);
    assert!(logs.ends_with("end\n"));
    let tail = stack
        .stack(&["logs", "-n", "1", "--no-log-prefix"])
        .succeeds();
    tail.stdout_is("end\n").within(Duration::from_secs(5));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let stack = stack!("services: {one: {image: busybox, command: seq 1 100000}}");
    stack.up();
    stack.wait_for_state("one", "exited");
    let mut child = stack
        .command(&["logs", "--no-log-prefix"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn reading_works_while_nobody_supervises() {
    let stack = stack!(TALKER);
    stack.up();
    stack.stack(&["stop"]).succeeds();
    stack.wait_for_quiet();
    assert_eq!(stack.container("one").state, "exited");
    assert!(stack.logs("one").contains("line 5"));
    assert_eq!(stack.supervisor(), None);
}

#[test]
fn what_a_program_writes_cannot_take_over_the_terminal_of_ps() {
    let stack = stack!(
        "services: {one: {image: busybox, command: [\"sleep\", \"1000\", \"\\e]0;owned\\a\"]}}"
    );
    stack.stack(&["create"]).succeeds();
    let ps = stack.stack(&["ps", "-a", "--no-trunc"]).succeeds();
    ps.stdout_lacks("\u{1b}");
}
