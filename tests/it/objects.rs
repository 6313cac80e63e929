//! Networks and volumes that people make, look at and remove.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Stack, eventually, stack};

const OUTSIDE: &str = "
services:
  in: {image: busybox, command: sleep 1000, networks: [shared], volumes: ['kept:/kept']}
  out: {image: busybox, command: sleep 1000}
networks: {shared: {external: true, name: NETWORK}, default: {}}
volumes: {kept: {external: true, name: VOLUME}}
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Names of its own for each test: the bridge's name is made of them.
fn outside(stack: &Stack) -> (String, String) {
    let names = (
        format!("{}-net", stack.project()),
        format!("{}-vol", stack.project()),
    );
    let text = OUTSIDE.replace("NETWORK", &names.0);
    stack.file("stack.yaml", text.replace("VOLUME", &names.1));
    names
}

fn links(bridge: &str) -> bool {
    // The thread has a network of its own, and `/sys` shows the one it was mounted in.
    let links = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    links.contains(bridge)
}

fn bridge(stack: &Stack, network: &str) -> String {
    let path = stack
        .root()
        .join("networks")
        .join(network)
        .join("network.json");
    let record = json(&std::fs::read_to_string(path).unwrap());
    record["bridge"].as_str().unwrap().to_owned()
}

#[test]
fn a_network_is_made_shown_and_removed() {
    let stack = stack!(OUTSIDE);
    let (name, _) = outside(&stack);
    let id = stack
        .stack(&[
            "network",
            "create",
            &name,
            "--subnet",
            "10.77.0.0/24",
            "--gateway",
            "10.77.0.254",
            "--ip-range",
            "10.77.0.128/25",
            "--label",
            "a=b",
            "--label",
            "c",
            "--opt",
            "com.docker.network.driver.mtu=1400",
            "--attachable",
            "--internal",
        ])
        .succeeds()
        .stdout;
    let id = id.trim();
    assert_eq!(id.len(), 64);
    let bridge = bridge(&stack, &name);
    assert!(links(&bridge), "{bridge}");
    let table = stack.stack(&["network", "ls"]).succeeds();
    let mut lines = table.stdout.lines();
    let head: Vec<&str> = lines
        .next()
        .unwrap()
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect();
    assert_eq!(head, ["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(row, [&id[..12], name.as_str(), "bridge", "local"]);
    let row = json(
        &stack
            .stack(&["network", "ls", "--format", "json"])
            .succeeds()
            .stdout,
    );
    assert_eq!(
        (&row["Internal"], &row["Labels"]),
        (&"true".into(), &"a=b,c=".into())
    );
    for (filter, there) in [
        (format!("name={}", stack.project()), true),
        ("name=nothing".to_owned(), false),
        ("label=a=b".to_owned(), true),
        ("label=a=c".to_owned(), false),
        (format!("id={}", &id[..6]), true),
        ("driver=overlay".to_owned(), false),
        ("dangling=true".to_owned(), true),
        ("dangling=false".to_owned(), false),
    ] {
        let found = stack
            .stack(&["network", "ls", "-q", "--filter", &filter])
            .succeeds();
        assert_eq!(!found.stdout.is_empty(), there, "{filter}");
    }
    let full = stack
        .stack(&["network", "ls", "-q", "--no-trunc"])
        .succeeds();
    full.stdout_is(&format!("{id}\n"));
    let found = json(
        &stack
            .stack(&["network", "inspect", &id[..8]])
            .succeeds()
            .stdout,
    );
    let range = &found[0]["IPAM"]["Config"][0];
    assert_eq!(range["Subnet"], "10.77.0.0/24");
    assert_eq!(
        (&range["Gateway"], &range["IPRange"]),
        (&"10.77.0.254".into(), &"10.77.0.128/25".into())
    );
    assert_eq!(
        (&found[0]["Attachable"], &found[0]["Internal"]),
        (&true.into(), &true.into())
    );
    assert_eq!(found[0]["Options"]["com.docker.network.driver.mtu"], "1400");
    stack
        .stack(&["network", "create", &name])
        .fails_with(1)
        .stderr_contains(&format!("network with name {name} already exists"));
    stack
        .stack(&["network", "rm", &name, "nope"])
        .fails_with(1)
        .stdout_is(&format!("{name}\n"))
        .stderr_contains("No such network: nope");
    assert!(!links(&bridge));
    stack.stack(&["network", "rm", "-f", &name]).succeeds();
    stack
        .stack(&["network", "inspect", &name])
        .fails_with(1)
        .stdout_is("[]\n");
}

#[test]
fn a_network_that_cannot_be_is_refused() {
    let stack = stack!(OUTSIDE);
    let create = |arguments: &[&str]| stack.stack(&[&["network", "create"], arguments].concat());
    for (arguments, said) in [
        (&["../x"][..], "no name for a network"),
        (&["host"], "has a meaning of its own"),
        (&["-d", "overlay", "x"], "`overlay`"),
        (
            &["--subnet", "10.9.0.0/24", "--gateway", "10.8.0.1", "x"],
            "no matching subnet",
        ),
    ] {
        create(arguments).fails_with(1).stderr_contains(said);
    }
    create(&["--subnet", "10.77.1.0/24", "one"]).succeeds();
    create(&["--subnet", "10.77.1.0/25", "two"])
        .fails_with(1)
        .stderr_contains("overlaps with network one");
    stack
        .stack(&["network", "rm", "one"])
        .succeeds()
        .stdout_is("one\n");
}

#[test]
fn a_missing_external_network_fails_only_the_services_that_use_it() {
    let stack = stack!(OUTSIDE);
    let (network, volume) = outside(&stack);
    stack
        .stack(&["volume", "create", &volume])
        .succeeds()
        .stdout_is(&format!("{volume}\n"));
    stack
        .stack(&["up", "-d"])
        .fails_with(1)
        .stderr_contains(&format!(
            "network {network} declared as external, but could not be found; \
         make it with `stack network create {network}`"
        ));
    assert_eq!(stack.container("out").state, "running");
    assert!(stack.replicas("in").is_empty());
    stack.stack(&["up", "-d", "out"]).succeeds();
    // The supervisor lives, and sees what was made meanwhile.
    stack.stack(&["network", "create", &network]).succeeds();
    stack.stack(&["up", "-d"]).succeeds();
    assert_eq!(stack.container("in").state, "running");
    let inspected = json(
        &stack
            .stack(&["network", "inspect", &network])
            .succeeds()
            .stdout,
    );
    let member = &inspected[0]["Containers"][&stack.container("in").id];
    assert_eq!(member["Name"], stack.name("in", 1).as_str());
    assert!(member["IPv4Address"].as_str().unwrap().contains('/'));
    stack
        .stack(&["network", "rm", &network])
        .fails_with(1)
        .stderr_contains(&format!(
            "network {network} is in use by container {} (project {})",
            stack.name("in", 1),
            stack.project()
        ));
    stack
        .stack(&["volume", "rm", &volume])
        .fails_with(1)
        .stderr_contains(&format!("volume {volume} is in use by container"));
    stack.stack(&["down", "-v"]).succeeds();
    // What is external stays, and is anybody's to remove.
    stack.stack(&["network", "rm", &network]).succeeds();
    stack.stack(&["volume", "rm", &volume]).succeeds();
}

#[test]
fn a_missing_external_volume_is_told_with_what_to_do() {
    let stack = stack!(OUTSIDE);
    let (network, volume) = outside(&stack);
    stack.stack(&["network", "create", &network]).succeeds();
    stack
        .stack(&["up", "-d", "in"])
        .fails_with(1)
        .stderr_contains(&format!(
            "external volume \"{volume}\" not found; make it with `stack volume create {volume}`"
        ));
    stack.stack(&["down"]).succeeds();
    stack.stack(&["network", "rm", &network]).succeeds();
}

#[test]
fn projects_meet_on_an_external_network() {
    let stack = stack!(OUTSIDE);
    let (network, volume) = outside(&stack);
    stack.stack(&["network", "create", &network]).succeeds();
    stack.stack(&["volume", "create", &volume]).succeeds();
    stack.stack(&["up", "-d", "in"]).succeeds();
    let other = format!("{}b", stack.project());
    stack
        .stack(&["-p", &other, "-f", "stack.yaml", "up", "-d", "in"])
        .succeeds();
    stack.exec("in", "echo hello > /kept/file");
    // Names of other projects are looked for twice a second.
    let ping = format!("ping -c 1 -W 5 {other}-in-1");
    eventually("it finds the other one", || {
        let ping = stack.stack(&["exec", "-T", "in", "sh", "-c", &ping]);
        ping.stdout.contains("1 packets received").then_some(())
    });
    let read = stack.stack(&["-p", &other, "exec", "-T", "in", "cat", "/kept/file"]);
    read.succeeds().stdout_is("hello\n");
    let rm = stack.stack(&["network", "rm", &network]).fails_with(1);
    rm.stderr_contains(&stack.name("in", 1))
        .stderr_contains(&format!("{other}-in-1"));
    stack.stack(&["-p", &other, "down"]).succeeds();
    stack.stack(&["down"]).succeeds();
    stack.stack(&["network", "rm", &network]).succeeds();
    stack.stack(&["volume", "rm", &volume]).succeeds();
}

#[test]
fn a_volume_is_made_shown_and_removed() {
    let stack = stack!(OUTSIDE);
    let volume = |arguments: &[&str]| stack.stack(&[&["volume"], arguments].concat());
    volume(&[
        "create",
        "one",
        "--label",
        "a=b",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
    ])
    .succeeds()
    .stdout_is("one\n");
    let anonymous = volume(&["create"]).succeeds().stdout;
    let anonymous = anonymous.trim();
    assert_eq!(anonymous.len(), 64);
    let found = json(&volume(&["inspect", "one"]).succeeds().stdout);
    assert_eq!(found[0]["Options"]["type"], "tmpfs");
    assert_eq!(
        (&found[0]["Name"], &found[0]["Scope"]),
        (&"one".into(), &"local".into())
    );
    volume(&["inspect", "one", "-f", "{{index .Labels \"a\"}}"])
        .succeeds()
        .stdout_is("b\n");
    let mountpoint = volume(&["inspect", anonymous, "-f", "{{.Mountpoint}}"])
        .succeeds()
        .stdout;
    assert!(Path::new(mountpoint.trim()).is_dir());
    volume(&["ls"]).succeeds().stdout_is(&format!(
        "DRIVER    VOLUME NAME\nlocal     {anonymous}\nlocal     one\n"
    ));
    for (filter, expected) in [
        ("name=on", "one\n"),
        ("label=a", "one\n"),
        ("label!=a", anonymous),
        ("driver=nfs", ""),
        ("dangling=false", ""),
    ] {
        let found = volume(&["ls", "-q", "-f", filter]).succeeds();
        assert_eq!(found.stdout.trim(), expected.trim(), "{filter}");
    }
    volume(&["create", "../x"])
        .fails_with(1)
        .stderr_contains("no name for a volume");
    volume(&["create", "-d", "nfs", "x"])
        .fails_with(1)
        .stderr_contains("`nfs`");
    volume(&["rm", "one", "nope"])
        .fails_with(1)
        .stdout_is("one\n")
        .stderr_contains("No such volume: nope");
    volume(&["rm", "-f", "nope"]).succeeds();
    volume(&["rm", anonymous]).succeeds();
    volume(&["ls", "-q"]).succeeds().stdout_is("");
    volume(&["ls", "-f", "foo=bar"])
        .fails_with(1)
        .stderr_contains("invalid filter 'foo'");
}

#[test]
fn prune_removes_only_what_nobody_uses() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: sleep 1000, volumes: ['kept:/kept', '/anon']}
volumes: {kept: {}}
"
    );
    stack.up();
    let (network, kept) = (
        format!("{}_default", stack.project()),
        format!("{}_kept", stack.project()),
    );
    stack.stack(&["network", "create", "idle"]).succeeds();
    stack
        .stack(&["network", "create", "labelled", "--label", "keep"])
        .succeeds();
    stack.stack(&["volume", "create", "named"]).succeeds();
    let anonymous = stack.stack(&["volume", "create"]).succeeds().stdout;
    // Nobody says yes.
    let asked = stack.stack(&["network", "prune"]).fails_with(1);
    asked
        .stderr_contains("Are you sure you want to continue? [y/N]")
        .stderr_contains("network prune has been cancelled");
    let pruned = stack.stack_with_input(&["network", "prune", "--filter", "label!=keep"], b"y\n");
    pruned
        .succeeds()
        .stdout_contains("Deleted Networks:\nidle\n\n");
    let left = stack
        .stack(&["network", "ls", "--format", "{{.Name}}"])
        .succeeds();
    left.stdout_contains(&network).stdout_contains("labelled");
    let pruned = stack.stack(&["volume", "prune", "--force"]).succeeds();
    pruned.stdout_is(&format!(
        "Deleted Volumes:\n{anonymous}\nTotal reclaimed space: 0B\n"
    ));
    let pruned = stack.stack(&["volume", "prune", "-a", "-f"]).succeeds();
    pruned.stdout_is("Deleted Volumes:\nnamed\n\nTotal reclaimed space: 0B\n");
    // A project that is stopped still uses what it has.
    stack.stack(&["stop", "-t", "0"]).succeeds();
    stack
        .stack(&["network", "prune", "-f"])
        .succeeds()
        .stdout_is("Deleted Networks:\nlabelled\n\n");
    stack.stack(&["volume", "prune", "-af"]).succeeds();
    stack
        .stack(&["volume", "ls", "-q"])
        .succeeds()
        .stdout_contains(&kept);
}

