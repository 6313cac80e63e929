//! Containers that end: `rm`, `scale`, `wait`, `kill`, `create`.

use rustix::process::Signal;

use crate::harness::{Stack, eventually, signal_to, stack};

const TWO: &str = "
services:
  stays: {image: busybox, command: sleep 1000, scale: 2}
  job: {image: busybox, command: sh -c 'exit 3'}
";

fn names(stack: &Stack) -> Vec<String> {
    stack.ps().into_iter().map(|row| row.name).collect()
}

#[test]
fn rm_removes_what_does_not_run_and_it_is_not_made_again() {
    let stack = stack!(TWO);
    stack.up();
    stack.wait_for_state("job", "exited");
    let job = stack.name("job", 1);
    let rm = stack.stack(&["rm", "-f"]).succeeds();
    let rm = rm.stdout_is(&format!("Going to remove {job}\n"));
    rm.stderr_contains(&format!("Container {job} Removing"))
        .stderr_contains(&format!("Container {job} Removed"));
    let left = [stack.name("stays", 1), stack.name("stays", 2)];
    assert_eq!(names(&stack), left);
    stack
        .stack(&["rm", "-f"])
        .succeeds()
        .stdout_is("")
        .stderr_contains("No stopped containers");
    // Whatever is done next about others does not bring it back.
    stack.stack(&["restart", "-t", "0", "stays"]).succeeds();
    assert_eq!(names(&stack), left);
    stack.stack(&["start", "job"]).succeeds();
    assert_eq!(names(&stack), left);
    stack.up();
    assert_eq!(names(&stack).len(), 3);
    stack.down();
}

#[test]
fn rm_asks_first_and_takes_one_offs_along() {
    let stack = stack!(TWO);
    stack.up();
    stack.wait_for_state("job", "exited");
    stack
        .stack(&["run", "-T", "--name", "once", "job", "true"])
        .succeeds();
    assert_eq!(names(&stack).len(), 4);
    for answer in ["", "n\n", "maybe\n"] {
        stack
            .stack_with_input(&["rm"], answer.as_bytes())
            .succeeds()
            .stdout_contains("Going to remove")
            .stdout_lacks("[y/N]");
        assert_eq!(names(&stack).len(), 4, "{answer:?}");
    }
    stack
        .stack(&["rm", "-f", "stays"])
        .succeeds()
        .stderr_contains("No stopped containers");
    stack
        .stack(&["rm", "absent"])
        .fails_with(1)
        .stderr_contains("no such service: absent");
    let dry = stack.stack(&["--dry-run", "rm"]).succeeds();
    dry.stderr_contains(" Container once Removed ");
    assert_eq!(names(&stack).len(), 4);
    stack.stack_with_input(&["rm"], b"y\n").succeeds();
    assert_eq!(
        names(&stack),
        [stack.name("stays", 1), stack.name("stays", 2)]
    );
    stack.down();
}

#[test]
fn rm_can_stop_first_and_takes_volumes_without_a_name_when_told() {
    let text = "services: {one: {image: anonymous, command: sleep 1000}, two: {image: busybox, command: sleep 1000}}";
    let stack = stack!(text);
    let volumes = || {
        std::fs::read_dir(stack.root().join("volumes"))
            .unwrap()
            .count()
    };
    stack.up();
    assert_eq!(volumes(), 1);
    let rm = stack.stack(&["rm", "-s", "-f", "one"]).succeeds();
    let name = stack.name("one", 1);
    let rm = rm.stderr_contains(&format!("Container {name} Stopped"));
    rm.stderr_contains(&format!("Container {name} Removed"));
    assert_eq!(names(&stack), [stack.name("two", 1)]);
    assert_eq!(volumes(), 1, "kept without -v");
    stack.up();
    assert_eq!(volumes(), 2);
    stack.stack(&["rm", "-sfv", "one"]).succeeds();
    assert_eq!(volumes(), 1);
    // The project's own name is enough.
    stack
        .stack(&["-p", stack.project(), "rm", "-sf"])
        .succeeds();
    assert!(names(&stack).is_empty());
    stack.stack(&["down", "-v"]).succeeds();
}

