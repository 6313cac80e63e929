//! As much of an HTTP client as a test needs.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The body of the answer; an answer that is not `200` is an error.
pub(crate) fn get(address: impl ToSocketAddrs, path: &str) -> io::Result<String> {
    request(
        address,
        &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"),
    )
}

/// The body of the answer to a request with a JSON body.
pub(crate) fn post(address: impl ToSocketAddrs, path: &str, body: &str) -> io::Result<String> {
    let length = body.len();
    request(
        address,
        &format!(
            "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn request(address: impl ToSocketAddrs, text: &str) -> io::Result<String> {
    let address = address.to_socket_addrs()?.next().expect("an address");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200" | "201" | "202") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("not an answer: {answer}"))),
    }
}
