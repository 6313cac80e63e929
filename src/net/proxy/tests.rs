//! Real sockets on the host's loopback.

use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;

const LONG: Duration = Duration::from_secs(10);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn ready(addresses: &[SocketAddr]) -> Vec<Backend> {
    addresses.iter().copied().map(Backend::ready).collect()
}

fn published(protocol: Protocol, backends: Vec<SocketAddr>) -> Published {
    let published = Published::bind(protocol, None, HostPort::Any).unwrap();
    published.set_backends(ready(&backends)).unwrap();
    published
}

/// Answers each connection, after its end, with its tag and what it sent.
async fn echo(tag: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut text = tag.as_bytes().to_vec();
                stream.read_to_end(&mut text).await.unwrap();
                stream.write_all(&text).await.unwrap();
            });
        }
    });
    address
}

async fn udp_echo(tag: &'static str) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let text = [tag.as_bytes(), &buffer[..length]].concat();
            socket.send_to(&text, peer).await.unwrap();
        }
    });
    address
}

async fn say(address: SocketAddr, text: &[u8]) -> io::Result<Vec<u8>> {
    let conversation = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    };
    timeout(LONG, conversation)
        .await
        .expect("the conversation ends")
}

async fn say_udp(from: &UdpSocket, text: &[u8]) -> Vec<u8> {
    from.send(text).await.unwrap();
    let mut buffer = [0; 64];
    let length = timeout(LONG, from.recv(&mut buffer))
        .await
        .expect("an answer")
        .unwrap();
    buffer[..length].to_vec()
}

#[tokio::test]
async fn a_connection_is_carried_whole_and_its_ends_one_by_one() {
    let published = published(Protocol::Tcp, vec![echo("").await]);
    let port = published.port();
    let long: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    for ip in [LOCALHOST, Ipv6Addr::LOCALHOST.into()] {
        let address = SocketAddr::new(ip, port);
        assert_eq!(say(address, b"hello").await.unwrap(), b"hello");
        assert!(say(address, &long).await.unwrap() == long, "{ip}");
    }
}

#[tokio::test]
async fn backends_take_turns_and_one_that_is_gone_is_passed_over() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let published = published(Protocol::Tcp, vec![echo("a").await, gone, echo("b").await]);
    let address = SocketAddr::new(LOCALHOST, published.port());
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(say(address, b"").await.unwrap());
    }
    for tag in [b"a", b"b"] {
        assert!(
            answers.iter().filter(|answer| *answer == tag).count() >= 2,
            "{answers:?}"
        );
    }
}

#[tokio::test]
async fn a_port_without_a_running_container_is_kept_and_resets_its_callers() {
    let published = published(Protocol::Tcp, Vec::new());
    let address = SocketAddr::new(LOCALHOST, published.port());
    let error = say(address, b"hello").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let other = Published::bind(Protocol::Tcp, None, HostPort::Fixed(published.port()));
    assert!(matches!(other, Err(PortError::Taken { .. })), "{other:?}");
    published
        .set_backends(ready(&[echo("back").await]))
        .unwrap();
    assert_eq!(say(address, b"").await.unwrap(), b"back");
}

