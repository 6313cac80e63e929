//! Real traffic between network namespaces: containers, their host, and a neighbour of the host.

mod world;

use std::io::Write;
use std::net::{TcpListener, UdpSocket};

use super::*;
use crate::net::testing::{Namespace, have};
use world::{HOST, HOST6, PATIENCE, World, ask, ask_udp, publish, rule, serve, silence};

const TOOLS: [&str; 2] = ["ip", "nft"];

#[test]
fn published_ports_are_reached_from_outside_from_the_host_and_from_other_containers() {
    if !have(&TOOLS) {
        return;
    }
    let world = World::new();
    world.network(1, Reach::Outside);
    world.network(2, Reach::Outside);
    let (web, sibling, stranger) = (
        world.container(1, 2),
        world.container(1, 3),
        world.container(2, 4),
    );
    world.apply(vec![
        publish(Protocol::Tcp, 8080, "10.9.1.2"),
        publish(Protocol::Udp, 8080, "10.9.1.2"),
        publish(Protocol::Tcp, 8080, "fd09:1::2"),
        Change::Publish(PortRule {
            host_ip: Some(HOST.parse().unwrap()),
            ..rule(Protocol::Tcp, 8081, "10.9.1.2")
        }),
    ]);
    let host = format!("{HOST}:8080");
    assert_eq!(ask(&world.neighbour, &host), "2 192.0.2.2");
    assert_eq!(ask_udp(&world.neighbour, &host), "2 192.0.2.2");
    assert_eq!(
        ask(&world.neighbour, &format!("[{HOST6}]:8080")),
        "2 2001:db8::2"
    );
    assert_eq!(
        ask(&world.neighbour, &format!("{HOST}:8081")),
        "2 192.0.2.2"
    );
    assert_eq!(ask(&world.host, &host), "2 192.0.2.1");
    assert_eq!(
        ask(&world.host, &format!("[{HOST6}]:8080")),
        "2 2001:db8::1"
    );
    assert!(
        ask(&stranger, &host).starts_with("2 "),
        "from another network"
    );
    assert!(
        ask(&stranger, "10.9.2.1:8080").starts_with("2 "),
        "through its own gateway"
    );
    assert!(
        ask(&sibling, &host).starts_with("2 "),
        "from the same network"
    );
    assert!(
        ask_udp(&sibling, &host).starts_with("2 "),
        "from the same network by UDP"
    );
    assert_eq!(silence(&sibling, &format!("{HOST}:8082")), "nothing");
    // To itself a container talks through the port's holder: here, a server of the host.
    world.host.run(|| {
        let holder = TcpListener::bind("0.0.0.0:8080").unwrap();
        std::thread::spawn(move || {
            if let Ok((mut stream, _)) = holder.accept() {
                let _ = stream.write_all(b"holder");
            }
        });
    });
    assert_eq!(ask(&web, &host), "holder");
}

#[test]
fn the_same_holds_without_the_bridge_netfilter() {
    if !have(&TOOLS) {
        return;
    }
    let world = World::new();
    world
        .host
        .sh("for f in /proc/sys/net/bridge/bridge-nf-call-*tables; do echo 0 > $f; done");
    world.network(1, Reach::Outside);
    let (_web, sibling) = (world.container(1, 2), world.container(1, 3));
    world.apply(vec![
        publish(Protocol::Tcp, 8080, "10.9.1.2"),
        publish(Protocol::Tcp, 8080, "fd09:1::2"),
    ]);
    assert_eq!(ask(&sibling, &format!("{HOST}:8080")), "2 10.9.1.1");
    assert!(ask(&sibling, &format!("[{HOST6}]:8080")).starts_with("2 "));
    assert_eq!(
        ask(&world.neighbour, &format!("{HOST}:8080")),
        "2 192.0.2.2"
    );
    assert_eq!(ask(&sibling, "10.9.1.2:80"), "2 10.9.1.3");
}

