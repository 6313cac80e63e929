//! Who reaches whom, by which name and at which port.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use crate::harness::machine::run;
use crate::harness::{Stack, eventually, stack};

/// A service that answers with its name to HTTP at port 80.
const WEB: &str = "sh -c 'mkdir /www; echo $$HOSTNAME > /www/index.html; httpd -f -p 80 -h /www'";

/// Runs a script inside until it succeeds; its output.
#[track_caller]
fn try_exec(stack: &Stack, service: &str, script: &str) -> String {
    eventually(&format!("`{script}` in {service}"), || {
        let output = stack.stack(&["exec", "-T", service, "sh", "-c", script]);
        (output.code == 0).then_some(output.stdout)
    })
}

/// A script inside fails.
#[track_caller]
fn cannot(stack: &Stack, service: &str, script: &str) {
    let output = stack.stack(&["exec", "-T", service, "sh", "-c", script]);
    assert_ne!(output.code, 0, "{output}");
}

fn address(stack: &Stack, service: &str, network: &str) -> Ipv4Addr {
    let inspected = stack.inspect(&stack.container(service).name);
    let network = format!("{}_{network}", stack.project());
    let address = &inspected["NetworkSettings"]["Networks"][&network]["IPAddress"];
    let address = address
        .as_str()
        .unwrap_or_else(|| panic!("{}", inspected["NetworkSettings"]));
    address
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {address}"))
}

#[test]
fn services_find_each_other_by_service_alias_and_container_name() {
    let stack = stack!(format!(
        "
services:
  web:
    image: busybox
    hostname: answer
    command: {WEB}
    networks: {{default: {{aliases: [www.example]}}}}
  client: {{image: busybox, command: sleep 1000}}
"
    ));
    stack.up();
    for name in ["web", "www.example", &stack.name("web", 1)] {
        let body = try_exec(&stack, "client", &format!("wget -q -O - http://{name}/"));
        assert_eq!(body, "answer\n", "{name}");
    }
    cannot(&stack, "client", "nslookup no-such-name");
}

#[test]
fn the_name_of_a_service_is_all_its_replicas() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sleep 1000, scale: 3}
  client: {image: busybox, command: sleep 1000}
"
    );
    stack.up();
    let output = try_exec(&stack, "client", "nslookup -type=a web 127.0.0.11");
    let mut addresses: Vec<&str> = output
        .lines()
        .filter(|line| line.starts_with("Address"))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    // The server's own and three.
    assert_eq!(addresses.len(), 4, "{output}");
    stack.stack(&["stop", "web"]).succeeds();
    cannot(
        &stack,
        "client",
        "nslookup -type=a web 127.0.0.11 | grep -v 127.0.0.11 | grep Address",
    );
}

#[test]
fn two_networks_keep_their_services_apart() {
    let stack = stack!(format!(
        "
services:
  front: {{image: busybox, command: sleep 1000, networks: [front]}}
  between: {{image: busybox, command: sleep 1000, networks: [front, back]}}
  back: {{image: busybox, command: {WEB}, networks: [back]}}
networks: {{front: , back: }}
"
    ));
    stack.up();
    try_exec(&stack, "between", "wget -q -O - http://back/");
    cannot(&stack, "front", "nslookup back");
    let back = address(&stack, "back", "back");
    try_exec(
        &stack,
        "between",
        &format!("timeout 2 wget -q -O - http://{back}/"),
    );
    cannot(
        &stack,
        "front",
        &format!("timeout 1 wget -q -O - http://{back}/"),
    );
    cannot(&stack, "front", &format!("ping -c 1 -W 1 {back}"));
}

/// Gives the test's machine a neighbour at 198.51.100.2; the machine itself has 198.51.100.1.
struct Neighbour(String);

impl Neighbour {
    fn new() -> Self {
        let name = format!("n{:08x}", fastrand::u32(..));
        run("ip", ["netns", "add", &name]);
        let neighbour = Self(name.clone());
        run(
            "ip",
            [
                "link", "add", "outside", "type", "veth", "peer", "name", "inside", "netns", &name,
            ],
        );
        run("ip", ["addr", "add", "198.51.100.1/24", "dev", "outside"]);
        run("ip", ["link", "set", "outside", "up"]);
        run(
            "ip",
            [
                "-n",
                &name,
                "addr",
                "add",
                "198.51.100.2/24",
                "dev",
                "inside",
            ],
        );
        run("ip", ["-n", &name, "link", "set", "inside", "up"]);
        neighbour
    }

    /// Runs a command at the neighbour's.
    fn run(&self, script: &str) -> std::process::Output {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &self.0, "busybox", "sh", "-c", script]);
        command.output().expect("ip runs")
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip")
            .args(["link", "del", "outside"])
            .status();
        let _ = std::process::Command::new("ip")
            .args(["netns", "del", &self.0])
            .status();
    }
}

