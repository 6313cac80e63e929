//! Commands that show what containers have, use and do: port, top, stats, events, volumes, inspect.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Stack, eventually, signal_to, stack};

const SHOP: &str = "
services:
  web:
    image: configured
    entrypoint: sleep
    command: '1000'
    user: root
    ports: ['127.0.0.1:8001:8000', '9000:9000/udp']
    expose: ['7000-7001']
    volumes: ['data:/data', '/anon', './files:/files:ro']
    labels: {mine: 'yes'}
    stop_grace_period: 1s
  job:
    image: busybox
    command: sh -c 'exit 3'
volumes:
  data: {labels: {kind: precious}}
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn documents(text: &str) -> Vec<Value> {
    text.lines().map(json).collect()
}

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
fn port_prints_where_a_port_is_published() {
    let stack = stack!(SHOP);
    stack.up();
    let port = |arguments: &[&str]| stack.stack(&[&["port"], arguments].concat());
    port(&["web", "8000"])
        .succeeds()
        .stdout_is("127.0.0.1:8001\n");
    port(&["--protocol", "udp", "web", "9000"])
        .succeeds()
        .stdout_is("0.0.0.0:9000\n");
    port(&["web", "7001", "--index", "1"])
        .succeeds()
        .stdout_is(":0\n");
    let all = port(&["web"]).succeeds();
    all.stdout_contains("8000/tcp -> 127.0.0.1:8001\n")
        .stdout_contains("9000/udp -> [::]:9000\n");
    port(&["web", "9000"])
        .fails_with(1)
        .stderr_contains("no port 9000/tcp for container");
    port(&["web", "8000", "--index", "2"])
        .fails_with(1)
        .stderr_contains("service \"web\" is not running container #2");
    stack.wait_for_state("job", "exited");
    port(&["job", "80"])
        .fails_with(1)
        .stderr_contains("service \"job\" is not running");
}

#[test]
fn ports_of_the_image_are_announced() {
    let stack = stack!(SHOP);
    stack.up();
    let announced = stack.inspect(&stack.name("web", 1));
    let of_image = stack.inspect("configured")["Config"]["ExposedPorts"].clone();
    let of_image = of_image.as_object().expect("the image announces ports");
    for port in of_image.keys() {
        let port = match port.contains('/') {
            true => port.clone(),
            false => format!("{port}/tcp"),
        };
        assert!(
            announced["Config"]["ExposedPorts"][&port].is_object(),
            "{port}"
        );
        assert!(
            announced["NetworkSettings"]["Ports"].get(&port).is_some(),
            "{port}"
        );
    }
    let ports = stack.stack(&["ps", "--format", "{{.Ports}}"]).succeeds();
    // Docker's order: what is only announced, then what is published; neighbours together.
    ports
        .stdout_contains("7000-7001/tcp")
        .stdout_contains(", 127.0.0.1:8001->8000/tcp\n");
}

#[test]
fn top_shows_the_processes_of_containers() {
    let stack = stack!(SHOP);
    stack.up();
    let top = stack.stack(&["top"]).succeeds();
    let mut lines = top.stdout.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let expected = [
        "SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD",
    ];
    assert_eq!(head, expected);
    let row = lines.next().unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..2], ["web", "1"]);
    assert_eq!(cells[3], stack.pid("web").to_string());
    assert!(row.ends_with("sleep 1000"), "{row}");
    stack.wait_for_state("job", "exited");
    stack.stack(&["top", "job"]).succeeds().stdout_is("");
    stack
        .stack(&["top", "nope"])
        .fails_with(1)
        .stderr_contains("no such service: nope");
}

