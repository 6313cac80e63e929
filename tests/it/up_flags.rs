//! Flags and variables of `up` and `down` that change what is made, replaced and removed.

use crate::harness::{Row, Stack, stack};

fn ids(stack: &Stack, services: &[&str]) -> Vec<String> {
    let id = |service: &&str| stack.container(service).id;
    services.iter().map(id).collect()
}

const PAIR: &str = "
services:
  web: {image: busybox, command: sleep 1000, depends_on: [db]}
  db: {image: busybox, command: sleep 1000}
";

#[test]
fn what_is_named_is_recreated_and_what_it_needs_only_when_asked_for() {
    let stack = stack!(PAIR);
    stack.up();
    let mut before = ids(&stack, &["web", "db"]);
    for (flags, web, db) in [
        (&["--force-recreate"][..], true, false),
        (&["--always-recreate-deps"], false, true),
        (&["--force-recreate", "--always-recreate-deps"], true, true),
        (&["--force-recreate", "--no-deps"], true, false),
        (&["--no-recreate"], false, false),
    ] {
        let up = [&["up", "-d"], flags, &["web"]].concat();
        stack.stack(&up).succeeds();
        let now = ids(&stack, &["web", "db"]);
        let changed = [now[0] != before[0], now[1] != before[1]];
        assert_eq!(changed, [web, db], "{flags:?}");
        before = now;
    }
}

#[test]
fn volumes_without_a_name_are_handed_on_unless_they_are_to_be_new() {
    let stack = stack!("services: {one: {image: anonymous, command: sleep 1000}}");
    stack.up();
    stack.exec("one", "echo mine > /data/mine");
    stack.stack(&["up", "-d", "--force-recreate"]).succeeds();
    assert_eq!(stack.exec("one", "cat /data/mine"), "mine\n");
    let before = stack.container("one").id;
    stack.stack(&["up", "-d", "-V"]).succeeds();
    assert_ne!(stack.container("one").id, before);
    assert_eq!(stack.exec("one", "ls /data | grep -c mine || true"), "0\n");
    // It is a matter of that one command.
    stack.exec("one", "echo again > /data/mine");
    stack.stack(&["up", "-d", "--force-recreate"]).succeeds();
    assert_eq!(stack.exec("one", "cat /data/mine"), "again\n");
}

#[test]
fn numbers_of_replicas_are_used_again() {
    let stack = stack!("services: {web: {image: busybox, command: sleep 1000}}");
    let scaled = |count: &str| {
        let up = stack.stack(&["up", "-d", "--scale", &format!("web={count}")]);
        up.succeeds().stderr_lacks("Recreate");
        let mut rows = stack.replicas("web");
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    };
    let names = |rows: &[Row]| rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    let first = scaled("3");
    let kept = scaled("1");
    assert_eq!(kept[0].id, first[0].id);
    let again = scaled("2");
    assert_eq!(names(&again), names(&first[..2]));
    assert_eq!(again[0].id, first[0].id);
    for bad in ["web", "web=x", "nobody=2"] {
        let up = stack.stack(&["up", "-d", "--scale", bad]).fails_with(1);
        let words = match bad {
            "nobody=2" => "no such service: nobody: not found".to_owned(),
            _ => format!("invalid --scale option \"{bad}\". Should be SERVICE=NUM"),
        };
        up.stderr_contains(&words);
    }
}

#[test]
fn orphans_are_told_or_removed_or_neither() {
    let stack = stack!(
        "
services:
  app: {image: busybox, command: sleep 1000}
  old: {image: busybox, command: sleep 1000}
  job: {image: busybox, command: echo hi, profiles: [jobs]}
"
    );
    stack.up();
    stack.stack(&["run", "job"]).succeeds();
    stack.file(
        "stack.yaml",
        "services: {app: {image: busybox, command: sleep 1000}}",
    );
    let told = stack.up();
    let old = stack.name("old", 1);
    told.stderr_contains("Found orphan containers (")
        .stderr_contains(&old)
        .stderr_contains("-job-run-")
        .stderr_contains("you can run this command with the --remove-orphans flag");
    stack.file(".env", "COMPOSE_IGNORE_ORPHANS=True\n");
    stack.up().stderr_lacks("orphan");
    let both = stack.stack(&["up", "-d", "--remove-orphans"]).fails_with(1);
    both.stderr_contains("cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans");
    assert_eq!(stack.ps().len(), 3);
    stack.file(".env", "COMPOSE_REMOVE_ORPHANS=True\n");
    stack
        .up()
        .stderr_contains(&format!("Container {old} Removed"));
    let left: Vec<String> = stack.ps().into_iter().map(|row| row.service).collect();
    assert_eq!(left, ["app"]);
}

