//! What `up` and `down` make, change, keep and remove.

use crate::harness::{Row, Stack, stack};

const HELLO: &str = "
services:
  hello:
    image: busybox
    command: echo hello world
";

const TWO: &str = "
services:
  one:
    image: busybox
    command: sleep 1000
  two:
    image: busybox
    command: sleep 1000
";

/// What must not change when a container is left alone.
fn identity(stack: &Stack, row: &Row) -> (String, i64) {
    let pid = stack.inspect(&row.name)["State"]["Pid"].as_i64();
    (row.id.clone(), pid.expect("a process id"))
}

fn identity_of(stack: &Stack, service: &str) -> (String, i64) {
    identity(stack, &stack.container(service))
}

fn names(rows: &[Row]) -> Vec<&str> {
    let mut names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn hello_runs_and_down_leaves_nothing() {
    let stack = stack!(HELLO);
    stack.up();
    stack.wait_for_log("hello", "hello world");
    let hello = stack.wait_for_state("hello", "exited");
    assert_eq!((hello.exit_code, hello.name), (0, stack.name("hello", 1)));
    stack.down();
    stack.wait_for_quiet();
    assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
}

#[test]
fn up_says_what_it_makes_and_down_what_it_removes() {
    let stack = stack!(TWO);
    let project = stack.project();
    let up = stack.up();
    let up = up.stderr_contains(&format!("Network {project}_default Created"));
    let up = up.stderr_contains(&format!("Container {project}-one-1 Started"));
    up.stderr_contains(&format!("Container {project}-two-1 Started"))
        .stdout_is("");
    let down = stack.down();
    let down = down.stderr_contains(&format!("Container {project}-one-1 Removed"));
    down.stderr_contains(&format!("Network {project}_default Removed"))
        .stdout_is("");
}

#[test]
fn down_with_nothing_there_is_silent() {
    let stack = stack!(HELLO);
    stack.down().stdout_is("").stderr_is("");
}

#[test]
fn a_second_up_changes_nothing() {
    let stack = stack!(TWO);
    stack.up();
    let before = (identity_of(&stack, "one"), identity_of(&stack, "two"));
    stack.up();
    let after = (identity_of(&stack, "one"), identity_of(&stack, "two"));
    assert_eq!(before, after);
}

#[test]
fn only_the_service_that_changed_is_replaced() {
    let stack = stack!(TWO);
    stack.up();
    let (one, two) = (identity_of(&stack, "one"), identity_of(&stack, "two"));
    stack.file("stack.yaml", TWO.replacen("sleep 1000", "sleep 1001", 1));
    let up = stack.up();
    up.stderr_contains(&format!("Container {} Recreated", stack.name("one", 1)));
    assert_ne!(identity_of(&stack, "one").0, one.0);
    assert_eq!(identity_of(&stack, "two"), two);
    assert_eq!(stack.ps().len(), 2);
}

#[test]
fn force_recreate_replaces_what_is_up_to_date() {
    let stack = stack!(TWO);
    stack.up();
    let (one, two) = (identity_of(&stack, "one"), identity_of(&stack, "two"));
    stack
        .stack(&["up", "-d", "--force-recreate", "one"])
        .succeeds();
    assert_ne!(identity_of(&stack, "one").0, one.0);
    assert_eq!(identity_of(&stack, "two"), two);
}

#[test]
fn no_recreate_leaves_what_is_out_of_date() {
    let stack = stack!(TWO);
    stack.up();
    let one = identity_of(&stack, "one");
    stack.file("stack.yaml", TWO.replacen("sleep 1000", "sleep 1001", 1));
    stack.stack(&["up", "-d", "--no-recreate"]).succeeds();
    assert_eq!(identity_of(&stack, "one"), one);
}

#[test]
fn only_named_services_and_what_they_need_come_up() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sleep 1000, depends_on: [base]}
  base: {image: busybox, command: sleep 1000}
  other: {image: busybox, command: sleep 1000}