#[test]
fn rm_leaves_a_scaled_service_with_what_runs_of_it() {
    let stack = stack!(TWO);
    stack.up();
    let first = stack.name("stays", 1);
    let pid = stack.inspect(&first)["State"]["Pid"].as_i64().unwrap();
    signal_to(i32::try_from(pid).unwrap(), Signal::KILL);
    eventually("it has ended", || {
        let row = stack.ps().into_iter().find(|row| row.name == first)?;
        (row.state == "exited").then_some(())
    });
    stack.stack(&["rm", "-f", "stays"]).succeeds();
    stack.stack(&["stop", "-t", "0", "job"]).succeeds();
    assert_eq!(
        names(&stack),
        [stack.name("job", 1), stack.name("stays", 2)]
    );
    stack.down();
}

#[test]
fn scale_makes_and_removes_containers() {
    let text = "
services:
  back: {image: busybox, command: sleep 1000, depends_on: [db]}
  db: {image: busybox, command: sleep 1000}
  named: {image: busybox, command: sleep 1000, container_name: only-one, profiles: [x]}
";
    let stack = stack!(text);
    stack.stack(&["up", "-d", "--scale", "db=2"]).succeeds();
    let count = |service: &str| stack.replicas(service).len();
    let scale = stack.stack(&["scale", "--no-deps", "back=2"]).succeeds();
    let running = format!("Container {} Running", stack.name("back", 1));
    let scale = scale.stdout_is("").stderr_contains(&running);
    scale.stderr_contains(&format!("Container {} Started", stack.name("back", 2)));
    assert_eq!((count("back"), count("db")), (2, 2));
    // With what it needs: as many of those as the stack file says.
    stack.stack(&["scale", "back=3"]).succeeds();
    assert_eq!((count("back"), count("db")), (3, 1));
    stack
        .stack(&["scale", "back=0", "db=2"])
        .succeeds()
        .stdout_is("");
    assert_eq!((count("back"), count("db")), (0, 2));
    for (wrong, why) in [
        ("back", ""),
        ("back=x", "can't parse replica value as int: "),
        ("back=-1", "can't parse replica value as int: "),
    ] {
        let scale = stack.stack(&["scale", wrong]).fails_with(1);
        scale.stderr_contains(&format!("invalid scale specifier: {why}{wrong}"));
    }
    stack
        .stack(&["scale", "absent=1"])
        .fails_with(1)
        .stderr_contains("no such service: absent");
    stack
        .stack(&["scale", "named=2"])
        .fails_with(1)
        .stderr_contains("the custom container name \"only-one\"");
    stack.stack(&["scale"]).fails_with(1);
    stack.down();
}

#[test]
fn wait_says_how_containers_ended_and_ends_so_itself() {
    let text = "
services:
  slow: {image: busybox, command: sh -c 'sleep 0.5; exit 4'}
  done: {image: busybox, command: sh -c 'exit 3'}
  never: {image: busybox, command: sleep 1000}
";
    let stack = stack!(text);
    stack
        .stack(&["wait", "slow"])
        .fails_with(1)
        .stderr_contains("no containers for project");
    stack.up();
    let line = |service: &str, code: i32| {
        let id = stack.container(service).id;
        format!("container \"{id}\" exited with status code {code}\n")
    };
    stack
        .stack(&["wait", "slow"])
        .fails_with(4)
        .stdout_is(&line("slow", 4));
    stack
        .stack(&["wait", "slow"])
        .fails_with(4)
        .stdout_is(&line("slow", 4));
    stack
        .stack(&["wait", "done"])
        .fails_with(3)
        .stdout_is(&line("done", 3));
    stack.stack(&["wait", "absent"]).fails_with(1);
    stack.stack(&["wait"]).fails_with(1);
    let file = stack.dir().join("said");
    let waiting = stack.start_into(&["wait", "never", "done"], &file);
    let said = || std::fs::read_to_string(&file).unwrap();
    eventually("it says how the first ended", || {
        (said() == line("done", 3)).then_some(())
    });
    stack.stack(&["kill", "never"]).succeeds();
    waiting.finish().fails_with(137);
    assert!(said().ends_with(&line("never", 137)), "{}", said());
    stack.down();
}