#[test]
fn a_container_reaches_outside_but_not_from_an_internal_network() {
    let stack = stack!(
        "
services:
  open: {image: busybox, command: sleep 1000}
  closed: {image: busybox, command: sleep 1000, networks: [closed]}
  peer: {image: busybox, command: sleep 1000, networks: [closed]}
networks: {closed: {internal: true}}
"
    );
    let _neighbour = Neighbour::new();
    stack.up();
    try_exec(&stack, "open", "ping -c 1 -W 1 198.51.100.2");
    try_exec(&stack, "closed", "ping -c 1 -W 1 peer");
    cannot(&stack, "closed", "ping -c 1 -W 1 198.51.100.2");
    cannot(&stack, "closed", "ping -c 1 -W 1 198.51.100.1");
}

#[test]
fn a_published_port_answers_from_localhost_the_machine_s_address_outside_and_containers() {
    let stack = stack!(format!(
        "
services:
  web: {{image: busybox, hostname: answer, command: {WEB}, ports: ['8080:80']}}
  client: {{image: busybox, command: sleep 1000, networks: [other]}}
networks: {{other: }}
"
    ));
    let neighbour = Neighbour::new();
    stack.up();
    assert_eq!(stack.http(8080), "answer\n");
    let from_host = crate::harness::http::get(("198.51.100.1", 8080), "/");
    assert_eq!(from_host.unwrap(), "answer\n");
    let from_outside = neighbour.run("timeout 5 wget -q -O - http://198.51.100.1:8080/");
    assert_eq!(
        String::from_utf8_lossy(&from_outside.stdout),
        "answer\n",
        "{from_outside:?}"
    );
    let gateway = try_exec(
        &stack,
        "client",
        "ip route | grep default | awk '{print $3}'",
    );
    for address in [gateway.trim(), "198.51.100.1"] {
        let fetch = format!("timeout 5 wget -q -O - http://{address}:8080/");
        assert_eq!(try_exec(&stack, "client", &fetch), "answer\n", "{address}");
    }
    // And from itself, by the port that it is published at.
    let fetch = "timeout 5 wget -q -O - http://198.51.100.1:8080/";
    assert_eq!(try_exec(&stack, "web", fetch), "answer\n");
    let over_ipv6 = crate::harness::http::get(("::1", 8080), "/");
    assert_eq!(over_ipv6.unwrap(), "answer\n");
}

#[test]
fn a_port_published_at_localhost_only_is_not_seen_outside() {
    let stack = stack!(format!(
        "
services:
  web: {{image: busybox, hostname: answer, command: {WEB}, ports: ['127.0.0.1:8080:80']}}
"
    ));
    let neighbour = Neighbour::new();
    stack.up();
    assert_eq!(stack.http(8080), "answer\n");
    let output = neighbour.run("timeout 1 wget -q -O - http://198.51.100.1:8080/");
    assert!(!output.status.success(), "{output:?}");
    // Nor by somebody who sends packets for 127.0.0.1 or for the container itself over the wire.
    let container = address(&stack, "web", "default");
    let script = format!(
        "ip route add {container}/32 via 198.51.100.1; timeout 1 wget -q -O - http://{container}/"
    );
    let output = neighbour.run(&script);
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn a_udp_port_is_published_too() {
    // This very program, which is static, runs inside.
    let program = std::env::current_exe().unwrap();
    let stack = stack!(format!(
        "
services:
  echo:
    image: busybox
    command: /it --ignored --exact network::udp_echo --test-threads=1
    volumes: ['{}:/it:ro']
    ports: ['5353:5353/udp']
  client: {{image: busybox, command: sleep 1000}}
",
        program.display()
    ));
    stack.up();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:5353").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let answer = eventually("the answer", || {
        let mut buffer = [0; 64];
        socket.send(b"hello").ok()?;
        let count = socket.recv(&mut buffer).ok()?;
        Some(buffer[..count].to_vec())
    });
    assert_eq!(answer, b"hello");
    // The flow goes on with the next container, although its address may be another one.
    stack
        .stack(&["up", "-d", "--force-recreate", "echo"])
        .succeeds();
    eventually("an answer of the new container", || {
        let mut buffer = [0; 64];
        socket.send(b"again").ok()?;
        let count = socket.recv(&mut buffer).ok()?;
        (&buffer[..count] == b"again").then_some(())
    });
}

#[test]
#[ignore = "no test, but a program for a container of one"]
fn udp_echo() {
    let socket = UdpSocket::bind("0.0.0.0:5353").unwrap();
    let mut buffer = [0; 2048];
    loop {
        let (count, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&buffer[..count], from).unwrap();
    }
}

