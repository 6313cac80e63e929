//! What a stack file sets, as the program inside sees it.

use crate::harness::{Stack, eventually, stack};

/// A service that runs until it is stopped, with these keys.
fn sleeper(keys: &str) -> String {
    format!("services:\n  one:\n    image: busybox\n    command: sleep 1000\n{keys}\n")
}

/// A service that runs a script once, with these keys.
fn script(script: &str, keys: &str) -> String {
    let script = serde_json::to_string(script).unwrap();
    format!("services:\n  one:\n    image: busybox\n    command: [sh, -c, {script}]\n{keys}\n")
}

/// What the program of `one` has written when it has ended well.
#[track_caller]
fn output(stack: &Stack) -> String {
    stack.up();
    let one = stack.wait_for_state("one", "exited");
    let logs = stack.logs("one");
    assert_eq!(one.exit_code, 0, "{logs}{:#?}", stack.stack(&["logs"]));
    logs
}

#[test]
fn the_environment_comes_from_the_file_its_env_files_and_the_caller() {
    let stack = stack!(script(
        "env | sort",
        "
    env_file: [one.env]
    environment:
      WRITTEN: ${FROM_DOTENV}/${UNSET:-default}
      OVERRIDDEN: by environment
      FROM_CALLER:
      ABSENT:
      DOLLAR: $$HOME"
    ))
    .with_env("FROM_CALLER", "called");
    stack.file(".env", "FROM_DOTENV=dotenv\n");
    stack.file("one.env", "FROM_FILE='a b'\nOVERRIDDEN=by file\n");
    let output = output(&stack);
    let lines: Vec<&str> = output.lines().collect();
    for line in [
        "WRITTEN=dotenv/default",
        "OVERRIDDEN=by environment",
        "FROM_CALLER=called",
        "FROM_FILE=a b",
        "DOLLAR=$HOME",
    ] {
        assert!(lines.contains(&line), "{line} is not in {output}");
    }
    assert!(!output.contains("ABSENT"), "{output}");
    assert!(
        !output.contains("STACK_ROOT"),
        "nothing of the host's environment: {output}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("PATH=/usr/local/sbin")),
        "{output}"
    );
}

#[test]
fn an_image_s_settings_hold_where_the_file_says_nothing() {
    let stack = stack!(
        "
services:
  plain: {image: configured}
  command: {image: configured, command: of file}
  own: {image: configured, entrypoint: [sh, -c, 'id -un; pwd; echo $$FROM_IMAGE $$OVERRIDDEN'], environment: {OVERRIDDEN: file}}
  other: {image: configured, user: root, working_dir: /tmp, entrypoint: [sh, -c, 'id -un; pwd']}
"
    );
    stack.up();
    for (service, expected) in [
        ("plain", "entry from image\n"),
        ("command", "entry of file\n"),
        ("own", "user\n/data\nyes file\n"),
        ("other", "root\n/tmp\n"),
    ] {
        stack.wait_for_state(service, "exited");
        assert_eq!(stack.logs(service), expected, "{service}");
    }
    let labels = stack.inspect(&stack.name("plain", 1))["Config"]["Labels"].clone();
    assert_eq!(labels["of-image"], "yes");
}

#[test]
fn a_user_by_name_has_its_groups() {
    let stack = stack!(script(
        "id -u; id -g; id -G; echo $$HOME",
        "    user: user\n    group_add: ['3000']"
    ));
    assert_eq!(output(&stack), "1000\n1000\n1000 2000 3000\n/home\n");
}

#[test]
fn a_user_that_the_image_does_not_have_is_an_error() {
    let stack = stack!(sleeper("    user: nobody-here"));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("nobody-here");
}

#[test]
fn a_hostname_and_a_missing_working_directory_are_made() {
    let stack = stack!(script(
        "hostname; pwd; cat /etc/hostname",
        "    hostname: box\n    working_dir: /not/there/yet"
    ));
    assert_eq!(output(&stack), "box\n/not/there/yet\nbox\n");
}