#[test]
fn wait_can_bring_the_project_down() {
    let stack = stack!(
        "
services:
  faster: {image: busybox, command: sh -c 'sleep 0.3; exit 5'}
  other: {image: busybox, command: sleep 1000}
"
    );
    stack.up();
    stack
        .stack(&["wait", "--down-project", "faster"])
        .fails_with(5);
    assert!(stack.ps().is_empty());
}

#[test]
fn kill_sends_any_signal_and_reaches_one_offs() {
    let script = "trap 'echo got hup' HUP; trap 'echo got 10' 10; echo ready; while true; do sleep 0.05; done";
    let text = format!("services: {{one: {{image: busybox, command: [sh, -c, {script:?}]}}}}");
    let stack = stack!(&text);
    stack
        .stack(&["kill"])
        .succeeds()
        .stderr_contains("No container to kill");
    stack.up();
    stack.wait_for_log("one", "ready");
    let kill = stack.stack(&["kill", "-s", "HUP", "one"]).succeeds();
    let name = stack.name("one", 1);
    let kill = kill.stderr_contains(&format!("Container {name} Killing"));
    kill.stderr_contains(&format!("Container {name} Killed"));
    stack.wait_for_log("one", "got hup");
    stack.stack(&["kill", "--signal=10"]).succeeds();
    stack.wait_for_log("one", "got 10");
    stack
        .stack(&["kill", "-s", "SIGFOO"])
        .fails_with(1)
        .stderr_contains("SIGFOO");
    stack
        .stack(&["kill", "absent"])
        .fails_with(1)
        .stderr_contains("absent");
    stack
        .stack(&["run", "-d", "--name", "once", "one", "sleep", "1000"])
        .succeeds();
    stack
        .stack(&["kill"])
        .succeeds()
        .stderr_contains("Container once Killed");
    eventually("both have ended", || {
        stack
            .ps()
            .iter()
            .all(|row| row.state == "exited" && row.exit_code == 137)
            .then_some(())
    });
    stack.down();
}

#[test]
fn kill_leaves_orphans_alone_unless_told() {
    let stack = stack!(
        "services: {one: {image: busybox, command: sleep 1000}, old: {image: busybox, command: sleep 1000}}"
    );
    stack.up();
    stack.file(
        "stack.yaml",
        "services: {one: {image: busybox, command: sleep 1000}}",
    );
    stack.up();
    stack.stack(&["kill"]).succeeds();
    stack.wait_for_state("one", "exited");
    assert_eq!(stack.container("old").state, "running");
    stack.stack(&["kill", "--remove-orphans"]).succeeds();
    stack.wait_for_state("old", "exited");
    stack.down();
}

#[test]
fn create_makes_containers_without_starting_them_and_asks_nothing() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    stack
        .stack(&["create", "-y", "--scale", "one=2"])
        .succeeds();
    let states: Vec<String> = stack.ps().into_iter().map(|row| row.state).collect();
    assert_eq!(states, ["created", "created"]);
    stack
        .stack(&["create", "--build", "--no-build"])
        .fails_with(1);
    stack
        .stack(&["create", "--force-recreate", "--no-recreate"])
        .fails_with(1);
    stack.stack(&["rm", "-f"]).succeeds();
    assert!(stack.ps().is_empty());
    stack.down();
}