#[test]
fn a_connection_through_a_published_port_carries_much_and_ends_by_halves() {
    let stack = stack!(
        "
services:
  count:
    image: busybox
    command: sh -c 'while :; do nc -l -p 9000 -e wc -c; done'
    ports: ['9000:9000']
"
    );
    stack.up();
    let sum = eventually("the answer", || {
        let mut stream = TcpStream::connect("127.0.0.1:9000").ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .ok()?;
        stream.write_all(&vec![b'x'; 3 << 20]).ok()?;
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    });
    assert_eq!(sum.trim(), (3 << 20).to_string());
}

#[test]
fn a_range_of_ports_and_a_random_one_are_shown_by_ps() {
    let stack = stack!(
        "
services:
  web:
    image: busybox
    command: sleep 1000
    ports: ['7000-7002:80-82', '99']
"
    );
    stack.up();
    let ports = stack.container("web").publishers;
    for (published, target) in [(7000, 80), (7001, 81), (7002, 82)] {
        let found = ports.iter().find(|port| port.published_port == published);
        assert_eq!(
            found.map(|port| port.target_port),
            Some(target),
            "{ports:#?}"
        );
    }
    let random = ports.iter().find(|port| port.target_port == 99).unwrap();
    assert!(random.published_port >= 1024, "{random:#?}");
    assert_eq!(
        (random.protocol.as_str(), random.url.as_str()),
        ("tcp", "0.0.0.0")
    );
    let table = stack.stack(&["ps"]).succeeds();
    table.stdout_contains(&format!("0.0.0.0:{}->99/tcp", random.published_port));
}

#[test]
fn a_taken_port_names_its_holder_and_the_others_still_run() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sleep 1000, ports: ['8080:80']}
  other: {image: busybox, command: sleep 1000}
"
    );
    let held = TcpListener::bind("0.0.0.0:8080").unwrap();
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    let pid = std::process::id();
    up.stderr_contains("8080")
        .stderr_contains("web")
        .stderr_contains(&format!("pid {pid}"));
    assert_eq!(stack.container("other").state, "running");
    assert_ne!(stack.container("web").state, "running");
    drop(held);
    stack.up();
    assert_eq!(stack.container("web").state, "running");
}

#[test]
fn two_services_cannot_have_the_same_port() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: sleep 1000, ports: ['8080:80']}
  two: {image: busybox, command: sleep 1000, ports: ['8080:80']}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("8080");
}

#[test]
fn a_port_moves_to_the_new_container_when_its_service_is_replaced() {
    let text = |answer: &str| {
        format!(
            "services: {{web: {{image: busybox, hostname: {answer}, command: {WEB}, ports: ['8080:80']}}}}"
        )
    };
    let stack = stack!(text("first"));
    stack.up();
    assert_eq!(stack.http(8080), "first\n");
    stack.file("stack.yaml", text("second"));
    stack.up();
    eventually("the new one answers", || {
        (stack.http(8080) == "second\n").then_some(())
    });
    stack.stack(&["stop"]).succeeds();
    assert!(TcpStream::connect("127.0.0.1:8080").is_err());
    stack.stack(&["start"]).succeeds();
    assert_eq!(stack.http(8080), "second\n");
}

#[test]
fn a_static_address_is_given_and_kept() {
    let stack = stack!(
        "
services:
  one:
    image: busybox
    command: sleep 1000
    networks: {fixed: {ipv4_address: 10.123.45.67}}
  two: {image: busybox, command: sleep 1000, networks: [fixed]}
networks:
  fixed: {ipam: {config: [{subnet: 10.123.45.0/24, gateway: 10.123.45.200}]}}
"
    );
    stack.up();
    assert_eq!(address(&stack, "one", "fixed").to_string(), "10.123.45.67");
    let route = stack.exec("one", "ip route");
    assert!(route.contains("default via 10.123.45.200"), "{route}");
    stack.stack(&["up", "-d", "--force-recreate"]).succeeds();
    assert_eq!(address(&stack, "one", "fixed").to_string(), "10.123.45.67");
    try_exec(&stack, "two", "ping -c 1 -W 1 one");
}

#[test]
fn addresses_outside_of_the_machine_s_own_ranges_are_chosen() {
    let stack = stack!("services: {one: {image: busybox, command: sleep 1000}}");
    // Another program's network, in the range that would be taken first.
    stack.up();
    let first = address(&stack, "one", "default");
    stack.down();
    run(
        "ip",
        ["link", "add", "vpn", "type", "veth", "peer", "name", "far"],
    );
    run("ip", ["addr", "add", &format!("{first}/16"), "dev", "vpn"]);
    run("ip", ["link", "set", "vpn", "up"]);
    stack.up();
    let second = address(&stack, "one", "default");
    assert_ne!(second.octets()[..2], first.octets()[..2]);
    run("ip", ["link", "del", "vpn"]);
}

