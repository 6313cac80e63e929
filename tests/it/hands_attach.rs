//! `attach`, and what `run` and `exec` have beyond the ordinary.

use rustix::process::Signal;

use crate::harness::{Row, Stack, eventually, stack};

const STREAMS: &str = "
services:
  one:
    image: busybox
    stdin_open: true
    command: [sh, -c, 'trap \"echo hup\" HUP; trap \"echo term; exit 9\" TERM; echo up; while true; do read -t 1 x && echo got $$x || echo tick; [ \"$$x\" = end ] && exit 7; done']
";

const TERMINAL: &str = "
services:
  one: {image: busybox, stdin_open: true, tty: true, command: sh}
";

fn one_offs(stack: &Stack) -> Vec<Row> {
    let mut rows = stack.ps();
    rows.retain(|row| row.name.contains("-run-"));
    rows
}

#[test]
fn attach_joins_the_streams_and_ends_with_the_program() {
    let stack = stack!(STREAMS);
    stack.up();
    stack.wait_for_log("one", "up");
    let attached = |name: &str, flags: &[&str]| {
        let path = stack.dir().join(name);
        let arguments = [&["attach"][..], flags, &["one"]].concat();
        let running = stack.start_into(&arguments, &path);
        wait_for(&path, "tick\n");
        (running, path)
    };
    let (first, said) = attached("first", &[]);
    let (second, _) = attached("second", &[]);
    second.signal(Signal::HUP);
    wait_for(&said, "hup\n");
    // The end of one caller is not that of the program, and neither is the end of its input.
    drop(attached("third", &["--no-stdin"]));
    drop(attached("fourth", &[]));
    let end = stack.stack_with_input(&["attach", "one"], b"hello\nend\n");
    let end = end.fails_with(7).stdout_contains("got hello\n");
    end.stdout_contains("got end\n");
    first.finish().fails_with(7);
    second.finish().fails_with(7);
    wait_for(&said, "got hello\n");
    stack.down();
}

/// Waits until a file has this text in it.
fn wait_for(path: &std::path::Path, text: &str) {
    eventually(text, || {
        let found = std::fs::read_to_string(path).unwrap();
        found.contains(text).then_some(())
    });
}

#[test]
fn attach_without_a_proxy_ends_alone() {
    let stack = stack!(STREAMS);
    stack.up();
    let path = stack.dir().join("said");
    let flags = ["attach", "--sig-proxy=false", "--no-stdin", "one"];
    let alone = stack.start_into(&flags, &path);
    wait_for(&path, "tick\n");
    alone.signal(Signal::TERM);
    alone.finish().fails_with(143);
    assert_eq!(stack.container("one").state, "running");
    let path = stack.dir().join("passed");
    let passed = stack.start_into(&["attach", "--no-stdin", "one"], &path);
    wait_for(&path, "tick\n");
    passed.signal(Signal::TERM);
    passed.finish().fails_with(9);
    stack.wait_for("one", |row| row.exit_code == 9);
    stack.down();
}

#[test]
fn attach_needs_a_container_that_runs() {
    let stack = stack!(STREAMS);
    stack
        .stack(&["attach", "one"])
        .fails_with(1)
        .stderr_contains("service \"one\" is not running");
    stack.up();
    stack
        .stack(&["attach", "--index", "3", "one"])
        .fails_with(1)
        .stderr_contains("is not running container #3");
    stack.stack(&["pause"]).succeeds();
    stack
        .stack(&["attach", "one"])
        .fails_with(1)
        .stderr_contains("cannot attach to a paused container");
    stack.stack(&["unpause"]).succeeds();
    stack
        .stack(&["attach", "--detach-keys", "nonsense", "one"])
        .fails_with(1)
        .stderr_contains("nonsense");
    stack.stack(&["down", "-t", "0"]).succeeds();
}

#[test]
fn attach_to_a_terminal_can_be_left_and_taken_up_again() {
    let stack = stack!(TERMINAL, needs: ["setsid"]);
    stack.up();
    stack
        .stack(&["attach", "one"])
        .fails_with(1)
        .stderr_contains(
            "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
        );
    let mut first = stack.in_terminal(&["attach", "one"]);
    first.type_in("stty size; HELD=kept-$((1))\n");
    first.wait_for("24 80");
    // The first key alone is for the program.
    first.type_in("\x10x\x15");
    first.type_in("\x10\x11");
    assert_eq!(first.finish(), 1);
    first.wait_for("read escape sequence");
    assert_eq!(stack.container("one").state, "running");
    let mut second = stack.in_terminal(&["attach", "--detach-keys", "ctrl-a,d", "one"]);
    second.type_in("echo $HELD\n");
    second.wait_for("kept-1");
    second.type_in("\x01d");
    assert_eq!(second.finish(), 1);
    let mut third = stack.in_terminal(&["attach", "one"]);
    // Control-C is the program's: the shell goes on.
    third.type_in("echo third-$((1))\n");
    third.wait_for("third-1");
    third.type_in("sleep 500\n");
    eventually("it sleeps", || {
        let ps = stack.exec("one", "ps");
        ps.contains("sleep 500").then_some(())
    });
    third.interrupt();
    third.type_in("exit 5\n");
    assert_eq!(third.finish(), 5);
    stack.down();
}

