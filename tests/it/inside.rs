//! Programs that a person runs inside: `exec` and `run`.

use std::io::Write;

use rustix::process::Signal;

use crate::harness::{Row, Stack, eventually, stack};

const ONE: &str = "
services:
  one:
    image: busybox
    command: sleep 1000
    environment: {OF_SERVICE: 'yes'}
    working_dir: /tmp
";

fn one_offs(stack: &Stack) -> Vec<Row> {
    let mut rows = stack.ps();
    rows.retain(|row| row.name.contains("-run-"));
    rows
}

#[test]
fn exec_gives_the_program_s_exit_code_and_keeps_its_outputs_apart() {
    let stack = stack!(ONE);
    stack.up();
    let script = "echo out; echo err >&2; exit 42";
    let exec = stack.stack(&["exec", "-T", "one", "sh", "-c", script]);
    exec.fails_with(42).stdout_is("out\n").stderr_is("err\n");
    let exec = stack.stack(&["exec", "-T", "one", "sh", "-c", "kill -TERM $$"]);
    exec.fails_with(143);
}

#[test]
fn exec_has_the_container_s_settings_and_what_it_is_given() {
    let stack = stack!(ONE);
    stack.up();
    let print = [
        "one",
        "sh",
        "-c",
        "id -un; pwd; echo $OF_SERVICE $MINE $HOME",
    ];
    let plain = stack
        .stack(&[&["exec", "-T"][..], &print].concat())
        .succeeds();
    plain.stdout_is("root\n/tmp\nyes /root\n");
    let flags = ["exec", "-T", "-u", "user", "-w", "/home", "-e", "MINE=mine"];
    let changed = stack.stack(&[&flags[..], &print].concat()).succeeds();
    changed.stdout_is("user\n/home\nyes mine /home\n");
}

#[test]
fn exec_reads_standard_input_to_its_end() {
    let stack = stack!(ONE);
    stack.up();
    let input: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let exec = stack
        .stack_with_input(&["exec", "-T", "one", "md5sum"], &input)
        .succeeds();
    let mut child = std::process::Command::new("md5sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let expected = child.wait_with_output().unwrap().stdout;
    exec.stdout_is(&String::from_utf8(expected).unwrap());
}

#[test]
fn exec_of_much_output_loses_nothing() {
    let stack = stack!(ONE);
    stack.up();
    let exec = stack
        .stack(&["exec", "-T", "one", "seq", "1", "200000"])
        .succeeds();
    assert_eq!(exec.stdout.lines().count(), 200_000);
    assert!(exec.stdout.ends_with("\n200000\n"));
}

#[test]
fn exec_needs_a_service_that_runs_and_a_program_that_is_there() {
    let stack = stack!(ONE);
    let exec = stack.stack(&["exec", "-T", "one", "true"]).fails_with(1);
    exec.stderr_contains("one");
    stack.up();
    stack
        .stack(&["exec", "-T", "absent", "true"])
        .fails_with(1)
        .stderr_contains("absent");
    let exec = stack.stack(&["exec", "-T", "one", "no-such-program"]);
    exec.fails_with(127).stderr_contains("no-such-program");
    let exec = stack.stack(&["exec", "-T", "one", "/etc/passwd"]);
    exec.fails_with(126).stderr_contains("/etc/passwd");
}

#[test]
fn exec_in_the_background_returns_at_once() {
    let stack = stack!(ONE);
    stack.up();
    stack
        .stack(&["exec", "-d", "one", "sh", "-c", "echo done > /tmp/file"])
        .succeeds();
    eventually("it has run", || {
        let read = stack.stack(&["exec", "-T", "one", "cat", "/tmp/file"]);
        (read.stdout == "done\n").then_some(())
    });
}

#[test]
fn exec_in_a_replica_that_was_chosen() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000, scale: 2}}");
    stack.up();
    let hostname = |index: &str| {
        let exec = stack.stack(&["exec", "-T", "--index", index, "one", "hostname"]);
        exec.succeeds().stdout
    };
    for row in stack.ps() {
        let number = row.name.rsplit('-').next().unwrap();
        assert_eq!(hostname(number).trim(), &row.id[..12]);
    }
    stack
        .stack(&["exec", "-T", "--index", "3", "one", "true"])
        .fails_with(1);
}

#[test]
fn exec_in_a_terminal_is_a_terminal_inside() {
    let stack = stack!(ONE, needs: ["setsid"]);
    stack.up();
    let mut terminal = stack.in_terminal(&["exec", "one", "sh"]);
    terminal.type_in("test -t 0 && echo is-a-$((1))-terminal; stty size\n");
    terminal.wait_for("is-a-1-terminal");
    terminal.wait_for("24 80");
    // Ctrl-C is for the program inside, not for us.
    terminal.type_in("sleep 500\n");
    eventually("it sleeps", || {
        stack.exec("one", "ps").contains("sleep 500").then_some(())
    });
    terminal.interrupt();
    terminal.type_in("echo still-$((1))-here; exit 7\n");
    terminal.wait_for("still-1-here");
    assert_eq!(terminal.finish(), 7);
    eventually("nothing is left inside", || {
        (!stack.exec("one", "ps").contains("sleep 500")).then_some(())
    });
}

