//! Copies of one project side by side.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Stack, eventually, http, stack};

/// A web server at a port of the host that says which instance it is and where it can be reached.
const WEB: &str = "
services:
  web:
    image: busybox
    container_name: the-web
    hostname: ${STACK_INSTANCE:-main}
    environment: [\"URL=http://localhost:${STACK_PORT_WEB_80:-18080}/\"]
    command: sh -c 'mkdir -p /data/www; hostname > /data/www/index.html; httpd -f -p 80 -h /data/www'
    ports: [\"18080:80\"]
    volumes: [\"data:/data\"]
  client:
    image: busybox
    command: sleep 1000
volumes: {data: {name: shop-data}}
";

/// What a command in a directory has said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program in a directory.
fn run(stack: &Stack, directory: &Path, arguments: &[&str]) -> Said {
    let mut command = stack.command(arguments);
    let output = command.current_dir(directory).output().expect("it runs");
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[track_caller]
fn good(stack: &Stack, directory: &Path, arguments: &[&str]) -> Said {
    let said = run(stack, directory, arguments);
    assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
    said
}

/// A linked work tree of git beside the project's directory, with the same stack file.
fn work_tree(stack: &Stack, name: &str) -> PathBuf {
    let directory = stack.dir().with_file_name(name);
    fs::create_dir(&directory).expect("a directory");
    let git = format!("gitdir: {}/.git/worktrees/{name}\n", stack.dir().display());
    fs::write(directory.join(".git"), git).expect("a file");
    fs::copy(stack.dir().join("stack.yaml"), directory.join("stack.yaml")).expect("a copy");
    directory
}

fn body(port: u16) -> String {
    eventually(&format!("an answer at {port}"), || {
        http::get(("127.0.0.1", port), "/").ok()
    })
}

#[test]
fn two_work_trees_with_the_same_file_and_port_are_up_side_by_side() {
    let stack = stack!(WEB);
    let (main, tree) = (stack.dir().to_owned(), work_tree(&stack, "feature"));
    good(&stack, &main, &["up", "-d"]);
    let said = good(&stack, &tree, &["up", "-d", "--instance", "auto"]);
    let held = format!(
        "web: 18080 is held by {} (stack), using 18081",
        stack.project()
    );
    assert!(said.err.contains(&held), "{said:?}");
    assert_eq!(
        (body(18080), body(18081)),
        ("main\n".into(), "feature\n".into())
    );

    // Each has its own containers, its own name for them, and its own volume.
    let instance = format!("{}-feature", stack.project());
    let found = stack.inspect("the-web-feature");
    let labels = &found["Config"]["Labels"];
    assert_eq!(labels["com.docker.compose.project"], instance.as_str());
    for volume in ["shop-data", "shop-data-feature"] {
        assert!(
            stack.root().join("volumes").join(volume).is_dir(),
            "{volume}"
        );
    }
    let environment = ["exec", "-T", "web", "sh", "-c", "echo $URL"];
    let url = |directory: &Path, instance: &str| {
        let mut all = vec!["--instance", instance];
        all.extend(environment);
        good(&stack, directory, &all).out
    };
    assert_eq!(url(&tree, "auto"), "http://localhost:18081/\n");
    assert_eq!(url(&main, ""), "http://localhost:18080/\n");
    // The name that the file gives to the container is still the way to it.
    let ping = [
        "--instance",
        "auto",
        "exec",
        "-T",
        "client",
        "wget",
        "-qO-",
        "http://the-web/",
    ];
    assert_eq!(good(&stack, &tree, &ping).out, "feature\n");

    // A second `up` changes nothing and keeps the port.
    let again = good(&stack, &tree, &["--instance", "auto", "up", "-d"]);
    assert!(
        again
            .err
            .contains("web: 18080 of the stack file is 18081 here"),
        "{again:?}"
    );
    assert!(!again.err.contains("Recreate"), "{again:?}");
    assert_eq!(body(18081), "feature\n");

    // The end of one is not that of the other.
    good(
        &stack,
        &tree,
        &["--instance", "auto", "down", "-v", "-t", "0"],
    );
    assert_eq!(body(18080), "main\n");
    assert!(http::get(("127.0.0.1", 18081), "/").is_err());
}

#[test]
fn an_instance_is_found_again_by_flag_by_variable_and_by_its_project_name() {
    let stack = stack!(WEB);
    let directory = stack.dir().to_owned();
    good(&stack, &directory, &["up", "-d", "--instance", "b", "web"]);
    let by_flag = good(&stack, &directory, &["ps", "-q", "--instance", "b"]).out;
    assert_eq!(by_flag.lines().count(), 1, "{by_flag}");
    let name = format!("{}-b", stack.project());
    assert_eq!(
        good(&stack, &directory, &["-p", &name, "ps", "-q"]).out,
        by_flag
    );
    let mut command = stack.command(&["ps", "-q"]);
    let output = command.env("STACK_INSTANCE", "b").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), by_flag);
    // Without any of them it is the project itself.
    assert_eq!(good(&stack, &directory, &["ps", "-q"]).out, "");

    let list = good(&stack, &directory, &["ls", "--format", "json"]).out;
    let rows: Vec<Value> = serde_json::from_str(&list).unwrap();
    let row = rows
        .iter()
        .find(|row| row["Name"] == name.as_str())
        .unwrap();
    assert_eq!(row["Instance"], "b");
    assert_eq!(row["InstanceOf"], stack.project());
    assert_eq!(row["Directory"], directory.to_str().unwrap());
    let table = good(&stack, &directory, &["ls"]).out;
    assert!(table.contains("INSTANCE OF"), "{table}");
}

#[test]
fn a_port_that_another_program_has_is_moved_and_named_and_that_of_a_stopped_project_is_kept_for_it()
{
    let stack = stack!(WEB);
    let directory = stack.dir().to_owned();
    good(&stack, &directory, &["up", "-d", "web"]);
    good(&stack, &directory, &["stop", "-t", "0"]);
    let other = std::net::TcpListener::bind(("0.0.0.0", 18081)).unwrap();
    let said = good(&stack, &directory, &["up", "-d", "--instance", "c", "web"]);
    let held = format!(
        "web: 18080 is held by {} (stack), using 18082",
        stack.project()
    );
    assert!(said.err.contains(&held), "{said:?}");
    assert_eq!(body(18082), "c\n");
    good(&stack, &directory, &["start"]);
    assert_eq!(body(18080), "main\n");
    drop(other);
    // A port that is free by now does not make it move back.
    let said = good(&stack, &directory, &["up", "-d", "--instance", "c", "web"]);
    assert!(!said.err.contains("Recreate"), "{said:?}");
    assert_eq!(body(18082), "c\n");
}

#[test]
fn fixed_address_ranges_and_addresses_move_together() {
    let stack = stack!(
        "
services:
  web:
    image: busybox
    command: sleep 1000
    networks: {back: {ipv4_address: 10.77.0.20}}
networks: {back: {ipam: {config: [{subnet: 10.77.0.0/24, gateway: 10.77.0.9}]}}}
"
    );
    let directory = stack.dir().to_owned();
    good(&stack, &directory, &["up", "-d"]);
    let said = good(&stack, &directory, &["up", "-d", "--instance", "f"]);
    let told = format!(
        "network back: 10.77.0.0/24 is that of {}_back, using 10.77.1.0/24",
        stack.project()
    );
    assert!(said.err.contains(&told), "{said:?}");
    let name = format!("{}-f", stack.project());
    let inspected = stack.inspect(&format!("{name}-web-1"));
    let place = &inspected["NetworkSettings"]["Networks"][format!("{name}_back")];
    assert_eq!(place["IPAddress"], "10.77.1.20");
    assert_eq!(place["Gateway"], "10.77.1.9");
    let again = good(&stack, &directory, &["--instance", "f", "up", "-d"]);
    assert!(!again.err.contains("Recreate"), "{again:?}");
}

#[test]
fn ports_of_a_run_are_moved_like_those_of_services() {
    let stack = stack!(
        "
services:
  web:
    image: busybox
    command: sleep 1000
    ports: [\"18480:80\"]
    depends_on: [db]
  db: {image: busybox, command: sleep 1000, ports: [\"18490:90\"]}
"
    );
    let main = stack.dir().to_owned();
    good(&stack, &main, &["up", "-d"]);
    let run = |flags: &[&str], name: &str| {
        let words = ["--instance", "b", "run", "-d", "--name", name];
        good(
            &stack,
            &main,
            &[&words, flags, &["web", "sleep", "1000"]].concat(),
        )
    };
    let held = |service: &str, port: u16, by: &str, instead: u16| {
        format!("{service}: {port} is held by {by} (stack), using {instead}")
    };
    let (own, copy) = (stack.project().to_owned(), format!("{}-b", stack.project()));
    // What it needs has other ports; its own are not published.
    let said = run(&[], "first");
    assert!(
        said.err.contains(&held("db", 18490, &own, 18491)),
        "{said:?}"
    );
    assert!(!said.err.contains("web:"), "{said:?}");
    let said = run(&["-P"], "second");
    assert!(
        said.err.contains(&held("web", 18480, &own, 18481)),
        "{said:?}"
    );
    // Beside another container of the copy it moves further.
    let said = run(&["-p", "18481:80"], "third");
    assert!(
        said.err.contains(&held("web", 18481, &copy, 18482)),
        "{said:?}"
    );
    let ports = |name: &str| {
        let found = stack.inspect(name);
        found["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"].clone()
    };
    assert_eq!(
        (ports("second"), ports("third")),
        ("18481".into(), "18482".into())
    );
    for instance in ["b", ""] {
        good(&stack, &main, &["--instance", instance, "down", "-t", "0"]);
    }
}

#[test]
fn a_plan_shows_the_ports_and_keeps_nothing_of_them() {
    let stack = stack!(WEB);
    let directory = stack.dir().to_owned();
    let other = std::net::TcpListener::bind(("0.0.0.0", 18080)).unwrap();
    let said = good(&stack, &directory, &["plan", "--instance", "d"]);
    assert!(said.err.contains("web: 18080 is held by "), "{said:?}");
    assert!(said.err.contains(", using 18081"), "{said:?}");
    assert!(said.out.contains("create container the-web-d"), "{said:?}");
    drop(other);
    let said = good(&stack, &directory, &["plan", "--instance", "d"]);
    assert!(!said.err.contains("using"), "{said:?}");
}

#[test]
fn a_second_directory_under_the_same_name_is_refused_to_an_instance_and_told_to_a_project() {
    let stack = stack!("services: {web: {image: busybox, command: sleep 1000}}");
    let (first, second) = (stack.dir().to_owned(), work_tree(&stack, "second"));
    good(&stack, &first, &["up", "-d", "--instance", "e"]);
    let said = run(&stack, &second, &["up", "-d", "--instance", "e"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("instance e of project"), "{said:?}");
    assert!(said.err.contains("--instance NAME"), "{said:?}");

    let up = |directory: &Path| {
        let mut command = stack.command(&["up", "-d"]);
        command.env_remove("COMPOSE_PROJECT_NAME");
        let output = command.current_dir(directory).output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = "name: same\nservices: {web: {image: busybox, command: sleep 1000}}";
    for directory in [&first, &second] {
        fs::write(directory.join("stack.yaml"), text).unwrap();
    }
    assert!(!up(&first).contains("taken over"));
    let said = up(&second);
    assert!(said.contains("project same was brought up from"), "{said}");
    assert!(said.contains("stack up --instance auto"), "{said}");
}

#[test]
fn a_name_that_is_none_is_told_with_one_that_is() {
    let stack = stack!("services: {web: {image: busybox}}");
    let said = run(&stack, stack.dir(), &["config", "--instance", "My Feature"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("`my-feature`"), "{said:?}");
}