#[test]
fn labels_of_the_file_are_on_the_container_beside_those_of_compose() {
    let stack = stack!(sleeper("    labels: {mine: 'yes'}"));
    stack.up();
    let labels = stack.inspect(&stack.name("one", 1))["Config"]["Labels"].clone();
    assert_eq!(labels["mine"], "yes");
    assert_eq!(labels["com.docker.compose.project"], stack.project());
    assert_eq!(labels["com.docker.compose.service"], "one");
    assert_eq!(labels["com.docker.compose.oneoff"], "False");
    assert_eq!(labels["com.docker.compose.container-number"], "1");
}

#[test]
fn a_tmpfs_is_empty_and_of_the_size_that_was_asked_for() {
    let stack = stack!(script(
        "ls -A /scratch | wc -l; grep /scratch /proc/mounts; dd if=/dev/zero of=/scratch/big bs=1M count=4 2>&1 | grep -c 'No space'; ls -A /data",
        "    tmpfs: ['/scratch:size=2m,mode=700']\n    volumes: [{type: tmpfs, target: /data}]"
    ));
    let output = output(&stack);
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "0");
    assert!(
        lines[1].contains("tmpfs") && lines[1].contains("size=2048k"),
        "{output}"
    );
    assert!(lines[1].contains("mode=700"), "{output}");
    assert_eq!(lines[2..], ["1"], "{output}");
}

#[test]
fn a_bind_mount_shows_the_host_s_files_and_ro_keeps_them() {
    let stack = stack!(script(
        "exec 2>/dev/null; cat /in/file; echo changed > /in/file; echo new > /out/file; (echo x > /in/other) 2>/dev/null || echo refused",
        "    volumes: ['./in:/in:ro', './out:/out']"
    ));
    stack.file("in/file", "from the host\n");
    assert_eq!(output(&stack), "from the host\nrefused\n");
    let read = |path: &str| std::fs::read_to_string(stack.dir().join(path)).unwrap();
    assert_eq!(read("in/file"), "from the host\n");
    // The source was not there: it is made, as Docker Compose does.
    assert_eq!(read("out/file"), "new\n");
}

#[test]
fn a_file_can_be_mounted_onto_a_path_that_is_not_there() {
    let stack = stack!(script(
        "cat /deep/inside/file",
        "    volumes: ['./file:/deep/inside/file:ro']"
    ));
    stack.file("file", "content\n");
    assert_eq!(output(&stack), "content\n");
}

#[test]
fn a_missing_bind_source_that_may_not_be_made_is_an_error_that_names_it() {
    let stack = stack!(sleeper(
        "    volumes: [{type: bind, source: ./absent, target: /in, bind: {create_host_path: false}}]"
    ));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("absent");
}

#[test]
fn a_named_volume_is_filled_from_the_image_once_and_kept() {
    let stack = stack!(
        "
services:
  one:
    image: seeded
    command: sh -c 'ls -ldn /data | cut -c1-30; cat /data/link; echo changed > /data/seed'
    volumes: [data:/data]
  empty:
    image: seeded
    command: ls -A /data
    volumes: [{type: volume, source: bare, target: /data, volume: {nocopy: true}}]
volumes: {data: , bare: }
"
    );
    let first = output(&stack);
    assert!(
        first.starts_with("drwxr-x---") && first.contains("1000"),
        "{first}"
    );
    assert!(first.ends_with("from the image\n"), "{first}");
    stack.wait_for_state("empty", "exited");
    assert_eq!(stack.logs("empty"), "");
    stack.down();
    assert!(output(&stack).ends_with("changed\n"));
}

#[test]
fn two_services_share_a_volume() {
    let stack = stack!(
        "
services:
  writer: {image: busybox, command: sh -c 'echo shared > /a/file', volumes: ['data:/a']}
  reader:
    image: busybox
    command: cat /b/file
    volumes: ['data:/b:ro']
    depends_on: {writer: {condition: service_completed_successfully}}
volumes: {data: }
"
    );
    stack.up();
    stack.wait_for_log("reader", "shared");
}

#[test]
fn a_volume_without_a_name_is_kept_when_its_container_is_replaced() {
    let stack = stack!(
        "services: {one: {image: anonymous, command: sh -c 'cat /data/seed; echo kept > /data/seed; sleep 1000'}}"
    );
    stack.up();
    stack.wait_for_log("one", "from the image");
    let id = stack.container("one").id;
    stack.stack(&["up", "-d", "--force-recreate"]).succeeds();
    assert_ne!(stack.container("one").id, id);
    stack.wait_for_log("one", "kept");
    let volumes = || {
        std::fs::read_dir(stack.root().join("volumes"))
            .unwrap()
            .count()
    };
    assert_eq!(volumes(), 1);
    stack.stack(&["down", "-v"]).succeeds();
    assert_eq!(volumes(), 0);
}