#[test]
fn a_dry_run_shows_the_progress_that_there_would_be_and_why() {
    let stack = stack!(PAIR);
    let web = stack.name("web", 1);
    let dry = stack.stack(&["up", "--menu=false", "--dry-run"]).succeeds();
    dry.stderr_contains(&format!(" Container {web} Created "))
        .stderr_lacks("Start")
        .stdout_contains("interactive run is not supported in dry-run mode");
    let dry = stack.stack(&["--dry-run", "up", "-d"]).succeeds();
    dry.stderr_contains(&format!(" Container {web} Started "));
    assert_eq!(stack.ps(), []);
    stack.up();
    let before = ids(&stack, &["web", "db"]);
    stack.file("stack.yaml", PAIR.replacen("sleep 1000", "sleep 999", 1));
    // A terminal is told why, and that nothing is done.
    let terminal = ["--dry-run", "--progress", "tty", "up", "-d"];
    stack.stack(&terminal).succeeds().stderr_contains(&format!(
        " DRY-RUN MODE -  Container {web} Recreate (its configuration changed: command)"
    ));
    let dry = stack.stack(&["--dry-run", "up", "-d"]).succeeds();
    dry.stderr_contains(&format!(" Container {web} Recreate \n"))
        .stderr_contains(&format!(" Container {} Running \n", stack.name("db", 1)));
    for command in [&["restart"][..], &["stop"], &["down", "--rmi", "all"]] {
        let dry = stack.stack(&[&["--dry-run"], command].concat()).succeeds();
        dry.stderr_contains(&format!(" Container {web} "));
    }
    let json = ["--dry-run", "--progress", "json", "down"];
    let json = stack.stack(&json).succeeds();
    json.stderr_contains("{\"dry-run\":true,\"id\":\"Container ");
    let pull = stack.stack(&["--dry-run", "pull"]).succeeds();
    pull.stderr_is(" Image busybox Pulling \n Image busybox Pulled \n");
    dry_of_single_commands(&stack, &web);
    assert_eq!(ids(&stack, &["web", "db"]), before);
}

/// What runs programs, or waits, says that it does not.
fn dry_of_single_commands(stack: &Stack, web: &str) {
    let dry = |words: &[&str]| stack.stack(&[&["--dry-run"], words].concat());
    for (words, line) in [
        (&["pause"][..], "Paused"),
        (&["kill"], "Killed"),
        (&["kill"], "Killing"),
        (&["stop"], "Stopped"),
        (&["exec", "-d", "web", "true"], ""),
    ] {
        let said = dry(words).succeeds();
        match line {
            "" => drop(said.stderr_is("")),
            line => drop(said.stderr_contains(&format!("Container {web} {line}"))),
        }
    }
    for (words, message) in [
        (&["exec", "-T", "web", "true"][..], "interactive exec"),
        (&["attach", "web"], "interactive run"),
        (&["run", "-T", "web", "true"], "interactive run"),
        (&["wait", "web"], "wait"),
    ] {
        let message = format!("{message} is not supported in dry-run mode");
        dry(words).fails_with(1).stderr_contains(&message);
    }
    let run = dry(&["run", "-d", "--name", "once", "web", "true"]).succeeds();
    run.stdout_contains("once\n")
        .stderr_contains(" Container once Created ");
    assert_eq!(stack.ps().len(), 2);
}

#[test]
fn compatibility_names_containers_as_version_1_did_and_leaves_those_that_are_there() {
    let stack = stack!(
        "services: {web: {image: busybox, command: echo hello}, db: {image: busybox, command: sleep 1000}}"
    );
    stack.stack(&["up", "-d", "db"]).succeeds();
    stack.file(".env", "COMPOSE_COMPATIBILITY=1\n");
    let project = stack.project().to_owned();
    stack
        .stack(&["up", "--menu=false", "--no-deps", "web"])
        .succeeds()
        .stderr_contains(&format!(" Container {project}_web_1 Started "))
        .stdout_contains("web_1  | hello");
    stack
        .stack(&["--compatibility", "up", "-d", "--scale", "db=2"])
        .succeeds()
        .stderr_contains(&format!(" Container {project}-db-1 Running "))
        .stderr_contains(&format!(" Container {project}_db_2 Started "));
    stack
        .stack(&["run", "-T", "--rm", "db", "hostname"])
        .succeeds()
        .stderr_contains(&format!(" Container {project}_db_run_"));
    stack.file(".env", "");
    stack
        .stack(&["up", "-d", "--scale", "db=2", "--force-recreate", "db"])
        .succeeds()
        .stderr_contains(&format!(" Container {project}-db-2 Started "));
    let mut names: Vec<String> = stack.ps().into_iter().map(|row| row.name).collect();
    names.sort();
    let expected = ["-db-1", "-db-2", "_web_1"].map(|end| format!("{project}{end}"));
    assert_eq!(names, expected);
}