#[test]
fn stats_come_from_the_kernel() {
    let stack = stack!(
        "
services:
  busy:
    image: busybox
    command: sh -c 'ping -c 20 -i 0.01 idle >/dev/null; while :; do :; done'
    mem_limit: 64m
  idle:
    image: busybox
    command: sleep 1000
  job: {image: busybox, command: 'true'}
"
    );
    stack.up();
    stack.wait_for_state("job", "exited");
    let stats = |flags: &[&str]| {
        let arguments = [&["stats", "--no-stream", "--format", "json"], flags].concat();
        documents(&stack.stack(&arguments).succeeds().stdout)
    };
    let percent = |row: &Value, field: &str| -> f64 {
        let text = row[field].as_str().unwrap().trim_end_matches('%');
        text.parse().unwrap()
    };
    // It has sent its packets by the time that it computes.
    let busy = eventually("it computes", || {
        let row = stats(&["busy"]).pop().unwrap();
        (percent(&row, "CPUPerc") > 5.0).then_some(row)
    });
    assert_eq!(busy["Name"], stack.name("busy", 1).as_str());
    assert_eq!(busy["PIDs"], "1");
    let memory = busy["MemUsage"].as_str().unwrap();
    assert!(
        memory.ends_with(" / 64MiB") && !memory.starts_with("0B"),
        "{memory}"
    );
    let (received, sent) = busy["NetIO"].as_str().unwrap().split_once(" / ").unwrap();
    assert!(received.ends_with("kB") && sent.ends_with("kB"), "{busy}");
    let rows = stats(&[]);
    let names: BTreeSet<&str> = rows
        .iter()
        .map(|row| row["Name"].as_str().unwrap())
        .collect();
    let (one, two) = (stack.name("busy", 1), stack.name("idle", 1));
    assert_eq!(names, [one.as_str(), &two].into());
    assert!(percent(&rows[1], "CPUPerc") < percent(&rows[0], "CPUPerc"));
    let ended = stats(&["-a", "job"]).pop().unwrap();
    assert_eq!(
        (&ended["CPUPerc"], &ended["MemUsage"]),
        (&"0.00%".into(), &"0B / 0B".into())
    );
    let table = stack.stack(&["stats", "--no-stream"]).succeeds();
    assert!(
        table.stdout.starts_with("CONTAINER ID   NAME"),
        "{}",
        table.stdout
    );
    let ids = stack.stack(&[
        "stats",
        "--no-stream",
        "--no-trunc",
        "--format",
        "{{.ID}}",
        "idle",
    ]);
    let id = stack.container("idle").id;
    ids.succeeds().stdout_is(&format!("{id}\n"));
}

#[test]
fn stats_are_drawn_anew_on_a_terminal() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    stack.up();
    let mut terminal = stack.in_terminal(&["stats"]);
    eventually("it is drawn twice", || {
        (terminal.text().matches("CONTAINER ID").count() > 1).then_some(())
    });
    assert!(terminal.text().contains("\x1b[H\x1b[J"));
    terminal.interrupt();
    assert_ne!(terminal.finish(), 0);
}

