//! What there is: `ls`, `ps`, `volumes`, `inspect`, and the containers of all projects.

use std::collections::BTreeSet;

use super::{SHOP, json};
use crate::harness::stack;

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