#[test]
fn an_external_volume_is_used_and_never_removed() {
    let stack = stack!(
        "
services: {one: {image: busybox, command: sleep 1000, volumes: ['data:/data']}}
volumes: {data: {external: true, name: not-there}}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("not-there");
}

#[test]
fn a_read_only_root_refuses_writes_but_not_on_its_volumes() {
    let stack = stack!(script(
        "(echo x > /file) 2>/dev/null || echo refused; echo x > /scratch/file && echo written",
        "    read_only: true\n    tmpfs: [/scratch]"
    ));
    assert_eq!(output(&stack), "refused\nwritten\n");
}

#[test]
fn limits_of_the_process_are_set() {
    let stack = stack!(script(
        "ulimit -n; ulimit -Hn; ulimit -u",
        "    ulimits: {nofile: {soft: 1000, hard: 2000}, nproc: 500}"
    ));
    assert_eq!(output(&stack), "1000\n2000\n500\n");
}

#[test]
fn kernel_settings_of_the_namespace_are_set() {
    let stack = stack!(script(
        "cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax",
        "    sysctls: {net.core.somaxconn: 777, kernel.msgmax: '16384'}"
    ));
    assert_eq!(output(&stack), "777\n16384\n");
}

#[test]
fn a_kernel_setting_of_the_whole_machine_is_refused() {
    let stack = stack!(sleeper("    sysctls: {kernel.panic: 5}"));
    stack
        .stack(&["up", "-d"])
        .fails_with(1)
        .stderr_contains("kernel.panic");
}

/// Capabilities, as the kernel numbers them.
const CHOWN: u64 = 1;
const NET_ADMIN: u64 = 1 << 12;
const SYS_ADMIN: u64 = 1 << 21;

fn effective(stack: &Stack, service: &str) -> u64 {
    stack.wait_for_state(service, "exited");
    let logs = stack.logs(service);
    u64::from_str_radix(logs.trim(), 16).unwrap_or_else(|error| panic!("{error}: {logs}"))
}

#[test]
fn capabilities_are_added_and_dropped() {
    let stack = stack!(
        "
x-print: &print
  image: busybox
  command: sh -c 'grep CapEff /proc/self/status | cut -f2'
services:
  plain: {<<: *print}
  changed: {<<: *print, cap_add: [NET_ADMIN], cap_drop: [CAP_CHOWN]}
  none: {<<: *print, cap_drop: [ALL]}
  all: {<<: *print, privileged: true}
"
    );
    stack.up();
    let plain = effective(&stack, "plain");
    assert_eq!(plain & (CHOWN | NET_ADMIN | SYS_ADMIN), CHOWN, "{plain:x}");
    let changed = effective(&stack, "changed");
    assert_eq!(changed, plain & !CHOWN | NET_ADMIN, "{changed:x}");
    assert_eq!(effective(&stack, "none"), 0);
    assert_eq!(effective(&stack, "all") & SYS_ADMIN, SYS_ADMIN);
}

#[test]
fn only_a_privileged_container_sees_the_machine_s_devices_and_may_mount() {
    let stack = stack!(
        "
x-try: &try
  image: busybox
  command: sh -c 'mkdir -p /m; mount -t tmpfs none /m 2>/dev/null && echo mounted || echo refused; test -e /dev/loop-control && echo devices; touch /proc/sys/kernel/panic 2>/dev/null && echo writable; true'
services:
  plain: {<<: *try}
  privileged: {<<: *try, privileged: true}
"
    );
    stack.up();
    stack.wait_for_state("plain", "exited");
    stack.wait_for_state("privileged", "exited");
    assert_eq!(stack.logs("plain"), "refused\n");
    let logs = stack.logs("privileged");
    assert!(
        logs.contains("mounted") && logs.contains("writable"),
        "{logs}"
    );
}

#[test]
fn a_terminal_is_given_when_asked_for() {
    let stack = stack!(script("test -t 1 && echo terminal; tty", "    tty: true"));
    let output = output(&stack);
    assert!(
        output.contains("terminal") && output.contains("/dev/pts/0"),
        "{output}"
    );
}

#[test]
fn extra_hosts_and_name_servers_are_in_the_files_of_the_resolver() {
    let stack = stack!(script(
        "grep -w -e one.example -e two.example /etc/hosts; cat /etc/resolv.conf",
        "
    extra_hosts: ['one.example:192.0.2.1', 'two.example=192.0.2.2']
    dns: [192.0.2.53]
    dns_search: [example.org]
    dns_opt: [ndots:3]"
    ));
    let output = output(&stack);
    let words: Vec<Vec<&str>> = output
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(
        words.contains(&vec!["192.0.2.1", "one.example"]),
        "{output}"
    );
    assert!(
        words.contains(&vec!["192.0.2.2", "two.example"]),
        "{output}"
    );
    assert!(
        words.contains(&vec!["nameserver", "127.0.0.11"]),
        "{output}"
    );
    assert!(words.contains(&vec!["search", "example.org"]), "{output}");
    assert!(output.contains("ndots:3"), "{output}");
}

#[test]
fn the_host_has_a_name_inside() {
    let stack = stack!(script(
        "grep host.internal /etc/hosts",
        "    extra_hosts: ['host.internal:host-gateway']"
    ));
    let address = output(&stack);
    let address = address.split_whitespace().next().expect("an address");
    assert!(address.parse::<std::net::Ipv4Addr>().is_ok(), "{address}");
}

#[test]
fn shared_memory_has_the_size_that_was_asked_for() {
    let stack = stack!(script(
        "df -m /dev/shm | tail -1 | awk '{print $2}'",
        "    shm_size: 32m"
    ));
    assert_eq!(output(&stack), "32\n");
}

#[test]
fn limits_of_the_cgroup_are_set() {
    let stack = stack!(sleeper(
        "    mem_limit: 64m\n    cpus: 0.5\n    pids_limit: 20"
    ));
    stack.up();
    let name = stack.name("one", 1);
    let host = stack.inspect(&name)["HostConfig"].clone();
    assert_eq!(host["Memory"], 64 << 20, "{host}");
    assert_eq!(host["PidsLimit"], 20, "{host}");
    assert_eq!(host["NanoCpus"], 500_000_000, "{host}");
    // What the kernel has, wherever the hierarchies are.
    let read = |controller: &str, v1: &str, v2: &str| {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", stack.pid("one"))).unwrap();
        let path = |wanted: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                let names = parts.next()?;
                (names.split(',').any(|name| name == wanted))
                    .then(|| (names.to_owned(), parts.next()))
            })
        };
        let file = match path(controller) {
            Some((names, Some(path))) => format!("/sys/fs/cgroup/{names}{path}/{v1}"),
            _ => format!("/sys/fs/cgroup{}/{v2}", path("").unwrap().1.unwrap()),
        };
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    assert_eq!(
        read("memory", "memory.limit_in_bytes", "memory.max").trim(),
        "67108864"
    );
    assert_eq!(read("pids", "pids.max", "pids.max").trim(), "20");
    let quota = read("cpu", "cpu.cfs_quota_us", "cpu.max");
    assert!(quota.starts_with("50000"), "{quota}");
}

#[test]
fn a_fork_bomb_stays_within_its_limit() {
    let stack = stack!(sleeper("    pids_limit: 10"));
    stack.up();
    let arguments = [
        "exec",
        "-T",
        "one",
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 >/dev/null 2>&1 & done",
    ];
    let output = stack.stack(&arguments);
    assert_ne!(output.code, 0, "{output}");
    eventually("others still run", || {
        (stack.container("one").state == "running").then_some(())
    });
}

#[test]
fn a_container_can_have_a_name_of_its_own() {
    let name = format!("own-{:08x}", fastrand::u32(..));
    let stack = stack!(sleeper(&format!("    container_name: {name}")));
    stack.up();
    assert_eq!(stack.container("one").name, name);
}

#[test]
fn an_env_file_that_is_not_there_is_an_error_that_names_it() {
    let stack = stack!(sleeper("    env_file: [absent.env]"));
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("absent.env")
        .stderr_contains("stack.yaml:5");
}