#[test]
fn a_run_in_a_terminal_can_be_left_and_goes_on() {
    let stack = stack!("services: {one: {image: busybox}}", needs: ["setsid"]);
    let mut terminal = stack.in_terminal(&["run", "--rm", "one", "sh"]);
    terminal.type_in("echo up-$((1)); stty size\n");
    terminal.wait_for("up-1");
    terminal.wait_for("24 80");
    terminal.type_in("\x10\x11");
    assert_eq!(terminal.finish(), 0);
    assert_eq!(one_offs(&stack)[0].state, "running");
    let mut again = stack.in_terminal(&["attach", "one"]);
    again.type_in("exit 4\n");
    assert_eq!(again.finish(), 4);
    eventually("it is removed", || {
        one_offs(&stack).is_empty().then_some(())
    });
    stack.down();
}

#[test]
fn exec_prefers_the_service_s_container_to_a_one_off() {
    let stack = stack!("services: {test: {image: busybox, command: tail -f /dev/null}}");
    stack.stack(&["run", "-d", "test", "cat"]).succeeds();
    assert_eq!(one_offs(&stack)[0].state, "running", "its input stays open");
    let exec = stack
        .stack(&["exec", "--index=1", "test", "ps"])
        .fails_with(1);
    exec.stderr_contains("service \"test\" is not running container #1");
    stack
        .stack(&["exec", "test", "ps"])
        .succeeds()
        .stdout_contains("cat");
    stack.up();
    stack
        .stack(&["exec", "test", "ps"])
        .succeeds()
        .stdout_contains("tail");
    stack.down();
}

#[test]
fn exec_ends_with_126_when_the_program_cannot_be_run_as_told() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    stack.up();
    for flags in [["-u", "nobody-knows"], ["-w", "/not/there"]] {
        let exec = stack.stack(&[&["exec", "-T"][..], &flags, &["one", "true"]].concat());
        exec.fails_with(126).stderr_contains(flags[1]);
    }
    stack
        .stack(&["exec", "one", "tty"])
        .fails_with(1)
        .stdout_is("not a tty\n");
    stack.stack(&["exec", "-it", "one", "true"]).succeeds();
    let stack = stack.with_env("PASSED", "on");
    stack
        .stack(&["exec", "-e", "PASSED", "-e", "NOT_SET", "one", "env"])
        .succeeds()
        .stdout_contains("PASSED=on\n")
        .stdout_lacks("NOT_SET");
    stack
        .stack(&[
            "exec",
            "--privileged",
            "-T",
            "one",
            "grep",
            "CapEff",
            "/proc/self/status",
        ])
        .succeeds()
        .stdout_contains("1ff");
    stack.down();
}

#[test]
fn a_one_off_has_the_labels_and_the_name_of_compose() {
    let stack = stack!("services: {one: {image: busybox, command: 'true', labels: {a: b, c: d}}}");
    stack
        .stack(&["run", "-T", "-l", "a=x", "--label", "e=f", "one"])
        .succeeds();
    let name = one_offs(&stack)[0].name.clone();
    let labels = stack.inspect(&name)["Config"]["Labels"].clone();
    let slug = labels["com.docker.compose.slug"].as_str().unwrap();
    assert_eq!(
        (slug.len(), name),
        (64, format!("{}-one-run-{}", stack.project(), &slug[..12]))
    );
    assert_eq!(labels["com.docker.compose.oneoff"], "True");
    assert_eq!(labels.get("com.docker.compose.container-number"), None);
    assert_eq!([&labels["a"], &labels["c"], &labels["e"]], ["x", "d", "f"]);
    stack
        .stack(&["run", "-T", "--name", "chosen", "one"])
        .succeeds()
        .stderr_contains("Container chosen Created");
    stack
        .stack(&["run", "-T", "--name", "chosen", "one"])
        .fails_with(1)
        .stderr_contains("chosen");
    stack.down();
}

#[test]
fn run_says_which_orphans_there_are_and_can_remove_them() {
    let both = "services: {one: {image: busybox, command: 'true'}, old: {image: busybox, command: sleep 1000}}";
    let stack = stack!(both);
    stack
        .stack(&["run", "-T", "one"])
        .succeeds()
        .stderr_lacks("orphan");
    let name = one_offs(&stack)[0].name.clone();
    stack
        .stack(&["run", "-T", "--rm", "one"])
        .succeeds()
        .stderr_contains(&format!("Found orphan containers ({name})"));
    stack.stack(&["up", "-d", "old"]).succeeds();
    stack.file(
        "stack.yaml",
        "services: {one: {image: busybox, command: 'true'}}",
    );
    let stack = stack.with_env("COMPOSE_IGNORE_ORPHANS", "True");
    stack
        .stack(&["run", "-T", "--rm", "one"])
        .succeeds()
        .stderr_lacks("orphan");
    stack
        .stack(&["run", "-T", "--rm", "--remove-orphans", "one"])
        .succeeds();
    assert_eq!(stack.ps(), []);
    stack.down();
}