#[test]
fn run_makes_a_container_of_its_own_and_removes_it() {
    let stack = stack!(ONE);
    let arguments = [
        "run",
        "--rm",
        "-T",
        "one",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 9",
    ];
    let run = stack.stack(&arguments).fails_with(9);
    let run = run.stdout_is("out\n");
    assert!(run.stderr.lines().any(|line| line == "err"), "{run}");
    assert_eq!(stack.ps(), []);
}

#[test]
fn run_without_rm_keeps_its_container_and_down_takes_it() {
    let stack = stack!(ONE);
    stack.stack(&["run", "-T", "one", "true"]).succeeds();
    let rows = one_offs(&stack);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state.as_str(), rows[0].exit_code), ("exited", 0));
    stack.stack(&["ps", "-q"]).succeeds().stdout_is("");
    stack.up();
    assert_eq!(one_offs(&stack).len(), 1, "up leaves it alone");
    stack.down();
    assert!(stack.ps().is_empty());
}

#[test]
fn run_reads_what_is_piped_to_it() {
    let stack = stack!(ONE);
    let run = stack.stack_with_input(&["run", "--rm", "-T", "one", "cat"], b"piped\n");
    run.succeeds().stdout_is("piped\n");
    let input = vec![b'x'; 4 << 20];
    let run = stack.stack_with_input(&["run", "--rm", "-T", "one", "wc", "-c"], &input);
    run.succeeds().stdout_is("4194304\n");
}

#[test]
fn run_starts_what_the_service_needs_and_publishes_nothing() {
    let stack = stack!(
        "
services:
  db:
    image: busybox
    command: sh -c 'sleep 0.2; touch /tmp/ready; sleep 1000'
    healthcheck: {test: test -e /tmp/ready, interval: 1s}
  one:
    image: busybox
    command: sleep 1000
    ports: ['8080:80']
    depends_on: {db: {condition: service_healthy}}
"
    );
    let script = "ping -c 1 -W 1 db > /dev/null && echo reached";
    let run = stack.stack(&["run", "--rm", "-T", "one", "sh", "-c", script]);
    run.succeeds().stdout_is("reached\n");
    let db = stack.container("db");
    assert_eq!(
        (db.state.as_str(), db.health.as_str()),
        ("running", "healthy")
    );
    assert!(stack.replicas("one").is_empty());
    stack
        .stack(&["run", "-d", "one", "sleep", "1000"])
        .succeeds();
    assert!(
        one_offs(&stack)[0]
            .publishers
            .iter()
            .all(|port| port.published_port == 0)
    );
    stack.stack(&["down", "-t", "0"]).succeeds();
    stack
        .stack(&[
            "run",
            "-d",
            "--service-ports",
            "--no-deps",
            "one",
            "sleep",
            "1000",
        ])
        .succeeds();
    assert!(
        one_offs(&stack)[0]
            .publishers
            .iter()
            .any(|port| port.published_port == 8080)
    );
    assert!(stack.replicas("db").is_empty());
}

#[test]
fn run_takes_what_the_command_line_says() {
    let stack = stack!(ONE);
    stack.file("in/file", "mounted\n");
    let volume = format!("{}/in:/in:ro", stack.dir().display());
    let name = format!("own-{:08x}", fastrand::u32(..));
    let arguments = [
        "run",
        "--rm",
        "-T",
        "-e",
        "MINE=mine",
        "-u",
        "user",
        "-w",
        "/home",
        "-v",
        &volume,
        "--name",
        &name,
        "--entrypoint",
        "sh",
        "one",
        "-c",
        "id -un; pwd; echo $OF_SERVICE $MINE; cat /in/file",
    ];
    let run = stack.stack(&arguments).succeeds();
    run.stdout_is("user\n/home\nyes mine\nmounted\n");
}

#[test]
fn run_in_a_terminal_is_a_terminal_inside_and_ends_with_it() {
    let stack = stack!(ONE, needs: ["setsid"]);
    let mut terminal = stack.in_terminal(&["run", "--rm", "one", "sh"]);
    terminal.type_in("test -t 1 && echo is-a-$((1))-terminal\n");
    terminal.wait_for("is-a-1-terminal");
    terminal.type_in("exit 3\n");
    assert_eq!(terminal.finish(), 3);
    assert_eq!(stack.ps(), []);
}

#[test]
fn a_run_that_is_killed_leaves_its_container_to_down() {
    let stack = stack!(ONE);
    let running = stack.start(&["run", "--rm", "-T", "one", "sleep", "1000"]);
    eventually("it runs", || {
        one_offs(&stack)
            .first()
            .is_some_and(|row| row.state == "running")
            .then_some(())
    });
    running.signal(Signal::KILL);
    drop(running);
    stack.down();
    assert_eq!(stack.ps(), []);
}

#[test]
fn a_run_passes_an_interruption_on() {
    let stack = stack!(ONE);
    let script = "trap 'echo caught; exit 4' INT; echo up; while :; do sleep 0.02; done";
    let path = stack.dir().join("output");
    let running = stack.start_into(&["run", "--rm", "-T", "one", "sh", "-c", script], &path);
    let read = || std::fs::read_to_string(&path).unwrap();
    // The program may speak before the command has heard that it runs.
    eventually("it runs", || {
        let listed = one_offs(&stack)
            .first()
            .is_some_and(|row| row.state == "running");
        (listed && read().contains("up")).then_some(())
    });
    running.signal(Signal::INT);
    let output = running.finish();
    assert_eq!(output.code, 4, "{output}");
    assert!(read().contains("caught"), "{output}");
}
