//! One published port in front of several replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::machine::run;
use crate::harness::{Stack, eventually, http, signal_to, stack};

/// A service that answers with its host name, at `/cgi-bin/slow` when there is a file `/go`, and ends
/// when asked.
pub(crate) const WEB: &str = r##"sh -c 'mkdir -p /www/cgi-bin; hostname > /www/index.html; { echo "#!/bin/sh"; echo "touch /busy; while ! test -e /go; do sleep 0.02; done; printf \"\\r\\n\"; hostname"; } > /www/cgi-bin/slow; chmod +x /www/cgi-bin/slow; trap exit TERM; httpd -p 80 -h /www; sleep 1000 & wait'"##;

/// Who answers, and how often, of this many requests one after the other.
fn answers(stack: &Stack, port: u16, requests: usize) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for _ in 0..requests {
        *count.entry(stack.http(port).trim().to_owned()).or_default() += 1;
    }
    count
}

/// Waits until all replicas answer: they run a little before they listen.
fn wait_for_all(stack: &Stack, port: u16, replicas: usize) {
    eventually("all replicas answer", || {
        (answers(stack, port, replicas).len() == replicas).then_some(())
    });
}

/// How a replica of `web` calls itself.
fn hostname(stack: &Stack, number: u32) -> String {
    let inspected = stack.inspect(&stack.name("web", number));
    let name = inspected["Config"]["Hostname"].as_str();
    name.expect("a host name").to_owned()
}

#[test]
fn replicas_share_a_published_port_and_take_turns() {
    let stack = stack!(format!(
        "services: {{web: {{image: busybox, command: {}, ports: ['8080:80'], scale: 3}}}}",
        yaml(WEB)
    ));
    run("ip", ["addr", "add", "198.51.100.1/24", "dev", "lo"]);
    let up = stack.up();
    assert!(!up.stderr.contains("publish"), "{up}");
    wait_for_all(&stack, 8080, 3);
    let count = answers(&stack, 8080, 9);
    assert!(
        count.len() == 3 && count.values().all(|n| *n == 3),
        "{count:?}"
    );
    for address in ["198.51.100.1", "::1"] {
        let mut seen = BTreeSet::new();
        for _ in 0..6 {
            seen.insert(http::get((address, 8080), "/").unwrap());
        }
        assert_eq!(seen.len(), 3, "{address}");
    }
    // One is left without a proxy in between, and comes back behind it.
    stack.stack(&["up", "-d", "--scale", "web=1"]).succeeds();
    assert_eq!(answers(&stack, 8080, 3).len(), 1);
    assert_eq!(
        http::get(("198.51.100.1", 8080), "/").unwrap(),
        stack.http(8080)
    );
    let table = run("nft", ["list", "map", "inet", "stack", "any4"]);
    assert!(table.contains("8080"), "{table}");
    stack.stack(&["up", "-d", "--scale", "web=2"]).succeeds();
    wait_for_all(&stack, 8080, 2);
    let table = run("nft", ["list", "map", "inet", "stack", "any4"]);
    assert!(!table.contains("8080"), "{table}");
    stack.down();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, 8080)).is_err());
}

#[test]
fn only_healthy_replicas_get_connections() {
    let stack = stack!(format!(
        "
services:
  web:
    image: busybox
    command: {}
    ports: ['8080:80']
    scale: 3
    healthcheck: {{test: '! test -e /sick', interval: 200ms, retries: 1}}
",
        yaml(WEB)
    ));
    stack.stack(&["up", "-d", "--wait"]).succeeds();
    wait_for_all(&stack, 8080, 3);
    let sick = hostname(&stack, 2);
    let arguments = ["exec", "-T", "--index", "2", "web", "touch", "/sick"];
    stack.stack(&arguments).succeeds();
    eventually("it is unhealthy", || {
        let rows = stack.replicas("web");
        rows.iter()
            .any(|row| row.health == "unhealthy")
            .then_some(())
    });
    let count = answers(&stack, 8080, 8);
    assert!(count.len() == 2 && !count.contains_key(&sick), "{count:?}");
    let arguments = ["exec", "-T", "--index", "2", "web", "rm", "/sick"];
    stack.stack(&arguments).succeeds();
    wait_for_all(&stack, 8080, 3);
}

