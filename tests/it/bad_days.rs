//! Whatever is killed, damaged, full or missing: what ran still runs, and the next `up` converges.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::machine::run;
use crate::harness::{Stack, eventually, signal_to, stack};

const WEB: &str = "
services:
  web:
    image: busybox
    command: sh -c 'mkdir -p /www; echo answer > /www/index.html; httpd -f -p 80 -h /www'
    ports: ['8080:80']
    restart: always
    healthcheck: {test: test -e /www/index.html, interval: 100ms, retries: 2}
  other: {image: busybox, command: sleep 1000}
";

/// Kills the supervisor and waits until there is another one.
fn replace_supervisor(stack: &Stack) -> i32 {
    let first = eventually("a supervisor", || stack.supervisor());
    signal_to(first, Signal::KILL);
    eventually("another supervisor", || {
        stack.supervisor().filter(|pid| *pid != first)
    })
}

#[test]
fn a_supervisor_that_is_killed_comes_back_by_itself_and_containers_go_on() {
    let stack = stack!(WEB);
    stack.up();
    assert_eq!(stack.http(8080), "answer\n");
    let pids = (stack.pid("web"), stack.pid("other"));
    for _ in 0..3 {
        replace_supervisor(&stack);
        assert_eq!((stack.pid("web"), stack.pid("other")), pids);
        assert_eq!(stack.http(8080), "answer\n");
    }
    // Health goes on, names are answered, and restarts happen.
    stack.exec("web", "rm /www/index.html");
    stack.wait_for("web", |row| row.health == "unhealthy");
    eventually("a name is answered", || {
        let lookup = stack.stack(&[
            "exec",
            "-T",
            "other",
            "nslookup",
            "-type=a",
            "web",
            "127.0.0.11",
        ]);
        (lookup.code == 0).then_some(())
    });
    signal_to(pids.0, Signal::KILL);
    // It may still be listed as running when it has gone.
    stack.wait_for("web", |row| {
        row.state == "running" && stack.running_pid("web").is_some_and(|pid| pid != pids.0)
    });
    assert_eq!(stack.http(8080), "answer\n");
}

#[test]
fn a_supervisor_that_is_killed_again_and_again_during_up_and_down_loses_nothing() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: sleep 1000, scale: 3}
  two: {image: busybox, command: sleep 1000, depends_on: [one]}
"
    );
    for round in 0..4_u64 {
        let up = stack.start(&["up", "-d"]);
        let deadline = Duration::from_millis(20 + 25 * round);
        std::thread::sleep(deadline);
        if let Some(pid) = stack.supervisor() {
            signal_to(pid, Signal::KILL);
        }
        drop(up);
        stack.up();
        assert_eq!(
            stack
                .ps()
                .iter()
                .filter(|row| row.state == "running")
                .count(),
            4
        );
        let down = stack.start(&["down", "-t", "0"]);
        std::thread::sleep(deadline / 2);
        if let Some(pid) = stack.supervisor() {
            signal_to(pid, Signal::KILL);
        }
        drop(down);
        stack.stack(&["down", "-t", "0"]).succeeds();
        assert!(stack.ps().is_empty());
    }
}