#[test]
fn networks_are_isolated_and_internal_ones_have_no_outside() {
    if !have(&TOOLS) {
        return;
    }
    let world = World::new();
    serve(&world.neighbour, 99);
    world.network(1, Reach::Outside);
    world.network(2, Reach::Outside);
    world.network(3, Reach::Internal);
    let (one, _mate) = (world.container(1, 2), world.container(1, 3));
    let other = world.container(2, 4);
    let (closed, _closed_mate) = (world.container(3, 5), world.container(3, 6));

    assert_eq!(ask(&one, "10.9.1.3:80"), "3 10.9.1.2", "within one network");
    assert_eq!(
        ask(&one, "[fd09:1::3]:80"),
        "3 fd09:1::2",
        "within one network by IPv6"
    );
    assert_eq!(
        ask(&one, "192.0.2.2:80"),
        "99 192.0.2.1",
        "to the outside, masqueraded"
    );
    assert_eq!(
        ask(&one, "[2001:db8::2]:80"),
        "99 2001:db8::1",
        "to the outside by IPv6"
    );
    assert_eq!(
        silence(&one, "10.9.2.4:80"),
        "nothing",
        "to another network"
    );
    assert_eq!(
        silence(&one, "[fd09:2::4]:80"),
        "nothing",
        "to another network by IPv6"
    );
    assert_eq!(
        silence(&other, "10.9.1.3:80"),
        "nothing",
        "to another network, the other way"
    );
    assert_eq!(
        ask(&closed, "10.9.3.6:80"),
        "6 10.9.3.5",
        "within an internal network"
    );
    assert_eq!(
        silence(&closed, "192.0.2.2:80"),
        "nothing",
        "from an internal network"
    );
    assert_eq!(
        silence(&closed, "10.9.1.3:80"),
        "nothing",
        "from internal to another"
    );
    assert_eq!(
        silence(&one, "10.9.3.5:80"),
        "nothing",
        "to an internal network"
    );
    assert_eq!(
        silence(&world.neighbour, "10.9.1.2:80"),
        "nothing",
        "from outside, unpublished"
    );
    assert_eq!(
        silence(&world.neighbour, "10.9.3.5:80"),
        "nothing",
        "from outside to internal"
    );
    assert_eq!(
        ask(&world.host, "10.9.1.2:80"),
        "2 10.9.1.1",
        "from the host"
    );
    assert_eq!(
        ask(&world.host, "10.9.3.5:80"),
        "5 10.9.3.1",
        "from the host to internal"
    );
}

/// FORWARD chains as Docker and others leave them.
const DROPPING: &str = "add table ip filter; \
    add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; \
    add table ip6 filter; \
    add chain ip6 filter FORWARD { type filter hook forward priority 0; policy drop; }";

#[test]
fn traffic_passes_beside_forward_chains_that_drop() {
    if !have(&TOOLS) {
        return;
    }
    let world = World::new();
    serve(&world.neighbour, 99);
    world.host.sh(&format!(
        "nft '{DROPPING}; add chain ip filter DOCKER-USER; \
         add rule ip filter FORWARD jump DOCKER-USER'"
    ));
    world.network(1, Reach::Outside);
    world.network(2, Reach::Outside);
    let (one, _mate) = (world.container(1, 2), world.container(1, 3));
    let _other = world.container(2, 4);
    world.apply(vec![publish(Protocol::Tcp, 8080, "10.9.1.2")]);
    assert_eq!(ask(&one, "192.0.2.2:80"), "99 192.0.2.1");
    assert_eq!(ask(&one, "[2001:db8::2]:80"), "99 2001:db8::1");
    assert_eq!(ask(&one, "10.9.1.3:80"), "3 10.9.1.2");
    assert_eq!(
        ask(&world.neighbour, &format!("{HOST}:8080")),
        "2 192.0.2.2"
    );
    assert_eq!(silence(&one, "10.9.2.4:80"), "nothing");

    let docker = world.host.sh("nft list chain ip filter DOCKER-USER");
    assert_eq!(
        docker.matches("accept comment \"stack networks\"").count(),
        2,
        "{docker}"
    );
    let forward = world.host.sh("nft list chain ip6 filter FORWARD");
    assert_eq!(forward.matches("stk-*").count(), 2, "{forward}");
    let remove = |number| Change::RemoveNetwork {
        bridge: format!("stk-{number}"),
    };
    world.apply(vec![
        remove(1),
        Change::Unpublish(rule(Protocol::Tcp, 8080, "10.9.1.2")),
    ]);
    assert!(world.host.sh("nft list ruleset").contains("stack networks"));
    world.apply(vec![remove(2)]);
    let rules = world.host.sh("nft list ruleset");
    assert!(
        !rules.contains("stack") && rules.contains("jump DOCKER-USER"),
        "{rules}"
    );
}