#[test]
fn a_replica_that_refuses_is_passed_over() {
    let stack = stack!(format!(
        "services: {{web: {{image: busybox, command: {}, ports: ['8080:80'], scale: 2}}}}",
        yaml(WEB)
    ));
    stack.up();
    wait_for_all(&stack, 8080, 2);
    let silent = hostname(&stack, 1);
    let arguments = ["exec", "-T", "--index", "1", "web", "killall", "httpd"];
    stack.stack(&arguments).succeeds();
    eventually("nobody listens there", || {
        let count = answers(&stack, 8080, 4);
        (count.len() == 1).then_some(())
    });
    let count = answers(&stack, 8080, 10);
    assert!(!count.contains_key(&silent), "{count:?}");
}

#[test]
fn a_replica_that_is_scaled_away_ends_what_it_has_begun() {
    let stack = stack!(format!(
        "services: {{web: {{image: busybox, command: {}, ports: ['8080:80'], scale: 3}}}}",
        yaml(WEB)
    ));
    stack.up();
    wait_for_all(&stack, 8080, 3);
    let slow: Vec<_> = (0..3)
        .map(|_| std::thread::spawn(|| http::get((Ipv4Addr::LOCALHOST, 8080), "/cgi-bin/slow")))
        .collect();
    let inside = |number: u32, arguments: &[&str]| {
        let index = number.to_string();
        let all = [&["exec", "-T", "--index", &index, "web"], arguments].concat();
        stack.stack(&all).code == 0
    };
    for number in 1..=3 {
        eventually("it is answering", || {
            inside(number, &["test", "-e", "/busy"]).then_some(())
        });
    }
    let up = stack.start(&["up", "-d", "--scale", "web=1"]);
    eventually("what is new goes to one", || {
        (answers(&stack, 8080, 4).len() == 1).then_some(())
    });
    assert_eq!(stack.replicas("web").len(), 3);
    for number in 1..=3 {
        assert!(inside(number, &["touch", "/go"]));
    }
    let answered: BTreeSet<String> = slow
        .into_iter()
        .map(|request| request.join().unwrap().expect("an answer"))
        .collect();
    assert_eq!(answered.len(), 3);
    up.finish().succeeds();
    assert_eq!(stack.replicas("web").len(), 1);
}

#[test]
fn a_range_gives_each_replica_a_port_of_its_own() {
    let stack = stack!(format!(
        "services: {{web: {{image: busybox, command: {}, ports: ['8080-8082:80'], scale: 3}}}}",
        yaml(WEB)
    ));
    stack.up();
    let mut seen = BTreeSet::new();
    for port in 8080..=8082 {
        let name = eventually("it answers", || {
            http::get((Ipv4Addr::LOCALHOST, port), "/").ok()
        });
        assert!(seen.insert(name), "{port}");
    }
}

#[test]
fn a_port_of_another_service_of_the_project_is_named_with_it() {
    let service = |name| {
        format!("services: {{{name}: {{image: busybox, command: sleep 1000, ports: ['8080:80']}}}}")
    };
    let stack = stack!(service("one"));
    stack.up();
    // It has left the file and runs on.
    stack.file("stack.yaml", service("two"));
    let output = stack.stack(&["up", "-d"]);
    assert_eq!(output.code, 1, "{output}");
    let told = "port 8080 is published by service one already";
    assert!(output.stderr.contains(told), "{output}");
}

