//! On a machine whose firewall belongs to Docker, which drops all that is forwarded and not its own.

use std::process::{Child, Command, Stdio};

use crate::harness::{Stack, eventually, machine, stack};

/// What Docker leaves in the firewall: a policy, and chains that let its own bridges through.
const DOCKERS_RULES: &str = "
add table ip filter
add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }
add chain ip filter DOCKER-USER
add chain ip filter DOCKER-FORWARD
add rule ip filter FORWARD jump DOCKER-USER
add rule ip filter FORWARD jump DOCKER-FORWARD
add rule ip filter DOCKER-FORWARD iifname docker0 accept
";

const WEB: &str = "
services:
  web:
    image: busybox
    command: sh -c 'echo from the web > /index.html; exec httpd -f -p 80 -h /'
    ports: ['8080:80']
  client:
    image: busybox
    command: sleep 1000
";

/// Another machine, reached through a cable.
struct Neighbour(Child);

impl Neighbour {
    const OWN: &str = "192.0.2.1/24";
    const ITS: &str = "192.0.2.2/24";

    fn start() -> Self {
        let mut command = Command::new("unshare");
        command
            .args(["--net", "sleep", "1000"])
            .stdout(Stdio::null());
        let neighbour = Self(command.spawn().expect("the program unshare"));
        let pid = neighbour.0.id().to_string();
        let own = std::fs::read_link("/proc/thread-self/ns/net").expect("a network");
        eventually("it has a network of its own", || {
            let its = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
            (its != own).then_some(())
        });
        let ip = |line: &str| machine::run("ip", line.split(' '));
        ip(&format!(
            "link add cable type veth peer name eth0 netns {pid}"
        ));
        ip(&format!("address add {} dev cable", Self::OWN));
        ip("link set cable up");
        neighbour.run("ip", &["link", "set", "lo", "up"]);
        neighbour.run("ip", &["address", "add", Self::ITS, "dev", "eth0"]);
        neighbour.run("ip", &["link", "set", "eth0", "up"]);
        neighbour
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let pid = self.0.id().to_string();
        let enter = ["--net", "--target", &pid, "--", program];
        machine::run("nsenter", enter.iter().chain(arguments))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        // Its end of the cable goes with its network; the kernel takes its time.
        let _ = Command::new("ip").args(["link", "del", "cable"]).output();
    }
}

fn dockers_rules(stack: &Stack) {
    stack.file("rules.nft", DOCKERS_RULES);
    let file = stack.dir().join("rules.nft");
    machine::run("nft", ["-f".as_ref(), file.as_os_str()]);
}

fn rules() -> String {
    machine::run("nft", ["list", "table", "ip", "filter"])
}

#[test]
fn published_ports_are_reached_from_outside() {
    let stack = stack!(WEB, needs: ["unshare", "nsenter"]);
    dockers_rules(&stack);
    let neighbour = Neighbour::start();
    stack.up();
    assert_eq!(stack.http(8080), "from the web\n");
    let url = "http://192.0.2.1:8080/";
    let answer = neighbour.run("timeout", &["5", "busybox", "wget", "-qO-", url]);
    assert_eq!(answer, "from the web\n");
    stack.down();
}

#[test]
fn containers_reach_each_other_and_the_outside() {
    let stack = stack!(WEB, needs: ["unshare", "nsenter"]);
    dockers_rules(&stack);
    let neighbour = Neighbour::start();
    stack.up();
    stack.http(8080);
    let answer = stack.exec("client", "timeout 5 wget -qO- http://web/");
    assert_eq!(answer, "from the web\n");
    // The neighbour has no way to the containers' addresses: it answers who seems to ask.
    stack.exec("client", "ping -c 1 -W 5 192.0.2.2");
    drop(neighbour);
    stack.down();
}

#[test]
fn dockers_rules_are_afterwards_as_they_were() {
    let stack = stack!(WEB);
    dockers_rules(&stack);
    let before = rules();
    stack.up();
    assert_ne!(rules(), before);
    assert!(rules().contains("policy drop"), "{}", rules());
    stack.down();
    stack.wait_for_quiet();
    assert_eq!(rules(), before);
}