#[test]
fn volumes_lists_those_of_the_project() {
    let stack = stack!(SHOP);
    let data = format!("{}_data", stack.project());
    stack.up();
    let table = stack.stack(&["volumes"]).succeeds();
    let mut lines = table.stdout.lines();
    assert_eq!(lines.next(), Some("DRIVER    VOLUME NAME"));
    assert_eq!(lines.next(), Some(format!("local     {data}").as_str()));
    let quiet = stack.stack(&["volumes", "-q"]).succeeds();
    quiet.stdout_is(&format!("{data}\n"));
    let of_web = stack.stack(&["volumes", "-q", "web"]).succeeds();
    of_web.stdout_is(&format!("{data}\n"));
    stack
        .stack(&["volumes", "-q", "job"])
        .succeeds()
        .stdout_is("");
    let row = json(
        &stack
            .stack(&["volumes", "--format", "json", "web"])
            .succeeds()
            .stdout,
    );
    assert_eq!(
        (&row["Name"], &row["Driver"]),
        (&data.as_str().into(), &"local".into())
    );
    let labels = row["Labels"].as_str().unwrap();
    assert!(labels.contains("com.docker.compose.volume=data") && labels.contains("kind=precious"));
    let template = "{{.Name}} {{.Label \"kind\"}}";
    let names = stack.stack(&["volumes", "--format", template]).succeeds();
    names.stdout_contains(&format!("{data} precious\n"));
    stack
        .stack(&["volumes", "nope"])
        .fails_with(1)
        .stderr_contains("no such service: nope");
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

#[test]
fn ls_counts_what_runs_and_takes_filters() {
    let stack = stack!(SHOP);
    stack.up();
    stack.wait_for_state("job", "exited");
    let ls = |flags: &[&str]| stack.stack(&[&["ls"], flags].concat()).succeeds();
    let table = ls(&[]);
    let mut lines = table.stdout.lines();
    assert_eq!(
        lines.next(),
        Some("NAME                STATUS              CONFIG FILES")
    );
    assert!(
        lines.next().unwrap().contains("running(1)   "),
        "{}",
        table.stdout
    );
    let rows = json(&ls(&["-a", "--format", "json"]).stdout);
    assert_eq!(rows[0]["Status"], "exited(1), running(1)");
    assert_eq!(rows[0]["Name"], stack.project());
    let name = format!("name={}", stack.project());
    ls(&["-q", "--filter", &name]).stdout_is(&format!("{}\n", stack.project()));
    ls(&["-q", "--filter", "name=nothing-like-it"]).stdout_is("");
    stack
        .stack(&["ls", "--filter", "foo=bar"])
        .fails_with(1)
        .stderr_contains("foo=bar");
}

#[test]
fn ps_takes_labels_filters_and_docker_s_usual_format() {
    let stack = stack!(SHOP);
    let config = stack.dir().join("docker");
    stack.file("docker/config.json", r#"{"psFormat": "table {{.Name}}"}"#);
    let stack = stack.with_env("DOCKER_CONFIG", config.to_str().unwrap());
    stack.up();
    let name = stack.name("web", 1);
    let ps = stack.stack(&["ps", "web"]).succeeds();
    ps.stdout_is(&format!("NAME\n{name}\n"));
    let label = stack.stack(&["ps", "--format", "{{.Label \"mine\"}}", "web"]);
    label.succeeds().stdout_is("yes\n");
    stack
        .stack(&["ps", "--status", "removing", "-q"])
        .succeeds()
        .stdout_is("");
    stack
        .stack(&["ps", "--filter", "foo=bar"])
        .fails_with(1)
        .stderr_contains("unknown filter foo");
    stack
        .stack(&["ps", "--filter", "foo"])
        .fails_with(1)
        .stderr_contains("arguments to --filter should be in form KEY=VAL");
    stack
        .stack(&["ps", "unknown"])
        .fails_with(1)
        .stderr_contains("no such service: unknown");
}

#[test]
fn inspect_finds_things_of_all_kinds() {
    let stack = stack!(SHOP);
    stack.up();
    let project = stack.project();
    let (container, network, volume) = (
        stack.name("web", 1),
        format!("{project}_default"),
        format!("{project}_data"),
    );
    let shown = |arguments: &[&str]| stack.stack(&[&["inspect"], arguments].concat()).succeeds();
    let id = stack.container("web").id;
    for (format, expected) in [
        ("{{.Id}}", id.as_str()),
        ("{{.State.Status}} {{.State.Running}}", "running true"),
        ("{{.HostConfig.NetworkMode}}", network.as_str()),
        ("{{index .Config.Labels \"mine\"}}", "yes"),
        ("{{(index .Mounts 0).Name}}", volume.as_str()),
        (
            "{{(index (index .NetworkSettings.Ports \"8000/tcp\") 0).HostPort}}",
            "8001",
        ),
        (
            "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}",
            network.as_str(),
        ),
        ("{{.ImageManifestDescriptor.Platform.OS}}", "linux"),
        (
            "{{json .HostConfig.RestartPolicy}}",
            r#"{"Name":"no","MaximumRetryCount":0}"#,
        ),
    ] {
        shown(&[&container, "-f", format]).stdout_is(&format!("{expected}\n"));
    }
    let mounts = shown(&[&container, "-f", "{{json .Mounts}}"]).stdout;
    assert!(
        mounts.contains(
            r#""Destination":"/anon","Driver":"local","Mode":"z","RW":true,"Propagation":"""#
        ),
        "{mounts}"
    );
    shown(&["--type", "image", "busybox", "-f", "{{index .RepoTags 0}}"])
        .stdout_is("busybox:latest\n");
    shown(&[&network, "-f", "{{.Name}} {{.Driver}}"]).stdout_is(&format!("{network} bridge\n"));
    shown(&["--type", "volume", &volume, "-f", "{{.Name}}"]).stdout_is(&format!("{volume}\n"));
    let sizes = json(&shown(&["-s", &container]).stdout);
    assert!(sizes[0]["SizeRootFs"].as_u64() > Some(100_000));
    let several = json(&shown(&[&container, &network]).stdout);
    assert_eq!(
        (&several[0]["Id"], &several[1]["Name"]),
        (&id.into(), &network.into())
    );
    let missing = stack.stack(&["inspect", "nope"]).fails_with(1);
    missing
        .stdout_is("[]\n")
        .stderr_contains("no such object: nope");
    stack
        .stack(&["inspect", "--type", "network", &container])
        .fails_with(1)
        .stderr_contains("no such network");
}

#[test]
fn container_ls_shows_those_of_all_projects() {
    let stack = stack!(SHOP);
    stack.up();
    stack.wait_for_state("job", "exited");
    let ls = |flags: &[&str]| {
        stack
            .stack(&[&["container", "ls"], flags].concat())
            .succeeds()
    };
    ls(&[])
        .stdout_contains("CONTAINER ID   IMAGE")
        .stdout_lacks(&stack.name("job", 1));
    let label = format!("label=com.docker.compose.project={}", stack.project());
    let flags = [
        "-a",
        "--no-trunc",
        "--filter",
        &label,
        "--format",
        "{{.ID}}",
    ];
    let found = ls(&flags).stdout;
    let ids: BTreeSet<&str> = found.lines().collect();
    let (web, job) = (stack.container("web").id, stack.container("job").id);
    assert_eq!(ids, [web.as_str(), &job].into());
    ls(&["-q", "--no-trunc", "--filter", "status=exited"]).stdout_is(&format!("{job}\n"));
    ls(&["--filter", "name=web", "--format", "{{.Names}}"])
        .stdout_is(&format!("{}\n", stack.name("web", 1)));
    let one = stack.stack(&["container", "inspect", &web[..12], "-f", "{{.Id}}"]);
    one.succeeds().stdout_is(&format!("{web}\n"));
    stack
        .stack(&["container", "inspect", "busybox"])
        .fails_with(1)
        .stderr_contains("no such container: busybox");
}

#[test]
fn containers_are_acted_on_by_name() {
    let stack = stack!(
        "services:
  one: {image: busybox, command: sh -c 'echo hello; sleep 1000'}
  two: {image: busybox, command: sleep 1000, deploy: {replicas: 2}}
"
    );
    stack.up();
    stack.wait_for_log("one", "hello");
    let (one, two) = (stack.name("one", 1), stack.name("two", 2));
    let act = |arguments: &[&str]| {
        // From anywhere: the name is enough.
        let mut command = stack.command(&[&["container"], arguments].concat());
        let output = command.current_dir("/").output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let good = |stdout: String| (Some(0), stdout);
    let done = |arguments: &[&str]| {
        let (code, stdout, _) = act(arguments);
        (code, stdout)
    };
    assert_eq!(done(&["logs", &one]), good("hello\n".to_owned()));
    let hostname = done(&["exec", "-e", "A=b", &two, "sh", "-c", "echo $A; hostname"]);
    let id = stack
        .replicas("two")
        .into_iter()
        .find(|row| row.name == two)
        .unwrap()
        .id;
    assert_eq!(hostname, good(format!("b\n{}\n", &id[..12])));
    assert_eq!(done(&["exec", &one, "sh", "-c", "exit 7"]).0, Some(7));
    assert_eq!(done(&["stop", "-t", "0", &one]), good(format!("{one}\n")));
    assert_eq!(stack.container("one").state, "exited");
    assert_eq!(done(&["start", &one]), good(format!("{one}\n")));
    let id = stack.container("one").id;
    assert_eq!(
        done(&["restart", "-t", "0", &id[..12]]),
        good(format!("{}\n", &id[..12]))
    );
    assert_eq!(stack.container("one").state, "running");
    let (code, _, stderr) = act(&["rm", &one]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("is running"), "{stderr}");
    assert_eq!(done(&["kill", &one]), good(format!("{one}\n")));
    stack.wait_for_state("one", "exited");
    assert_eq!(done(&["rm", "-f", &one, "nope"]), good(format!("{one}\n")));
    assert!(stack.replicas("one").is_empty());
    assert_eq!(stack.replicas("two").len(), 2);
    assert_eq!(done(&["rm", "nope"]).0, Some(1));
}

#[test]
fn version_has_compose_s_forms() {
    let stack = stack!(SHOP);
    let version = env!("CARGO_PKG_VERSION");
    for format in ["-f", "--format"] {
        let found = stack.stack(&["version", format, "json"]).succeeds();
        found.stdout_is(&format!("{{\"version\":\"{version}\"}}\n"));
    }
    let pretty = stack.stack(&["version", "-f", "pretty"]).succeeds();
    pretty.stdout_contains(version);
}

#[test]
fn convert_is_config() {
    let stack = stack!(SHOP);
    let config = stack.stack(&["config"]).succeeds().stdout;
    stack.stack(&["convert"]).succeeds().stdout_is(&config);
}
