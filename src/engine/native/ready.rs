//! Readiness found from outside of a container: a connection, a request, a line of output. No program
//! of the image is needed and no process is started.
//!
//! Connections go to the container's address on its network, which is what its dependents use: a
//! program that listens on its loopback only, as some do while they set themselves up, is not ready.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Native, blocking, observe};
use crate::compose::model::{ReadyProbe, ServiceNetwork};
use crate::plan::ObservedContainer;
use crate::runtime::log::{Follower, Range};
use crate::state::records::{ContainerRecord, EndpointRecord};

/// More than a status line and its headers' beginning is not looked at.
const ANSWER: usize = 4096;
/// More of a line than this is not looked at.
const LINE: usize = 64 * 1024;

/// Reads the output of containers that are ready when a line of it says so.
#[derive(Debug, Default)]
pub(super) struct Readers(HashMap<String, Reader>);

#[derive(Debug)]
struct Reader {
    /// The run of the program that it reads.
    started_at: Timestamp,
    pattern: regex_lite::Regex,
    follower: Follower,
    /// The beginning of a line whose end was not there yet.
    begun: Vec<u8>,
    /// The line that matched.
    found: Option<String>,
}

impl Readers {
    /// Lets go of a container.
    pub(super) fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }
}

/// What a probe came to: its exit code and output, as a program's would be.
pub(super) type Outcome = (i32, String);

impl Native {
    /// Looks once whether a container is ready.
    pub(super) async fn probe_ready(
        self: Arc<Self>,
        container: ObservedContainer,
        (probe, timeout): (ReadyProbe, Duration),
    ) -> Outcome {
        match probe {
            ReadyProbe::Log(pattern) => {
                let look = blocking(move || Ok(self.log_matches(&container, &pattern))).await;
                look.unwrap_or_else(|error| (1, error.story()))
            }
            ReadyProbe::Tcp(port) => self.connects(&container, (port, None), timeout).await,
            ReadyProbe::Http { port, path } => {
                let request = (port, Some(path.as_str()));
                self.connects(&container, request, timeout).await
            }
        }
    }

    /// Connects, and asks for a path when one is given.
    async fn connects(
        &self,
        container: &ObservedContainer,
        (port, path): (u16, Option<&str>),
        timeout: Duration,
    ) -> Outcome {
        let addresses = self.addresses_of(&container.record, &container.status.endpoints);
        let mut outcome = (1, "it has no address to connect to".to_owned());
        for address in addresses {
            let to = SocketAddr::new(address, port);
            let attempt = async {
                match path {
                    None => TcpStream::connect(to)
                        .await
                        .map(|_| (0, format!("connected to {to}"))),
                    Some(path) => get(to, path).await,
                }
            };
            outcome = match tokio::time::timeout(timeout, attempt).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(error)) => (1, format!("{to}: {error}")),
                Err(_) => (-1, format!("{to}: no answer within {timeout:?}")),
            };
            if outcome.0 == 0 {
                break;
            }
        }
        outcome
    }

    /// The addresses at which a container is reached from this machine.
    fn addresses_of(&self, record: &ContainerRecord, endpoints: &[EndpointRecord]) -> Vec<IpAddr> {
        let owner = match &record.template.network {
            ServiceNetwork::Host => return vec![Ipv4Addr::LOCALHOST.into()],
            ServiceNetwork::None => return Vec::new(),
            ServiceNetwork::Networks(_) => {
                return endpoints
                    .iter()
                    .flat_map(|endpoint| endpoint.addresses.iter().map(ipnetwork::IpNetwork::ip))
                    .collect();
            }
            ServiceNetwork::Service(name) => format!("service:{name}"),
            ServiceNetwork::Container(name) => format!("container:{name}"),
        };
        let id = self
            .running_owner(&owner)
            .and_then(|owner| Some(owner.dir.file_name()?.to_str()?.to_owned()));
        let found = id.and_then(|id| observe::observe_container(&self.paths, &id, None).ok()?);
        match found {
            // Its own owner cannot share again: one step is all there is.
            Some(owner) if matches!(owner.record.template.network, ServiceNetwork::Service(_)) => {
                Vec::new()
            }
            Some(owner) => self.addresses_of(&owner.record, &owner.status.endpoints),
            None => Vec::new(),
        }
    }

    /// Reads what was written since the last look.
    fn log_matches(&self, container: &ObservedContainer, pattern: &str) -> Outcome {
        let record = &container.record;
        let Some(started_at) = container.started_at() else {
            return (1, "it does not run".to_owned());
        };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = readers.0.get(&record.id);
        if known.is_none_or(|reader| reader.started_at != started_at) {
            match self.reader(record, started_at, pattern) {
                Ok(reader) => drop(readers.0.insert(record.id.clone(), reader)),
                Err(message) => return (1, message),
            }
        }
        match readers.0.get_mut(&record.id) {
            Some(reader) => reader.look(),
            None => (1, "its output cannot be read".to_owned()),
        }
    }

    fn reader(
        &self,
        record: &ContainerRecord,
        started_at: Timestamp,
        pattern: &str,
    ) -> Result<Reader, String> {
        let range = Range {
            since: Some(started_at),
            ..Range::default()
        };
        let dir = self
            .paths
            .logs(&record.project, record.service.as_str(), record.number);
        Ok(Reader {
            started_at,
            pattern: regex_lite::Regex::new(pattern).map_err(|error| error.to_string())?,
            follower: Follower::new(&dir, range).map_err(|error| error.to_string())?,
            begun: Vec::new(),
            found: None,
        })
    }
}

