//! What containers have and use: `port`, `top`, `stats`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{SHOP, documents};
use crate::harness::{eventually, stack};

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