#[test]
fn iptables_still_understands_its_chains() {
    if !have(&["ip", "nft", "iptables-nft"]) {
        return;
    }
    let world = World::new();
    serve(&world.neighbour, 99);
    world.host.sh("iptables-nft -P FORWARD DROP");
    world.network(1, Reach::Outside);
    let one = world.container(1, 2);
    assert_eq!(ask(&one, "192.0.2.2:80"), "99 192.0.2.1");
    let rules = world.host.sh("iptables-nft -S FORWARD");
    assert!(
        rules.contains("-i stk-+") && rules.contains("-o stk-+"),
        "{rules}"
    );
}

#[test]
fn a_dropping_chain_of_the_users_own_is_told() {
    if !have(&TOOLS) {
        return;
    }
    let host = Namespace::with_loopback();
    host.sh("nft 'add table inet mine; \
         add chain inet mine forward { type filter hook forward priority 0; policy drop; }'");
    let add = Change::AddNetwork {
        bridge: "stk-1".to_owned(),
        reach: Reach::Outside,
    };
    let warnings = host.run(move || apply(&[add]).unwrap());
    let expected = Warning::DroppingChain {
        family: "inet",
        table: "mine".to_owned(),
        chain: "forward".to_owned(),
    };
    assert_eq!(warnings, [expected]);
}

#[test]
fn what_was_applied_is_read_back_and_the_last_network_takes_the_table_along() {
    if !have(&TOOLS) {
        return;
    }
    let host = Namespace::with_loopback();
    let add = |name: &str, reach| Change::AddNetwork {
        bridge: name.to_owned(),
        reach,
    };
    let first = [add("stk-1", Reach::Outside), add("stk-2", Reach::Internal)];
    let (old, new) = (
        rule(Protocol::Tcp, 80, "10.9.1.2"),
        rule(Protocol::Tcp, 80, "10.9.1.3"),
    );
    let seen = host.run(move || {
        assert_eq!(snapshot().unwrap(), Snapshot::default());
        // Without a table, too.
        apply(&[Change::Publish(old)]).unwrap();
        apply(&first).unwrap();
        apply(&first).unwrap();
        apply(&[Change::Publish(old)]).unwrap();
        apply(&[Change::Publish(new)]).unwrap();
        apply(&[Change::Unpublish(old)]).unwrap();
        snapshot().unwrap()
    });
    let networks = [
        ("stk-1".to_owned(), Reach::Outside),
        ("stk-2".to_owned(), Reach::Internal),
    ];
    assert_eq!(
        seen,
        Snapshot {
            networks: networks.to_vec(),
            ports: vec![new]
        }
    );
    let listed = host.sh("nft list table inet stack");
    for text in [
        "tcp . 80 : 10.9.1.3 . 80",
        "\"stk-1\" . \"stk-1\"",
        "comment \"container network 1\"",
    ] {
        assert!(listed.contains(text), "{text} in {listed}");
    }
    host.run(move || {
        apply(&[
            Change::Unpublish(new),
            Change::RemoveNetwork {
                bridge: "stk-1".to_owned(),
            },
            Change::RemoveNetwork {
                bridge: "stk-2".to_owned(),
            },
            Change::RemoveNetwork {
                bridge: "stk-3".to_owned(),
            },
        ])
        .unwrap();
    });
    assert_eq!(host.sh("nft list ruleset"), "");
}