impl Reader {
    fn look(&mut self) -> Outcome {
        if self.found.is_none() {
            let Self {
                pattern,
                follower,
                begun,
                found,
                ..
            } = self;
            let read = follower.read_available(&mut |line| {
                let room = LINE.saturating_sub(begun.len());
                begun.extend_from_slice(&line.text[..line.text.len().min(room)]);
                if line.partial {
                    return ControlFlow::Continue(());
                }
                let text = String::from_utf8_lossy(begun).into_owned();
                begun.clear();
                match pattern.is_match(&text) {
                    true => {
                        *found = Some(text);
                        ControlFlow::Break(())
                    }
                    false => ControlFlow::Continue(()),
                }
            });
            if let Err(error) = read {
                return (1, error.to_string());
            }
        }
        match &self.found {
            Some(line) => (0, line.clone()),
            None => (1, format!("no line matches `{}` yet", self.pattern)),
        }
    }
}

/// Asks for a path; 0 when the answer's status is from 200 to 399, as Kubernetes has it.
async fn get(to: SocketAddr, path: &str) -> std::io::Result<Outcome> {
    let mut stream = TcpStream::connect(to).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: stack\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut part = [0; 512];
    while answer.len() < ANSWER && !answer.contains(&b'\n') {
        match stream.read(&mut part).await? {
            0 => break,
            count => answer.extend_from_slice(&part[..count]),
        }
    }
    Ok(judge(&answer))
}

/// What the first line of an answer says.
fn judge(answer: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default().trim_end();
    let mut words = line.split(' ');
    let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/"));
    match words.next().and_then(|word| word.parse::<u16>().ok()) {
        Some(status) if is_http => (i32::from(!(200..400).contains(&status)), line.to_owned()),
        _ if line.is_empty() => (1, "the connection was closed without an answer".to_owned()),
        _ => (1, format!("the answer is not HTTP: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_its_status() {
        let table: [(&[u8], i32); 7] = [
            (b"HTTP/1.1 200 OK\r\nServer: x\r\n", 0),
            (b"HTTP/1.0 302 Found\r\n", 0),
            (b"HTTP/1.1 404 Not Found\r\n", 1),
            (b"HTTP/1.1 503 Service Unavailable\r\n", 1),
            (b"HTTP/1.1 100 Continue\r\n", 1),
            (b"SSH-2.0-OpenSSH\r\n", 1),
            (b"", 1),
        ];
        for (answer, expected) in table {
            let (code, output) = judge(answer);
            assert_eq!(code, expected, "{output}");
            assert!(!output.is_empty());
        }
    }
}