"
    );
    stack.stack(&["up", "-d", "web"]).succeeds();
    assert_eq!(
        names(&stack.ps()),
        [stack.name("base", 1), stack.name("web", 1)]
    );
    stack.stack(&["down"]).succeeds();
    stack.stack(&["up", "-d", "--no-deps", "web"]).succeeds();
    assert_eq!(names(&stack.ps()), [stack.name("web", 1)]);
}

#[test]
fn scaling_makes_and_removes_only_what_is_missing_and_too_many() {
    let stack = stack!(TWO);
    stack.stack(&["up", "-d", "--scale", "one=3"]).succeeds();
    let rows = stack.replicas("one");
    let numbers = [1, 2, 3].map(|number| stack.name("one", number));
    assert_eq!(names(&rows), numbers);
    let first = rows.iter().find(|row| row.name == numbers[0]).unwrap();
    let first = identity(&stack, first);
    stack.stack(&["up", "-d", "--scale", "one=1"]).succeeds();
    assert_eq!(identity_of(&stack, "one"), first);
    // The number of the file counts again as soon as nothing else is asked for.
    stack.stack(&["up", "-d", "--scale", "one=2"]).succeeds();
    assert_eq!(names(&stack.replicas("one")), numbers[..2]);
    stack.up();
    assert_eq!(identity_of(&stack, "one"), first);
}

#[test]
fn replicas_of_the_file_are_made() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: sleep 1000, deploy: {replicas: 2}}
  none: {image: busybox, command: sleep 1000, scale: 0}
"
    );
    stack.up();
    assert_eq!(
        names(&stack.ps()),
        [stack.name("one", 1), stack.name("one", 2)]
    );
}

#[test]
fn containers_of_services_that_are_no_more_are_named_and_removed_only_when_asked() {
    let stack = stack!(TWO);
    stack.up();
    stack.file(
        "stack.yaml",
        "services: {one: {image: busybox, command: sleep 1000}}",
    );
    stack.up().stderr_contains(&stack.name("two", 1));
    assert_eq!(stack.container("two").state, "running");
    let up = stack.stack(&["up", "-d", "--remove-orphans"]).succeeds();
    up.stderr_contains(&format!("Container {} Removed", stack.name("two", 1)));
    assert_eq!(names(&stack.ps()), [stack.name("one", 1)]);
}

#[test]
fn down_removes_what_was_made_even_if_the_file_has_it_no_more() {
    let stack = stack!(TWO);
    stack.up();
    stack.file(
        "stack.yaml",
        "services: {other: {image: busybox, command: sleep 1000, profiles: [never]}}",
    );
    stack.down();
    stack.wait_for_quiet();
    assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
}

#[test]
fn down_keeps_volumes_and_down_v_removes_them() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    command: sh -c 'cat /data/kept; echo kept > /data/kept; echo done'
    volumes: [data:/data]
volumes:
  data:
"
    );
    let volume = stack
        .root()
        .join(format!("volumes/{}_data", stack.project()));
    stack.up();
    stack.wait_for_log("one", "done");
    stack.down();
    assert!(volume.exists());
    stack.up();
    stack.wait_for_log("one", "kept");
    stack.stack(&["down", "-v"]).succeeds();
    assert!(!volume.exists());
}

#[test]
fn a_dry_run_and_a_plan_change_nothing_and_say_why() {
    let stack = stack!(TWO);
    let plan = stack.stack(&["plan"]).succeeds();
    plan.stdout_contains("one")
        .stdout_contains("it does not exist");
    stack.stack(&["up", "--dry-run"]).succeeds();
    stack.stack(&["--dry-run", "up", "-d"]).succeeds();
    assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
    stack.up();
    let before = identity_of(&stack, "one");
    let plan = stack.stack(&["plan"]).succeeds();
    plan.stdout_contains("nothing to do");
    stack.file("stack.yaml", TWO.replacen("sleep 1000", "sleep 1001", 1));
    let plan = stack.stack(&["plan"]).succeeds();
    plan.stdout_contains("its configuration changed: command");
    stack.stack(&["down", "--dry-run"]).succeeds();
    assert_eq!(identity_of(&stack, "one"), before);
}