#[test]
fn a_shim_that_is_killed_takes_its_container_along_and_the_policy_brings_it_back() {
    let stack = stack!(WEB);
    stack.up();
    let (pid, other) = (stack.pid("web"), stack.pid("other"));
    signal_to(stack.shim("web"), Signal::KILL);
    eventually("its program is gone", || {
        (!std::path::Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    stack.wait_for_state("web", "running");
    eventually("it runs again", || {
        (stack.http(8080) == "answer\n").then_some(())
    });
    // One without a policy stays down until it is asked for.
    signal_to(stack.shim("other"), Signal::KILL);
    stack.wait_for_state("other", "exited");
    stack.up();
    assert_ne!(stack.pid("other"), other);
}

#[test]
fn shim_and_supervisor_killed_at_once_are_made_good_by_the_next_up() {
    let stack = stack!(WEB);
    stack.up();
    let (supervisor, web, other) = (
        stack.supervisor().unwrap(),
        stack.shim("web"),
        stack.shim("other"),
    );
    for pid in [supervisor, web, other] {
        signal_to(pid, Signal::KILL);
    }
    // A signal takes its time on a busy machine; what ended only after `up` is not its matter.
    eventually("they have ended", || {
        let left = stack.processes();
        let ended = [supervisor, web, other]
            .iter()
            .all(|pid| !left.contains(pid));
        ended.then_some(())
    });
    stack.up();
    assert_eq!(stack.http(8080), "answer\n");
    assert_eq!(stack.container("other").state, "running");
}

#[test]
fn up_that_is_killed_in_the_middle_is_finished_by_the_next() {
    let stack = stack!(WEB);
    for wait in [1, 5, 10, 20, 40, 80] {
        let up = stack.start(&["up", "-d"]);
        std::thread::sleep(Duration::from_millis(wait));
        up.signal(Signal::KILL);
        drop(up);
        stack.up();
        assert_eq!(stack.container("web").state, "running");
        assert_eq!(stack.container("other").state, "running");
        stack.stack(&["down", "-t", "0"]).succeeds();
    }
}

#[test]
fn after_a_reboot_up_brings_everything_back() {
    let stack = stack!(
        "
services:
  web:
    image: busybox
    command: sh -c 'mkdir -p /www; cat /data/kept > /www/index.html; echo kept > /data/kept; httpd -f -p 80 -h /www'
    ports: ['8080:80']
    volumes: ['data:/data']
  other: {image: busybox, command: sleep 1000}
volumes: {data: }
"
    );
    stack.up();
    stack.http(8080);
    // Everything ends at once, and what the kernel had is gone. A shim may start a supervisor before it ends.
    eventually("all have ended", || {
        let left = stack.processes();
        for pid in &left {
            signal_to(*pid, Signal::KILL);
        }
        left.is_empty().then_some(())
    });
    let bridges = run("ip", ["-br", "link", "show", "type", "bridge"]);
    for bridge in bridges
        .lines()
        .filter_map(|line| line.split_whitespace().next())
    {
        run("ip", ["link", "del", bridge]);
    }
    run("nft", ["flush", "ruleset"]);
    let run_time = stack.root().join("run");
    fs::remove_dir_all(&run_time).unwrap();
    assert_eq!(stack.container("other").state, "exited");
    stack.up();
    assert_eq!(stack.http(8080), "kept\n");
    assert_eq!(stack.container("other").state, "running");
    assert_eq!(stack.ps().len(), 2);
}

#[test]
fn two_at_once_do_not_get_in_each_other_s_way() {
    let stack = stack!(WEB);
    let commands: Vec<_> = (0..4).map(|_| stack.start(&["up", "-d"])).collect();
    for command in commands {
        let output = command.finish();
        assert_eq!(output.code, 0, "{output}");
    }
    assert_eq!(stack.ps().len(), 2);
    let (up, down) = (
        stack.start(&["up", "-d", "--force-recreate"]),
        stack.start(&["down", "-t", "0"]),
    );
    up.finish();
    down.finish();
    stack.up();
    assert_eq!(
        stack
            .ps()
            .iter()
            .filter(|row| row.state == "running")
            .count(),
        2
    );
}

#[test]
fn a_damaged_file_is_named_in_the_log_and_everything_else_goes_on() {
    let stack = stack!(WEB);
    stack.up();
    let id = stack.container("other").id;
    let web = stack.pid("web");
    let path = stack
        .root()
        .join("containers")
        .join(&id)
        .join("status.json");
    fs::write(&path, "{\"version\": 1, \"restart").unwrap();
    signal_to(stack.supervisor().unwrap(), Signal::KILL);
    stack.up();
    assert_eq!(stack.pid("web"), web);
    assert_eq!(stack.container("other").state, "running");
}

#[test]
fn a_damaged_record_of_a_container_says_which_file_and_what_to_do() {
    let stack = stack!(
        "services: {one: {image: busybox, command: sleep 1000}, two: {image: busybox, command: sleep 1000}}"
    );
    stack.stack(&["create"]).succeeds();
    stack.wait_for_quiet();
    let id = stack.container("one").id;
    let path = stack
        .root()
        .join("containers")
        .join(&id)
        .join("container.json");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let ps = stack.stack(&["ps", "-a"]);
    assert!(
        ps.stdout.contains(&stack.name("two", 1)) || ps.stderr.contains("container.json"),
        "{ps}"
    );
    // Whole again, it is as before.
    fs::write(&path, whole).unwrap();
    stack.up();
    assert_eq!(stack.container("one").id, id);
}

#[test]
fn an_image_that_is_missing_names_service_cause_and_remedy() {
    let stack = stack!(
        "services:\n  one:\n    image: localhost:1/absent:2\n  two: {image: busybox, command: sleep 1000}\n"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("one")
        .stderr_contains("stack.yaml:3")
        .stderr_contains("localhost:1/absent:2")
        .stderr_contains("stack image import");
    let never = stack.stack(&["up", "-d", "--pull", "never"]).fails_with(1);
    never.stderr_contains("localhost:1/absent:2");
    assert!(stack.ps().is_empty());
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once_with_their_places() {
    let stack = stack!(
        "services:
  one:
    imge: busybox
    image: busybox
    ports: ['99999:80']
    mem_limit: lots
    depends_on: [absent]
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    let up = up.stderr_contains("stack.yaml:3").stderr_contains("image");
    let up = up.stderr_contains("stack.yaml:5").stderr_contains("99999");
    let up = up.stderr_contains("stack.yaml:6").stderr_contains("lots");
    up.stderr_contains("stack.yaml:7").stderr_contains("absent");
    // Docker Compose prints such a policy; it is running it that cannot be done.
    stack.file(
        "stack.yaml",
        "services: {one: {image: busybox, restart: sometimes}}",
    );
    stack.stack(&["config", "-q"]).succeeds();
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("stack.yaml:1")
        .stderr_contains("sometimes");
    assert!(stack.left_behind().is_empty(), "{:#?}", stack.left_behind());
}

#[test]
fn a_dependency_that_is_not_there_is_an_error_with_its_place() {
    let stack = stack!("services:\n  one:\n    image: busybox\n    depends_on: [absent]\n");
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("absent").stderr_contains("stack.yaml:4");
}

#[test]
fn no_yaml_at_all_and_no_file_at_all_are_errors() {
    let stack = stack!("services: {one: [");
    stack
        .stack(&["up", "-d"])
        .fails_with(1)
        .stderr_contains("stack.yaml:");
    fs::remove_file(stack.dir().join("stack.yaml")).unwrap();
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("stack.yaml");
    stack.stack(&["up", "-f"]).fails_with(1);
}

#[test]
fn what_runs_goes_on_when_the_file_becomes_invalid() {
    let stack = stack!(WEB);
    stack.up();
    let pid = stack.pid("web");
    stack.file("stack.yaml", "services: {web: {imag: x}}");
    stack.stack(&["up", "-d"]).fails_with(1);
    assert_eq!(stack.http(8080), "answer\n");
    stack.file("stack.yaml", WEB);
    stack.up();
    assert_eq!(stack.pid("web"), pid);
}

#[test]
fn somebody_without_rights_is_told_so() {
    let stack = stack!(WEB, needs: ["setpriv"]);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(stack.root().parent().unwrap(), open).unwrap();
    let output = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(env!("CARGO_BIN_EXE_stack"))
        .args(["up", "-d"])
        .current_dir(stack.dir())
        .env("STACK_ROOT", stack.root())
        .env("COMPOSE_PROJECT_NAME", stack.project())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("root"), "{text}");
    assert!(stack.ps().is_empty());
}

#[test]
fn a_full_disk_is_said_and_what_runs_goes_on() {
    let stack = stack!(
        "
services:
  talker: {image: busybox, command: sh -c 'i=0; while :; do i=$$((i+1)); echo $$i > /dev/shm/count; echo number $$i; sleep 0.01; done'}
"
    );
    let disk = stack.small_disk(24);
    stack.up();
    stack.wait_for_log("talker", "number 3");
    let filler = disk.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    let block = vec![0_u8; 64 << 10];
    while std::io::Write::write_all(&mut file, &block).is_ok() {}
    let pid = stack.pid("talker");
    let count = || -> u64 {
        stack
            .exec("talker", "cat /dev/shm/count")
            .trim()
            .parse()
            .unwrap_or(0)
    };
    let before = count();
    eventually("it is not held up", || {
        (count() > before + 20).then_some(())
    });
    stack.file(
        "stack.yaml",
        "
services:
  talker: {image: busybox, command: sh -c 'i=0; while :; do i=$$((i+1)); echo $$i > /dev/shm/count; echo number $$i; sleep 0.01; done'}
  second: {image: busybox, command: sleep 1000}
",
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("o space left");
    assert_eq!(stack.pid("talker"), pid);
    drop(file);
    fs::remove_file(&filler).unwrap();
    stack.up();
    assert_eq!(stack.container("second").state, "running");
    assert_eq!(stack.pid("talker"), pid);
}