#[tokio::test]
async fn a_reset_of_one_side_reaches_the_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let published = published(Protocol::Tcp, vec![listener.local_addr().unwrap()]);
    let mut client = TcpStream::connect(SocketAddr::new(LOCALHOST, published.port()))
        .await
        .unwrap();
    let (server, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
    rustix::net::sockopt::set_socket_linger(&server, Some(Duration::ZERO)).unwrap();
    drop(server);
    let outcome = timeout(LONG, client.read(&mut [0; 1]))
        .await
        .expect("it ends");
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn dropping_it_ends_its_connections_and_frees_the_port() {
    let published = published(Protocol::Tcp, vec![echo("").await]);
    let port = published.port();
    let mut client = TcpStream::connect(SocketAddr::new(LOCALHOST, port))
        .await
        .unwrap();
    client.write_all(b"x").await.unwrap();
    drop(published);
    let ended = timeout(LONG, client.read(&mut [0; 1]))
        .await
        .expect("it ends");
    assert!(matches!(ended, Ok(0) | Err(_)));
    let again = async {
        while Published::bind(Protocol::Tcp, None, HostPort::Fixed(port)).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, again).await.expect("the port is free");
}

#[test]
fn a_port_that_was_closed_is_free_at_once_whoever_served_it() {
    let thread = ProxyThread::start().unwrap();
    for _ in 0..20 {
        let port = {
            let _there = thread.enter();
            let published = published(Protocol::Tcp, Vec::new());
            let port = published.port();
            std::net::TcpStream::connect((LOCALHOST, port)).unwrap();
            published.close();
            port
        };
        let again = Published::bind(Protocol::Tcp, None, HostPort::Fixed(port));
        assert!(again.is_ok(), "{again:?}");
    }
}

#[tokio::test]
async fn datagrams_are_answered_from_the_address_that_was_called() {
    let published = published(Protocol::Udp, vec![udp_echo("a").await]);
    for target in ["127.0.0.1", "127.0.0.2", "::1"] {
        let target = SocketAddr::new(target.parse().unwrap(), published.port());
        let any = if target.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let client = UdpSocket::bind(any).await.unwrap();
        // A connected socket hears its peer only.
        client.connect(target).await.unwrap();
        assert_eq!(say_udp(&client, b"1").await, b"a1", "{target}");
        assert_eq!(say_udp(&client, b"2").await, b"a2", "{target}");
    }
}

#[tokio::test]
async fn a_caller_is_led_to_the_new_container_when_the_backend_changes() {
    let published = published(Protocol::Udp, vec![udp_echo("a").await]);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect((LOCALHOST, published.port())).await.unwrap();
    assert_eq!(say_udp(&client, b"1").await, b"a1");
    published
        .set_backends(ready(&[udp_echo("b").await]))
        .unwrap();
    assert_eq!(say_udp(&client, b"2").await, b"b2");
}

#[tokio::test]
async fn connections_go_where_the_fewest_are() {
    let published = published(Protocol::Tcp, vec![echo("a").await, echo("b").await]);
    let address = SocketAddr::new(LOCALHOST, published.port());
    // Held open: whoever has them is not asked next.
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let mut answers = Vec::new();
    for mut stream in held {
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answers.push(answer);
    }
    answers.sort();
    assert_eq!(answers, ["a", "b"]);
}

#[tokio::test]
async fn a_connection_waits_for_a_container_that_is_about_to_be_ready() {
    let published = Published::bind(Protocol::Tcp, Some(LOCALHOST), HostPort::Any).unwrap();
    let echo = echo("late").await;
    let soon = Backend {
        address: echo,
        admits: Admits::Soon,
    };
    published.set_backends(vec![soon]).unwrap();
    let address = SocketAddr::new(LOCALHOST, published.port());
    let answer = tokio::spawn(async move { say(address, b"").await });
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert!(!answer.is_finished());
    published.set_backends(ready(&[echo])).unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), b"late");
}

#[tokio::test]
async fn a_container_that_admits_none_keeps_the_connections_that_it_has() {
    let old = echo("old").await;
    let published = published(Protocol::Tcp, vec![old]);
    let address = SocketAddr::new(LOCALHOST, published.port());
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"x").await.unwrap();
    // Until the connection is carried.
    let open = || (published.backends.open(old) == 1).then_some(());
    let opened = timeout(LONG, async {
        while open().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    opened.await.expect("it is counted");
    let leaving = Backend {
        address: old,
        admits: Admits::None,
    };
    let new = Backend::ready(echo("new").await);
    published.set_backends(vec![leaving, new]).unwrap();
    assert_eq!(say(address, b"").await.unwrap(), b"new");
    let idle = published.idle(old);
    tokio::pin!(idle);
    assert!(timeout(Duration::from_millis(20), &mut idle).await.is_err());
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"oldx");
    timeout(LONG, idle).await.expect("it has none left");
}