#[test]
fn a_stack_file_can_come_from_standard_input() {
    let stack = stack!("services: {}");
    let up = stack.stack_with_input(&["-f", "-", "up", "-d"], TWO.as_bytes());
    up.succeeds();
    assert_eq!(stack.container("one").state, "running");
}

#[test]
fn a_project_can_be_worked_with_without_its_file() {
    let stack = stack!(TWO);
    stack.up();
    std::fs::remove_file(stack.dir().join("stack.yaml")).unwrap();
    let name = stack.project();
    let ps = stack.stack(&["-p", name, "ps"]).succeeds();
    ps.stdout_contains(&stack.name("one", 1));
    stack.stack(&["-p", name, "stop", "one"]).succeeds();
    assert_eq!(stack.container("one").state, "exited");
    stack.stack(&["-p", name, "start", "one"]).succeeds();
    assert_eq!(stack.container("one").state, "running");
    stack.stack(&["-p", name, "down"]).succeeds();
    assert!(stack.ps().is_empty());
}

#[test]
fn a_service_with_a_profile_comes_up_only_with_it() {
    let stack = stack!(
        "
services:
  always: {image: busybox, command: sleep 1000}
  debug: {image: busybox, command: sleep 1000, profiles: [debug]}
"
    );
    stack.up();
    assert_eq!(names(&stack.ps()), [stack.name("always", 1)]);
    stack.stack(&["--profile", "debug", "up", "-d"]).succeeds();
    let both = [stack.name("always", 1), stack.name("debug", 1)];
    assert_eq!(names(&stack.ps()), both);
    // A service of a profile that is off is no orphan, and `down` takes it all the same.
    let up = stack.up();
    up.stderr_lacks("orphan");
    stack.down();
    assert!(stack.ps().is_empty());
    stack.stack(&["up", "-d", "debug"]).succeeds();
    assert_eq!(stack.container("debug").state, "running");
}

#[test]
fn create_makes_containers_and_start_starts_them() {
    let stack = stack!(TWO);
    stack.stack(&["create"]).succeeds();
    assert_eq!(stack.container("one").state, "created");
    stack.stack(&["start", "one"]).succeeds();
    assert_eq!(stack.container("one").state, "running");
    assert_eq!(stack.container("two").state, "created");
    stack.stack(&["up", "-d", "--no-start"]).succeeds();
    stack.up();
    assert_eq!(stack.container("two").state, "running");
}

#[test]
fn a_container_that_ended_is_started_again_by_up_with_its_files() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    command: sh -c 'echo again >> /tmp/runs; cat /tmp/runs; echo end'
"
    );
    stack.up();
    stack.wait_for_state("one", "exited");
    let id = stack.container("one").id;
    stack.up();
    let runs = || stack.logs("one").matches("again").count();
    crate::harness::eventually("it reads its own file", || (runs() == 3).then_some(()));
    assert_eq!(stack.container("one").id, id);
}

#[test]
fn down_with_volumes_removes_volumes_without_a_name_of_earlier_containers_too() {
    let stack = stack!(
        "
services:
  one:
    image: anonymous
    command: sleep 1000
"
    );
    let volumes = || -> usize {
        let entries = std::fs::read_dir(stack.root().join("volumes"));
        entries.map_or(0, Iterator::count)
    };
    stack.up();
    stack.down();
    assert_eq!(volumes(), 1);
    stack.up();
    assert_eq!(volumes(), 2);
    stack.stack(&["down", "-v"]).succeeds();
    assert_eq!(volumes(), 0);
}