const LABELLED: &str = "
services:
  app: {image: busybox, command: sleep 1000, volumes: ['data:/data']}
  copy: {image: busybox, command: sleep 1000, volumes_from: [app]}
  other: {image: busybox, command: sleep 1000}
volumes: {data: {labels: {v: VALUE}}}
";

#[test]
fn a_volume_that_has_changed_is_made_anew_only_when_a_person_says_so() {
    let stack = stack!(LABELLED);
    stack.up();
    let volume = format!("{}_data", stack.project());
    let label = |stack: &Stack| {
        let format = "{{index .Labels \"v\"}}";
        let output = stack.stack(&["volume", "inspect", &volume, "-f", format]);
        output.succeeds().stdout.trim().to_owned()
    };
    stack.exec("app", "echo kept > /data/file");
    stack.file("stack.yaml", LABELLED.replace("VALUE", "new"));
    let question =
        format!("Volume \"{volume}\" exists but doesn't match configuration in compose file");
    stack
        .stack(&["up", "-d"])
        .succeeds()
        .stdout_contains(&format!("{question}. Recreate (data will be lost)?"));
    assert_eq!(label(&stack), "VALUE");
    assert_eq!(stack.exec("copy", "cat /data/file"), "kept\n");
    let planned = stack.stack(&["plan"]).succeeds();
    planned
        .stdout_is("nothing to do\n")
        .stderr_contains(&format!("{question}, and stays"));
    // Somebody else's container would lose what is in it: nobody is asked.
    let guest = stack.stack(&["run", "-d", "app"]).succeeds().stdout;
    stack
        .stack(&["up", "-d", "-y"])
        .succeeds()
        .stderr_contains(&format!("{question}, and stays: container"));
    stack
        .stack(&["container", "rm", "-f", guest.trim()])
        .succeeds();
    let other = stack.stack(&["ps", "-q", "other"]).succeeds().stdout;
    let input = b"y\n";
    stack
        .stack_with_input(&["up", "-d"], input)
        .succeeds()
        .stderr_contains(&format!("Volume {volume} Removed"));
    assert_eq!(label(&stack), "new");
    assert_eq!(stack.exec("copy", "ls /data"), "");
    assert_eq!(stack.stack(&["ps", "-q", "other"]).succeeds().stdout, other);
    stack.stack(&["up", "-d"]).succeeds().stdout_is("");
}