#[test]
fn a_file_with_variables_that_is_gone_keeps_nobody_from_stopping() {
    let stack =
        stack!("services: {one: {image: busybox, command: sleep 1000, env_file: [some.env]}}");
    stack.file("some.env", "A=1\n");
    stack.up();
    std::fs::remove_file(stack.dir().join("some.env")).expect("it is there");
    stack
        .stack(&["up", "-d"])
        .fails_with(1)
        .stderr_contains("some.env");
    for command in ["stop", "restart", "down"] {
        let line = format!("Container {} ", stack.name("one", 1));
        stack.stack(&[command]).succeeds().stderr_contains(&line);
    }
}

#[test]
fn progress_goes_where_the_environment_says() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    let stack = stack.with_env("COMPOSE_STATUS_STDOUT", "1");
    let line = format!(" Container {} Started \n", stack.name("one", 1));
    stack.up().stdout_contains(&line).stderr_is("");
    for (name, value, message) in [
        (
            "COMPOSE_PARALLEL_LIMIT",
            "many",
            "COMPOSE_PARALLEL_LIMIT must be an integer (found: \"many\")",
        ),
        (
            "COMPOSE_PROGRESS",
            "nice",
            "unsupported --progress value \"nice\"",
        ),
    ] {
        let mut command = stack.command(&["up", "-d"]);
        let output = command.env(name, value).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn down_removes_images_that_nobody_else_uses() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    stack.file(
        "other.yaml",
        "services: {two: {image: busybox, command: sleep 1000}}",
    );
    stack.up();
    let other = ["-p", "other", "-f", "other.yaml"];
    stack
        .stack(&[&other[..], &["up", "-d"]].concat())
        .succeeds();
    stack
        .stack(&["down", "--rmi", "local"])
        .succeeds()
        .stderr_lacks("Image");
    stack.up();
    let down = stack.stack(&["down", "--rmi", "all"]).succeeds();
    down.stderr_contains("Image busybox:latest Resource is still in use")
        .stderr_contains("other-two-1");
    let down = stack.stack(&[&other[..], &["down", "--rmi", "all"]].concat());
    down.succeeds()
        .stderr_contains("Image busybox:latest Removed");
    let up = stack.stack(&["up", "-d", "--pull", "never"]).fails_with(1);
    up.stderr_contains("busybox");
}

#[test]
fn down_leaves_a_network_that_others_are_on_and_says_when_there_is_nothing() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    let network = format!("{}_default", stack.project());
    stack.file(
        "guest.yaml",
        format!(
            "
services: {{two: {{image: busybox, command: sleep 1000}}}}
networks: {{default: {{external: true, name: {network}}}}}
"
        ),
    );
    stack.up();
    let guest = ["-p", "guest", "-f", "guest.yaml"];
    stack
        .stack(&[&guest[..], &["up", "-d"]].concat())
        .succeeds();
    let down = stack.stack(&["down"]).succeeds();
    down.stderr_contains(&format!("Network {network} Resource is still in use"));
    stack
        .stack(&[&guest[..], &["exec", "-T", "two", "ip", "addr"]].concat())
        .succeeds();
    stack.stack(&[&guest[..], &["down"]].concat()).succeeds();
    let down = stack.stack(&["-p", stack.project(), "down"]).succeeds();
    down.stderr_contains(&format!("Network {network} Removed"));
    let nothing = stack.stack(&["-p", "nobody", "down"]).succeeds();
    nothing.stderr_contains("Warning: No resource found to remove for project \"nobody\".");
}

#[test]
fn a_container_s_name_is_one_service_s_at_a_time() {
    let stack = stack!(
        "
services:
  test: {image: busybox, container_name: the-only-one, command: 'true'}
  another: {image: busybox, container_name: the-only-one, command: 'true'}
"
    );
    let words = "container name \"the-only-one\" is already in use by service test";
    stack.stack(&["up"]).fails_with(1).stderr_contains(words);
    stack.stack(&["up", "test"]).succeeds();
    let up = stack.stack(&["up", "another"]).fails_with(1);
    up.stderr_contains(words);
    stack.down();
    stack.stack(&["up", "another"]).succeeds();
}

#[test]
fn what_others_share_is_not_left_out_when_it_is_not_there() {
    let stack = stack!(
        "
services:
  app: {image: busybox, command: sleep 1000, network_mode: 'service:db'}
  db: {image: busybox, command: sleep 1000}
"
    );
    stack.up();
    let alone = ["up", "-d", "--no-deps", "app"];
    stack.stack(&alone).succeeds();
    stack.stack(&["down", "db"]).succeeds();
    let up = stack.stack(&alone).fails_with(1);
    up.stderr_contains("cannot share network namespace with service db: container missing");
}