#[test]
fn datagrams_of_a_caller_stay_with_one_replica_as_long_as_it_is_there() {
    // This very program, which is static, runs inside.
    let program = std::env::current_exe().unwrap();
    let stack = stack!(format!(
        "
services:
  who:
    image: busybox
    command: /it --ignored --exact balance::udp_who --test-threads=1
    volumes: ['{}:/it:ro']
    ports: ['5353:5353/udp']
    scale: 2
",
        program.display()
    ));
    stack.up();
    let who = |socket: &UdpSocket| {
        eventually("the answer", || {
            let mut buffer = [0; 64];
            socket.send(b"who").ok()?;
            let count = socket.recv(&mut buffer).ok()?;
            Some(buffer[..count].to_vec())
        })
    };
    let callers = [(); 2].map(|()| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect("127.0.0.1:5353").unwrap();
        let patience = Duration::from_millis(200);
        socket.set_read_timeout(Some(patience)).unwrap();
        socket
    });
    let first = [who(&callers[0]), who(&callers[1])];
    assert_ne!(first[0], first[1]);
    for _ in 0..3 {
        assert_eq!([who(&callers[0]), who(&callers[1])], first);
    }
    stack.stack(&["up", "-d", "--scale", "who=1"]).succeeds();
    eventually("both are with the one that is left", || {
        (who(&callers[0]) == who(&callers[1])).then_some(())
    });
}

#[test]
#[ignore = "no test, but a program for a container of one"]
fn udp_who() {
    let name = std::fs::read_to_string("/etc/hostname").unwrap();
    let socket = UdpSocket::bind("0.0.0.0:5353").unwrap();
    loop {
        let (_, from) = socket.recv_from(&mut [0; 64]).unwrap();
        socket.send_to(name.as_bytes(), from).unwrap();
    }
}

/// What became of many connections.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    pub(crate) broken: AtomicUsize,
    pub(crate) seen: std::sync::Mutex<BTreeSet<String>>,
    pub(crate) failures: std::sync::Mutex<Vec<String>>,
}

impl Tally {
    fn once(&self, port: u16) {
        match ask(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(answer) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.seen.lock().unwrap().insert(answer);
            }
            Err(error) => {
                let count = match error.kind() {
                    ErrorKind::ConnectionRefused => &self.refused,
                    _ => &self.broken,
                };
                count.fetch_add(1, Ordering::Relaxed);
                self.failures.lock().unwrap().push(error.to_string());
            }
        }
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.trim().to_owned()),
        _ => Err(std::io::Error::other(format!("not an answer: {answer:?}"))),
    }
}

/// Asks for `/` all the time, from two threads, while `work` is done.
pub(crate) fn under_load(port: u16, work: impl FnOnce(&Tally)) -> Arc<Tally> {
    let (tally, done) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
    let load: Vec<_> = (0..2)
        .map(|_| {
            let (tally, done) = (Arc::clone(&tally), Arc::clone(&done));
            std::thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    tally.once(port);
                    std::thread::sleep(Duration::from_millis(2));
                }
            })
        })
        .collect();
    work(&tally);
    done.store(true, Ordering::Relaxed);
    for thread in load {
        thread.join().unwrap();
    }
    tally
}

#[test]
fn no_connection_is_refused_when_the_supervisor_is_killed() {
    let stack = stack!(format!(
        "services: {{web: {{image: busybox, command: {}, ports: ['8080:80'], scale: 2}}}}",
        yaml(WEB)
    ));
    stack.up();
    wait_for_all(&stack, 8080, 2);
    let tally = under_load(8080, |tally| {
        for _ in 0..3 {
            let first = eventually("a supervisor", || stack.supervisor());
            signal_to(first, rustix::process::Signal::KILL);
            eventually("another one that answers", || {
                let other = stack.supervisor().filter(|pid| *pid != first);
                other.and_then(|_| http::get((Ipv4Addr::LOCALHOST, 8080), "/").ok())
            });
            let before = tally.answered.load(Ordering::Relaxed);
            eventually("it goes on", || {
                (tally.answered.load(Ordering::Relaxed) > before + 10).then_some(())
            });
        }
    });
    assert_eq!(tally.refused.load(Ordering::Relaxed), 0, "{tally:?}");
    // Those that it carried at that moment end with it: at most one of each thread and time.
    assert!(tally.broken.load(Ordering::Relaxed) <= 6, "{tally:?}");
    assert!(tally.answered.load(Ordering::Relaxed) > 20, "{tally:?}");
    assert_eq!(tally.seen.lock().unwrap().len(), 2, "{tally:?}");
}

/// Text as a double-quoted scalar.
pub(crate) fn yaml(text: &str) -> String {
    serde_json::to_string(text).expect("text")
}