#[test]
fn run_takes_variables_of_files_capabilities_and_other_names_of_its_flags() {
    let stack = stack!(
        "services: {one: {image: busybox, command: env, environment: {A: '1', B: '2'}, ports: ['8082:80']}}"
    );
    stack
        .file(
            "vars",
            "# a comment\nC=3\nA=9\nQ=\"two words\"\nexport X='$A'\n",
        )
        .file("in/f", "f\n");
    let flags = [
        "run",
        "--rm",
        "-T",
        "--env-from-file",
        "vars",
        "-e",
        "A=5",
        "-e",
        "B",
        "-e",
        "NONE",
        "one",
    ];
    let run = stack.stack(&flags).succeeds();
    let run = run
        .stdout_contains("A=5\n")
        .stdout_contains("B=2\n")
        .stdout_contains("C=3\n");
    run.stdout_contains("Q=two words\n")
        .stdout_contains("X=$A\n")
        .stdout_lacks("NONE");
    stack
        .stack(&["run", "--rm", "-T", "--env-from-file", "absent", "one"])
        .fails_with(1)
        .stderr_contains("absent");
    let flags = [
        "run",
        "--rm",
        "-T",
        "--cap-drop",
        "ALL",
        "--cap-add",
        "NET_ADMIN",
        "one",
        "grep",
        "CapEff",
        "/proc/self/status",
    ];
    stack
        .stack(&flags)
        .succeeds()
        .stdout_is("CapEff:\t0000000000001000\n");
    let volume = format!("{}/in:/foo", stack.dir().display());
    stack
        .stack(&[
            "run",
            "--rm",
            "-T",
            "--volumes",
            &volume,
            "--labels",
            "a=b",
            "one",
            "ls",
            "/foo",
        ])
        .succeeds()
        .stdout_is("f\n");
    for (flags, said) in [
        (
            ["-P", "-p", "1:1"].as_slice(),
            "--service-ports and --publish are incompatible",
        ),
        (&["-l", "foo"], "label must be set as KEY=VALUE"),
        (&["--entrypoint", ""], "No command specified"),
        (
            &["-it"],
            "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
        ),
    ] {
        let run = stack
            .stack(&[&["run", "--rm"][..], flags, &["one"]].concat())
            .fails_with(1);
        run.stderr_contains(said);
    }
    stack
        .stack(&["run", "-d", "--publish", "8081:80", "one", "sleep", "1000"])
        .succeeds();
    let ports: Vec<u16> = one_offs(&stack)[0]
        .publishers
        .iter()
        .map(|port| port.published_port)
        .collect();
    assert!(ports.contains(&8081) && !ports.contains(&8082), "{ports:?}");
    stack.stack(&["down", "-t", "0"]).succeeds();
}

#[test]
fn run_without_input_has_none_and_quiet_says_nothing() {
    let stack = stack!(
        "services: {dep: {image: busybox, command: sleep 1000}, one: {image: busybox, depends_on: [dep]}}"
    );
    let input = b"typed\n";
    let run = stack.stack_with_input(&["run", "--rm", "-i=false", "one", "cat"], input);
    run.succeeds().stdout_is("");
    let run = stack.stack_with_input(&["run", "--rm", "-q", "one", "cat"], input);
    run.succeeds().stdout_is("typed\n").stderr_is("");
    stack.stack(&["down", "-t", "0"]).succeeds();
}

#[test]
fn the_keys_that_let_go_are_those_of_docker_s_configuration() {
    let stack = stack!(TERMINAL, needs: ["setsid"]);
    stack.up();
    stack.file("docker/config.json", r#"{"detachKeys": "ctrl-a,x"}"#);
    let config = stack.dir().join("docker").display().to_string();
    let stack = stack.with_env("DOCKER_CONFIG", &config);
    for arguments in [&["attach", "one"][..], &["exec", "one", "sh"]] {
        let mut terminal = stack.in_terminal(arguments);
        terminal.type_in("echo $((40 + 2))\r");
        // Said by the program: by now its terminal is joined to ours.
        terminal.wait_for("42\r\n");
        // The usual ones are keys like any other.
        terminal.type_in("\x10\x11");
        terminal.type_in("\x01x");
        assert_eq!(terminal.finish(), 1, "{}", terminal.text());
        let text = terminal.text();
        assert!(text.contains("read escape sequence"), "{text}");
    }
    assert_eq!(stack.container("one").state, "running");
}
