//! The server with real sockets of the host's loopback, and other name servers played here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A client's sockets and where to ask them.
fn sockets() -> (DnsSockets, SocketAddr, SocketAddr) {
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (at_udp, at_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    (
        DnsSockets {
            udp: udp.into(),
            tcp: tcp.into(),
        },
        at_udp,
        at_tcp,
    )
}

fn server(forward: Forward) -> (DnsServer, SocketAddr, SocketAddr) {
    let (sockets, udp, tcp) = sockets();
    let server = DnsServer::new();
    let networks = vec!["front".to_owned()];
    server
        .add_client(Client {
            key: "one".to_owned(),
            sockets,
            networks,
            links: Vec::new(),
            forward,
        })
        .unwrap();
    (server, udp, tcp)
}

fn web(addresses: impl IntoIterator<Item = [u8; 4]>) -> View {
    View::new(&[Member {
        network: "front".to_owned(),
        names: vec!["web".to_owned()],
        addresses: addresses.into_iter().map(Into::into).collect(),
    }])
}

fn query(name: &str) -> Message {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    query
}

async fn ask_udp(server: SocketAddr, query: &Message) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket
        .send_to(&query.to_vec().unwrap(), server)
        .await
        .unwrap();
    let mut buffer = [0; 4096];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut buffer))
        .await
        .expect("an answer")
        .unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, query.metadata.id);
    answer
}

async fn ask_tcp(stream: &mut TcpStream, query: &Message) -> Message {
    let bytes = query.to_vec().unwrap();
    stream
        .write_u16(u16::try_from(bytes.len()).unwrap())
        .await
        .unwrap();
    stream.write_all(&bytes).await.unwrap();
    let length = timeout(PATIENCE, stream.read_u16())
        .await
        .expect("an answer")
        .unwrap();
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

/// A name server that answers with `code` and `count` addresses, by TCP only when they are many.
struct Upstream {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

async fn upstream(code: ResponseCode, count: u8) -> Upstream {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let answer = move |bytes: &[u8]| {
        let query = Message::from_vec(bytes).unwrap();
        let mut answer = answer::failure(&query, code);
        for last in 0..count {
            let name = query.queries[0].name().clone();
            answer.add_answer(Record::from_rdata(
                name,
                60,
                RData::from(Ipv4Addr::new(192, 0, 2, last)),
            ));
        }
        answer
    };
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer).await {
            counter.fetch_add(1, Ordering::SeqCst);
            let whole = answer(&buffer[..length]);
            // First, what a forger would send: a good answer to another identifier.
            let mut forged = whole.clone();
            forged.metadata.id = forged.metadata.id.wrapping_add(1);
            forged.answers.clear();
            udp.send_to(&forged.to_vec().unwrap(), peer).await.unwrap();
            let whole = if count > 20 { whole.truncate() } else { whole };
            udp.send_to(&whole.to_vec().unwrap(), peer).await.unwrap();
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let length = stream.read_u16().await.unwrap();
            let mut bytes = vec![0; usize::from(length)];
            stream.read_exact(&mut bytes).await.unwrap();
            let whole = answer(&bytes).to_vec().unwrap();
            stream
                .write_u16(u16::try_from(whole.len()).unwrap())
                .await
                .unwrap();
            stream.write_all(&whole).await.unwrap();
        }
    });
    Upstream { address, asked }
}

#[tokio::test]
async fn names_are_answered_by_datagram_and_connection_until_they_change() {
    let (server, udp, tcp) = server(Forward::Nowhere);
    server.set_view(web([[10, 9, 1, 2]]));
    let answer = ask_udp(udp, &query("web.")).await;
    assert_eq!(
        answer.answers[0].data,
        RData::from(Ipv4Addr::new(10, 9, 1, 2))
    );
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    assert_eq!(
        ask_tcp(&mut stream, &query("web.front."))
            .await
            .answers
            .len(),
        1
    );
    server.set_view(web([[10, 9, 1, 3], [10, 9, 1, 4]]));
    assert_eq!(ask_tcp(&mut stream, &query("web.")).await.answers.len(), 2);
    assert_eq!(ask_udp(udp, &query("web.")).await.answers.len(), 2);
}

#[tokio::test]
async fn many_replicas_are_all_found_by_connection() {
    let (server, udp, tcp) = server(Forward::Nowhere);
    server.set_view(web((0..200).map(|last| [10, 9, 1, last])));
    let cut = ask_udp(udp, &query("web.")).await;
    assert!(cut.metadata.truncation && cut.answers.is_empty());
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    let (one, two) = (
        ask_tcp(&mut stream, &query("web.")).await,
        ask_tcp(&mut stream, &query("web.")).await,
    );
    assert_eq!(one.answers.len(), 200);
    assert_ne!(
        one.answers, two.answers,
        "the order changes from answer to answer"
    );
}