#[test]
fn without_a_network_there_is_only_the_loopback() {
    let stack = stack!(
        "services: {one: {image: busybox, network_mode: none, command: sh -c 'ls /sys/class/net; cat /proc/net/route | wc -l'}}"
    );
    stack.up();
    stack.wait_for_state("one", "exited");
    assert_eq!(stack.logs("one"), "lo\n1\n");
}

#[test]
fn the_machine_s_network_can_be_used() {
    let stack = stack!(format!(
        "services: {{web: {{image: busybox, network_mode: host, command: {WEB}}}}}"
    ));
    stack.up();
    assert!(!stack.http(80).is_empty());
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let theirs = std::fs::read_link(format!("/proc/{}/ns/net", stack.pid("web"))).unwrap();
    assert_eq!(own, theirs);
}

#[test]
fn a_service_can_share_the_network_of_another() {
    let stack = stack!(format!(
        "
services:
  web: {{image: busybox, hostname: answer, command: {WEB}}}
  beside: {{image: busybox, network_mode: 'service:web', command: sleep 1000}}
"
    ));
    stack.up();
    assert_eq!(
        try_exec(&stack, "beside", "wget -q -O - http://127.0.0.1/"),
        "answer\n"
    );
    // A new container of the one takes the other along.
    let before = stack.container("beside").id;
    stack.stack(&["restart", "web"]).succeeds();
    assert_eq!(
        try_exec(&stack, "beside", "wget -q -O - http://127.0.0.1/"),
        "answer\n"
    );
    stack
        .stack(&["up", "-d", "--force-recreate", "web"])
        .succeeds();
    assert_eq!(
        try_exec(&stack, "beside", "wget -q -O - http://127.0.0.1/"),
        "answer\n"
    );
    let _ = before;
}

#[test]
fn names_are_answered_while_programs_come_and_go() {
    let stack = stack!(format!(
        "
services:
  web: {{image: busybox, hostname: answer, command: {WEB}}}
  client: {{image: busybox, command: sleep 1000}}
"
    ));
    stack.up();
    try_exec(&stack, "client", "wget -q -O - http://web/");
    stack
        .stack(&["up", "-d", "--force-recreate", "web"])
        .succeeds();
    assert_eq!(
        try_exec(&stack, "client", "timeout 2 wget -q -O - http://web/"),
        "answer\n"
    );
}

#[test]
fn reverse_names_are_answered() {
    let stack = stack!(
        "
services:
  web: {image: busybox, command: sleep 1000}
  client: {image: busybox, command: sleep 1000}
"
    );
    stack.up();
    let web = address(&stack, "web", "default");
    let output = try_exec(&stack, "client", &format!("nslookup {web} 127.0.0.11"));
    assert!(output.contains(&stack.name("web", 1)), "{output}");
}

#[test]
fn an_external_network_must_be_there_and_is_not_removed() {
    let stack = stack!(
        "
services:
  one: {image: busybox, command: sleep 1000, networks: [shared]}
  other: {image: busybox, command: sleep 1000}
networks: {shared: {external: true, name: not-there}}
"
    );
    let up = stack.stack(&["up", "-d"]).fails_with(1);
    up.stderr_contains("not-there");
    assert_eq!(stack.container("other").state, "running");
    let first: IpAddr = address(&stack, "other", "default").into();
    assert!(first.is_ipv4());
}

#[test]
fn it_works_beside_a_firewall_that_forwards_nothing() {
    let stack = stack!(format!(
        "
services:
  web: {{image: busybox, hostname: answer, command: {WEB}, ports: ['8080:80']}}
  client: {{image: busybox, command: sleep 1000}}
"
    ));
    // As Docker has it.
    run(
        "nft",
        [
            "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority filter; policy drop; }; add chain ip filter DOCKER-USER; add rule ip filter FORWARD counter jump DOCKER-USER",
        ],
    );
    let before = run("nft", ["list", "table", "ip", "filter"]);
    let neighbour = Neighbour::new();
    stack.up();
    assert_eq!(stack.http(8080), "answer\n");
    assert_eq!(
        try_exec(&stack, "client", "timeout 2 wget -q -O - http://web/"),
        "answer\n"
    );
    try_exec(&stack, "client", "ping -c 1 -W 1 198.51.100.2");
    let outside = neighbour.run("timeout 5 wget -q -O - http://198.51.100.1:8080/");
    assert_eq!(
        String::from_utf8_lossy(&outside.stdout),
        "answer\n",
        "{outside:?}"
    );
    stack.down();
    let after = run("nft", ["list", "table", "ip", "filter"]);
    let plain = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.split(" packets").next().unwrap_or(line).to_owned());
        lines.collect()
    };
    assert_eq!(plain(&after), plain(&before));
}