#[tokio::test]
async fn whoever_has_copies_of_the_sockets_goes_on_with_what_waits_in_them() {
    let published = Published::bind(Protocol::Tcp, None, HostPort::Any).unwrap();
    let port = published.port();
    let copies: Vec<_> = published
        .copies()
        .iter()
        .map(|copy| copy.try_clone().unwrap())
        .collect();
    drop(published);
    for copy in &copies {
        let (protocol, address) = local_address(copy).unwrap();
        assert_eq!((protocol, address.port()), (Protocol::Tcp, port));
    }
    let answer = tokio::spawn(async move { say(SocketAddr::new(LOCALHOST, port), b"").await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let next = Published::take_over(Protocol::Tcp, port, copies).unwrap();
    next.set_backends(ready(&[echo("next").await])).unwrap();
    assert_eq!(answer.await.unwrap().unwrap(), b"next");
}

#[test]
fn a_taken_port_names_its_holder() {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let first = Published::bind(protocol, Some(LOCALHOST), HostPort::Any).unwrap();
        let port = first.port();
        for host_ip in [Some(LOCALHOST), None] {
            let error = Published::bind(protocol, host_ip, HostPort::Fixed(port)).unwrap_err();
            let PortError::Taken {
                holder: Some(holder),
                ..
            } = &error
            else {
                panic!("{error:?}");
            };
            assert_eq!(holder.pid, i32::try_from(std::process::id()).unwrap());
            let text = format!(
                "port {port} is held by {} (pid {})",
                holder.program, holder.pid
            );
            assert_eq!(error.to_string(), text);
        }
    }
}

#[test]
fn a_range_gives_its_first_free_port() {
    let first = Published::bind(Protocol::Tcp, Some(LOCALHOST), HostPort::Any).unwrap();
    let taken = first.port();
    let range = taken..=taken.saturating_add(50);
    let second = Published::bind(Protocol::Tcp, Some(LOCALHOST), HostPort::Range(range)).unwrap();
    assert!(second.port() > taken);
    let only = HostPort::Range(taken..=taken);
    let error = Published::bind(Protocol::Tcp, Some(LOCALHOST), only).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("all tcp ports from {taken} to {taken} are in use")
    );
}

#[test]
fn an_address_of_another_host_is_told() {
    let elsewhere = Some("192.0.2.77".parse().unwrap());
    let error = Published::bind(Protocol::Tcp, elsewhere, HostPort::Any).unwrap_err();
    assert!(matches!(error, PortError::NoSuchAddress(_)), "{error}");
}

#[test]
fn serving_needs_a_runtime() {
    let published = Published::bind(Protocol::Tcp, Some(LOCALHOST), HostPort::Any).unwrap();
    assert!(published.set_backends(Vec::new()).is_err());
}

#[test]
#[ignore = "a measurement: run with --ignored --nocapture"]
fn measure_throughput() {
    const TOTAL: usize = 4 << 30;
    let drain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let direct = drain.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in drain.incoming() {
            let (mut stream, mut buffer) = (stream.unwrap(), vec![0; 1 << 18]);
            while io::Read::read(&mut stream, &mut buffer).unwrap() > 0 {}
        }
    });
    let (port, proxied) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let published = published(Protocol::Tcp, vec![direct]);
            port.send(published.port()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let proxied = SocketAddr::new(LOCALHOST, proxied.recv().unwrap());
    for (name, address) in [("direct", direct), ("proxied", proxied)] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let (start, block) = (Instant::now(), vec![7; 1 << 18]);
        for _ in 0..TOTAL / block.len() {
            io::Write::write_all(&mut stream, &block).unwrap();
        }
        drop(stream);
        let seconds = start.elapsed().as_secs_f64();
        eprintln!("{name}: {:.2} GB/s", TOTAL as f64 / seconds / 1e9);
    }
}