#[tokio::test]
async fn other_names_are_asked_of_the_next_server_when_one_fails() {
    let broken = upstream(ResponseCode::ServFail, 0).await;
    let good = upstream(ResponseCode::NoError, 2).await;
    // Nobody listens here: the kernel says so at once.
    let closed = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (server, udp, _) = server(Forward::To(vec![closed, broken.address, good.address]));
    server.set_view(web([[10, 9, 1, 2]]));
    let answer = ask_udp(udp, &query("example.com.")).await;
    assert_eq!(answer.answers.len(), 2);
    assert_eq!(broken.asked.load(Ordering::SeqCst), 1);
    ask_udp(udp, &query("web.")).await;
    assert_eq!(
        good.asked.load(Ordering::SeqCst),
        1,
        "a member's name stays here"
    );
}

#[tokio::test]
async fn what_all_servers_say_is_passed_on_even_when_it_is_bad() {
    let missing = upstream(ResponseCode::NXDomain, 0).await;
    let refusing = upstream(ResponseCode::Refused, 0).await;
    let (_server, udp, _) = server(Forward::To(vec![refusing.address, missing.address]));
    let answer = ask_udp(udp, &query("example.com.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
    let (_server, udp, _) = self::server(Forward::To(vec![refusing.address]));
    let answer = ask_udp(udp, &query("example.com.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn a_cut_answer_is_fetched_whole_by_connection() {
    let many = upstream(ResponseCode::NoError, 60).await;
    let (_server, udp, tcp) = server(Forward::To(vec![many.address]));
    let mut wide = query("example.com.");
    let mut edns = hickory_proto::op::Edns::new();
    edns.set_max_payload(4096);
    wide.set_edns(edns);
    let answer = ask_udp(udp, &wide).await;
    assert_eq!(
        (answer.answers.len(), answer.metadata.truncation),
        (60, false)
    );
    let answer = ask_udp(udp, &query("example.com.")).await;
    assert!(answer.metadata.truncation, "512 bytes are too few for it");
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    assert_eq!(
        ask_tcp(&mut stream, &query("example.com."))
            .await
            .answers
            .len(),
        60
    );
}

#[tokio::test]
async fn a_client_on_internal_networks_hears_nothing_from_outside() {
    let (server, udp, _) = server(Forward::Nowhere);
    server.set_view(web([[10, 9, 1, 2]]));
    let answer = ask_udp(udp, &query("example.com.")).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert_eq!(ask_udp(udp, &query("web.")).await.answers.len(), 1);
}

#[tokio::test]
async fn garbage_does_not_end_the_service_and_a_removed_client_is_silent() {
    let (server, udp, tcp) = server(Forward::Nowhere);
    server.set_view(web([[10, 9, 1, 2]]));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for garbage in [&b""[..], b"x", &[0xff; 4096], &[0; 12]] {
        socket.send_to(garbage, udp).await.unwrap();
    }
    let mut stream = TcpStream::connect(tcp).await.unwrap();
    stream.write_all(&[0, 4, 1, 2, 3, 4]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "it hangs up");
    assert_eq!(ask_udp(udp, &query("web.")).await.answers.len(), 1);

    server.remove_client("one");
    server.remove_client("one");
    let free = async {
        while std::net::UdpSocket::bind(udp).is_err() || std::net::TcpListener::bind(tcp).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, free)
        .await
        .expect("the sockets are closed");
}

#[test]
fn a_client_cannot_be_added_outside_a_runtime() {
    let client = Client {
        key: "one".to_owned(),
        sockets: sockets().0,
        networks: Vec::new(),
        links: Vec::new(),
        forward: Forward::Nowhere,
    };
    assert!(DnsServer::new().add_client(client).is_err());
}

#[tokio::test]
async fn a_container_asks_127_0_0_11_and_the_answer_comes_from_outside_its_namespace() {
    let container = crate::net::testing::Namespace::new();
    let sockets = container.run(|| {
        crate::net::configure(&[]).unwrap();
        bind_dns().unwrap()
    });
    let outside = upstream(ResponseCode::NoError, 1).await;
    let server = DnsServer::new();
    server.set_view(web([[10, 9, 1, 2]]));
    let networks = vec!["front".to_owned()];
    let forward = Forward::To(vec![outside.address]);
    server
        .add_client(Client {
            key: "one".to_owned(),
            sockets,
            networks,
            links: Vec::new(),
            forward,
        })
        .unwrap();
    let answers = tokio::task::spawn_blocking(move || {
        container.run(|| {
            ["web.", "example.com."].map(|name| {
                let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.connect((ADDRESS, PORT)).unwrap();
                socket.send(&query(name).to_vec().unwrap()).unwrap();
                let mut buffer = [0; 512];
                let length = socket.recv(&mut buffer).unwrap();
                Message::from_vec(&buffer[..length]).unwrap().answers[0]
                    .data
                    .to_string()
            })
        })
    });
    assert_eq!(answers.await.unwrap(), ["10.9.1.2", "192.0.2.0"]);
}
