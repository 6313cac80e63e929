//! From a host name to addresses.
//!
//! The program is linked statically, so the C library cannot load the modules that its own resolver
//! needs (nss(5)): `/etc/hosts` and the name servers of `/etc/resolv.conf` are asked directly.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Time a name server has to answer; twice for each (resolv.conf(5) has 5 s).
const PATIENCE: Duration = Duration::from_secs(3);
const ATTEMPTS: usize = 2;
const PORT: u16 = 53;

/// What `/etc/resolv.conf` says.
#[derive(Debug, PartialEq, Eq)]
struct Resolvers {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// The addresses of a host, IPv4 first.
pub(super) async fn resolve(host: &str) -> io::Result<Vec<IpAddr>> {
    if let Ok(address) = host.trim_matches(['[', ']']).parse() {
        return Ok(vec![address]);
    }
    let hosts = tokio::fs::read_to_string("/etc/hosts")
        .await
        .unwrap_or_default();
    let found = from_hosts(&hosts, host);
    if !found.is_empty() {
        return Ok(found);
    }
    // RFC 6761: never a matter for name servers.
    if host == "localhost" || host.ends_with(".localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let resolvers = Resolvers::parse(
        &tokio::fs::read_to_string("/etc/resolv.conf")
            .await
            .unwrap_or_default(),
    );
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no name server knows it");
    for name in resolvers.candidates(host) {
        match ask_all(&resolvers.servers, &name).await {
            Ok(found) if !found.is_empty() => return Ok(found),
            Ok(_) => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn from_hosts(hosts: &str, wanted: &str) -> Vec<IpAddr> {
    let lines = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let mut found: Vec<IpAddr> = lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words
                .any(|name| name.eq_ignore_ascii_case(wanted))
                .then_some(address)
        })
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

impl Resolvers {
    fn parse(text: &str) -> Self {
        let mut found = Self {
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
        };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                    found
                        .servers
                        .extend(address.map(|address| SocketAddr::new(address, PORT)));
                }
                Some("search" | "domain") => found.search = words.map(str::to_owned).collect(),
                Some("options") => {
                    let ndots = words.find_map(|word| word.strip_prefix("ndots:"));
                    found.ndots = ndots.and_then(|n| n.parse().ok()).unwrap_or(found.ndots);
                }
                _ => {}
            }
        }
        if found.servers.is_empty() {
            found
                .servers
                .push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        found
    }

    /// The full names to ask for, in order.
    fn candidates(&self, host: &str) -> Vec<String> {
        if host.ends_with('.') {
            return vec![host.to_owned()];
        }
        let plain = format!("{host}.");
        let searched = self
            .search
            .iter()
            .map(|domain| format!("{host}.{}.", domain.trim_end_matches('.')));
        match host.matches('.').count() >= self.ndots {
            true => std::iter::once(plain).chain(searched).collect(),
            false => searched.chain([plain]).collect(),
        }
    }
}

async fn ask_all(servers: &[SocketAddr], name: &str) -> io::Result<Vec<IpAddr>> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no name server");
    for server in servers.iter().cycle().take(servers.len() * ATTEMPTS) {
        let (four, six) = tokio::join!(
            ask(*server, name, RecordType::A),
            ask(*server, name, RecordType::AAAA)
        );
        match (four, six) {
            (Err(error), Err(_)) => last = error,
            (four, six) => {
                let mut found = four.unwrap_or_default();
                found.extend(six.unwrap_or_default());
                return Ok(found);
            }
        }
    }
    Err(last)
}

async fn ask(server: SocketAddr, name: &str, kind: RecordType) -> io::Result<Vec<IpAddr>> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(
        Name::from_ascii(name).map_err(io::Error::other)?,
        kind,
    ));
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let late = |_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the name server {server} does not answer"),
        )
    };
    let answer = timeout(PATIENCE, by_udp(server, &bytes, &question))
        .await
        .map_err(late)??;
    let answer = match answer.metadata.truncation {
        true => timeout(PATIENCE, by_tcp(server, &bytes, &question))
            .await
            .map_err(late)??,
        false => answer,
    };
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => {
            return Err(io::Error::other(format!(
                "the name server {server} says: {code}"
            )));
        }
    }
    Ok(answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .collect())
}

async fn by_udp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; 4096];
    loop {
        let count = socket.recv(&mut buffer).await?;
        // Anybody may send us something that looks like an answer: wait for the right one.
        if let Some(answer) = answer_to(question, &buffer[..count]) {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, bytes: &[u8], question: &Message) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), bytes].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await?;
    answer_to(question, &buffer)
        .ok_or_else(|| io::Error::other("the name server's answer is broken"))
}

fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    (answer.metadata.id == question.metadata.id && answer.queries == question.queries)
        .then_some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_is_read_with_its_comments_and_aliases() {
        let hosts =
            "127.0.0.1 localhost\n::1 reg\n10.0.0.1 a Reg # reg2\n# 1.1.1.1 x\nnonsense reg\n";
        assert_eq!(
            from_hosts(hosts, "reg"),
            [
                "10.0.0.1".parse::<IpAddr>().unwrap(),
                "::1".parse().unwrap()
            ]
        );
        assert_eq!(from_hosts(hosts, "reg2"), [] as [IpAddr; 0]);
        assert_eq!(from_hosts(hosts, "x"), [] as [IpAddr; 0]);
    }

    #[test]
    fn names_are_searched_as_resolv_conf_says() {
        let resolvers =
            Resolvers::parse("# x\nnameserver 10.0.0.2\nsearch a.b c.\noptions ndots:2 rotate\n");
        assert_eq!(resolvers.servers, ["10.0.0.2:53".parse().unwrap()]);
        assert_eq!(resolvers.candidates("reg"), ["reg.a.b.", "reg.c.", "reg."]);
        assert_eq!(
            resolvers.candidates("x.y.z"),
            ["x.y.z.", "x.y.z.a.b.", "x.y.z.c."]
        );
        assert_eq!(resolvers.candidates("reg."), ["reg."]);
        assert_eq!(
            Resolvers::parse("").servers,
            ["127.0.0.1:53".parse().unwrap()]
        );
    }

    #[tokio::test]
    async fn answers_to_other_questions_are_passed_over() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let serve = async {
            let mut buffer = [0; 512];
            let (count, peer) = server.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..count]).unwrap();
            let record = |ip: [u8; 4]| {
                let name = question.queries[0].name.clone();
                hickory_proto::rr::Record::from_rdata(name, 1, RData::A(Ipv4Addr::from(ip).into()))
            };
            let mut answer = question.clone().into_response();
            answer.metadata.id ^= 1;
            answer.add_answer(record([6, 6, 6, 6]));
            server
                .send_to(&answer.to_vec().unwrap(), peer)
                .await
                .unwrap();
            server.send_to(b"noise", peer).await.unwrap();
            answer.metadata.id ^= 1;
            answer.answers = vec![record([10, 0, 0, 9])];
            server
                .send_to(&answer.to_vec().unwrap(), peer)
                .await
                .unwrap();
        };
        let (found, ()) = tokio::join!(ask(address, "reg.test.", RecordType::A), serve);
        assert_eq!(found.unwrap(), ["10.0.0.9".parse::<IpAddr>().unwrap()]);
    }
}
