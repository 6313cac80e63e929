//! Asks other name servers, from the network namespace of the supervisor.
//!
//! The client's query is sent on as it came, with an identifier and a source port of its own that
//! nobody can guess, and the answer is given back as it came: what it means is between the client
//! and the server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Resolvers in programs give up after five seconds (resolv.conf(5), `timeout`): whatever is tried
/// must end before.
const PATIENCE: Duration = Duration::from_millis(4500);
/// Two attempts at least: a datagram can be lost.
const ATTEMPTS: usize = 2;
/// As resolvers do, no more than three servers are asked (`MAXNS`).
const MOST_SERVERS: usize = 3;
const HEADER: usize = 12;
const LARGEST: usize = 65_535;

/// How a query came in, and how the answer will go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
}

/// Asks the servers in turn. An answer that says that the server failed or refused counts only when
/// no other server has a better one.
pub(super) async fn ask(
    servers: &[SocketAddr],
    query: &[u8],
    transport: Transport,
) -> Option<Vec<u8>> {
    let servers = &servers[..servers.len().min(MOST_SERVERS)];
    if servers.is_empty() || question(query).is_none() {
        return None;
    }
    let attempts = servers.len().max(ATTEMPTS);
    let each = PATIENCE / u32::try_from(attempts).unwrap_or(1);
    let mut second_best = None;
    for &server in servers.iter().cycle().take(attempts) {
        let Ok(Ok(answer)) = timeout(each, exchange(server, query, transport)).await else {
            continue;
        };
        if !has_failed(&answer) {
            return Some(answer);
        }
        second_best = Some(answer);
        if servers.len() == 1 {
            break;
        }
    }
    second_best
}

async fn exchange(server: SocketAddr, query: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    let mut sent = query.to_vec();
    sent[..2].copy_from_slice(&fastrand::u16(..).to_be_bytes());
    let mut answer = match transport {
        Transport::Tcp => over_tcp(server, &sent).await?,
        Transport::Udp => {
            let answer = over_udp(server, &sent).await?;
            // Not every program asks again by TCP when an answer is cut off: do it here.
            if is_truncated(&answer) {
                over_tcp(server, &sent).await.unwrap_or(answer)
            } else {
                answer
            }
        }
    };
    answer[..2].copy_from_slice(&query[..2]);
    Ok(answer)
}

async fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // The kernel lets only this server's datagrams through a connected socket.
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], query) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, query).await?;
    let answer = read_framed(&mut stream).await?;
    if answers(&answer, query) {
        Ok(answer)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "an answer to another question",
        ))
    }
}

/// Reads a message with its length before it (RFC 1035, 4.2.2).
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message with its length before it, in one segment.
pub(super) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a message over 64 KiB"))?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Whether `answer` is a response to `query`: same identifier, same question.
fn answers(answer: &[u8], query: &[u8]) -> bool {
    const RESPONSE_BIT: u8 = 0x80;
    answer.len() >= HEADER
        && answer[..2] == query[..2]
        && answer[2] & RESPONSE_BIT != 0
        && match (question(answer), question(query)) {
            (Some(answered), Some(asked)) => answered.eq_ignore_ascii_case(asked),
            // A server that cannot read a query may leave the question out.
            (None, Some(_)) => has_failed(answer) && answer[4..6] == [0, 0],
            _ => false,
        }
}

/// The bytes of the one question: name, type, class. A name in a question is never compressed,
/// there is nothing before it to point at.
fn question(message: &[u8]) -> Option<&[u8]> {
    const LONGEST_LABEL: usize = 63;
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        match length {
            0 => return message.get(HEADER..at + 4),
            1..=LONGEST_LABEL => at += length,
            _ => return None,
        }
    }
}

fn is_truncated(answer: &[u8]) -> bool {
    const TRUNCATED_BIT: u8 = 0x02;
    answer
        .get(2)
        .is_some_and(|flags| flags & TRUNCATED_BIT != 0)
}

/// `FORMERR`, `SERVFAIL`, `NOTIMP` and `REFUSED` say something about the server, not the name.
fn has_failed(answer: &[u8]) -> bool {
    answer
        .get(3)
        .is_some_and(|flags| matches!(flags & 0x0f, 1 | 2 | 4 | 5))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: u8, flags: [u8; 2], name: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, id, flags[0], flags[1], 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.push(u8::try_from(name.len()).unwrap());
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&[0, 0, 1, 0, 1]);
        bytes
    }

    #[test]
    fn only_the_answer_to_the_question_is_taken() {
        let query = message(7, [1, 0], b"web");
        assert!(answers(&message(7, [0x81, 0], b"WEB"), &query));
        assert!(
            !answers(&message(8, [0x81, 0], b"web"), &query),
            "another identifier"
        );
        assert!(
            !answers(&message(7, [0x81, 0], b"wex"), &query),
            "another name"
        );
        assert!(!answers(&message(7, [0x01, 0], b"web"), &query), "a query");
        assert!(!answers(&query[..11], &query), "too short");
        let refused = [0, 7, 0x81, 5, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(answers(&refused, &query));
    }

    #[test]
    fn questions_that_end_too_soon_or_point_elsewhere_are_none() {
        let whole = message(7, [1, 0], b"web");
        assert_eq!(question(&whole), Some(&whole[12..]));
        for length in 0..whole.len() {
            assert_eq!(question(&whole[..length]), None);
        }
        let mut pointer = whole;
        pointer[12] = 0xc0;
        assert_eq!(question(&pointer), None);
    }
}