#[test]
fn a_table_of_another_version_is_rebuilt_with_its_elements() {
    if !have(&TOOLS) {
        return;
    }
    let host = Namespace::with_loopback();
    let add = |name: &str| Change::AddNetwork {
        bridge: name.to_owned(),
        reach: Reach::Outside,
    };
    let (first, second) = (add("stk-1"), add("stk-2"));
    host.run(move || apply(&[first]).unwrap());
    host.sh(
        "nft list table inet stack | sed 's/network 1/network 0/; /masquerade/d' > /tmp/stack-old.$$ \
         && nft delete table inet stack; nft -f /tmp/stack-old.$$ && rm /tmp/stack-old.$$",
    );
    let seen = host.run(move || {
        apply(&[second]).unwrap();
        snapshot().unwrap()
    });
    assert_eq!(seen.networks.len(), 2);
    assert!(host.sh("nft list table inet stack").contains("masquerade"));
}

#[test]
fn a_stream_of_datagrams_follows_the_port_to_its_new_container() {
    if !have(&TOOLS) {
        return;
    }
    let world = World::new();
    world.network(1, Reach::Outside);
    let (_old, _new) = (world.container(1, 2), world.container(1, 3));
    let (first, second) = (
        rule(Protocol::Udp, 8080, "10.9.1.2"),
        rule(Protocol::Udp, 8080, "10.9.1.3"),
    );
    world.apply(vec![Change::Publish(first)]);
    let client = world.neighbour.run(|| {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.connect((HOST, 8080)).unwrap();
        client
    });
    let say = || {
        client.send(b"?").unwrap();
        let mut buffer = [0; 64];
        let length = client.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    assert_eq!(say(), "2 192.0.2.2");
    world.apply(vec![Change::Unpublish(first), Change::Publish(second)]);
    assert_eq!(say(), "3 192.0.2.2");
}

#[test]
fn many_processes_can_change_it_at_the_same_time() {
    if !have(&TOOLS) {
        return;
    }
    let host = Namespace::with_loopback();
    host.run(|| {
        // Threads made here share the namespace.
        let workers: Vec<_> = (0..4u8)
            .map(|worker| {
                std::thread::spawn(move || {
                    let bridge = format!("stk-{worker}");
                    let port = rule(Protocol::Tcp, 8000 + u16::from(worker), "10.9.0.2");
                    for _ in 0..10 {
                        let bridge = bridge.clone();
                        let reach = Reach::Outside;
                        let add = Change::AddNetwork {
                            bridge: bridge.clone(),
                            reach,
                        };
                        apply(&[add, Change::Publish(port)]).unwrap();
                        let seen = snapshot().unwrap();
                        assert!(seen.networks.iter().any(|(name, _)| *name == bridge));
                        assert!(seen.ports.contains(&port));
                        apply(&[Change::Unpublish(port), Change::RemoveNetwork { bridge }])
                            .unwrap();
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert_eq!(host.sh("nft list ruleset"), "");
}

#[test]
#[ignore = "a measurement: run with --ignored --nocapture"]
fn measure() {
    Namespace::with_loopback().run(|| {
        let timed = |what: &str, changes: &[Change]| {
            let start = std::time::Instant::now();
            apply(changes).unwrap();
            eprintln!("{what}: {:?}", start.elapsed());
        };
        let add = |name: &str| Change::AddNetwork {
            bridge: name.to_owned(),
            reach: Reach::Outside,
        };
        let ports: Vec<Change> = (1..=50)
            .map(|n| publish(Protocol::Tcp, 8000 + n, "10.9.0.2"))
            .collect();
        timed("first network", &[add("stk-1")]);
        timed("second network", &[add("stk-2")]);
        timed("one port", &[publish(Protocol::Tcp, 80, "10.9.0.2")]);
        timed("fifty ports", &ports);
        timed(
            "one port back",
            &[Change::Unpublish(rule(Protocol::Tcp, 80, "10.9.0.2"))],
        );
    });
}