#[test]
fn another_name_of_a_network_or_volume_replaces_the_container() {
    let text = "
services:
  app: {image: busybox, command: sleep 1000, volumes: ['data:/data'], networks: [net]}
volumes: {data: {name: VOLUME}}
networks: {net: {name: NETWORK}}
";
    let stack = stack!(text);
    let names = |end: &str| {
        let name = |kind: &str| format!("{}-{kind}-{end}", stack.project());
        let text = text.replace("VOLUME", &name("vol"));
        stack.file("stack.yaml", text.replace("NETWORK", &name("net")));
    };
    names("one");
    stack.up();
    names("two");
    stack.up();
    let format = "{{(index .Mounts 0).Name}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}";
    let seen = stack.stack(&["inspect", &stack.name("app", 1), "-f", format]);
    let project = stack.project();
    seen.succeeds()
        .stdout_is(&format!("{project}-vol-two {project}-net-two\n"));
}

#[test]
fn a_volume_that_another_project_uses_outlives_its_own() {
    let stack = stack!(OUTSIDE);
    let owner = "services: {app: {image: busybox, command: sleep 1000, volumes: ['vol:/v']}}
volumes: {vol: {}}
";
    stack.file("owner.yaml", owner);
    let volume = format!("{}-owner_vol", stack.project());
    let guest = format!(
        "services: {{guest: {{image: busybox, command: sleep 1000, volumes: ['vol:/v']}}}}
volumes: {{vol: {{external: true, name: {volume}}}}}
"
    );
    stack.file("guest.yaml", &guest);
    let name = |end: &str| format!("{}-{end}", stack.project());
    let (owner, guest) = (name("owner"), name("guest"));
    let owned = ["-f", "owner.yaml", "-p", &owner];
    let used = ["-f", "guest.yaml", "-p", &guest];
    let run = |project: &[&str], command: &[&str]| stack.stack(&[project, command].concat());
    run(&owned, &["up", "-d"]).succeeds();
    run(&owned, &["exec", "app", "touch", "/v/kept"]).succeeds();
    run(&used, &["up", "-d"]).succeeds();
    run(&owned, &["down", "-v", "-t", "0"])
        .succeeds()
        .stderr_contains(&format!("Volume {volume} Resource is still in use"));
    run(&used, &["exec", "guest", "ls", "/v/kept"]).succeeds();
    run(&used, &["down", "-t", "0"]).succeeds();
    stack.stack(&["volume", "rm", &volume]).succeeds();
}
