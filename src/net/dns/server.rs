//! The tasks that answer containers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::{Outcome, Seen, datagram_limit, decide, failure};
use super::forward::{Transport, ask, read_framed, write_framed};
use super::{DnsSockets, View};

/// Queries of one client that wait for other servers at the same time; more are dropped, and asked
/// again by whoever wants them.
const MOST_FORWARDED: usize = 256;
/// Connections of one client.
const MOST_CONNECTIONS: usize = 32;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(10);
/// Pause after a failure to accept, which is a shortage that does not pass at once.
const SHORTAGE: Duration = Duration::from_millis(100);
/// Largest query that is read from a datagram.
const LARGEST_QUERY: usize = 4096;

/// Who answers what no member is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// These servers, in order, asked from the supervisor's own network namespace.
    To(Vec<SocketAddr>),
    /// Nobody: the client is on internal networks only, and the outside is not to hear from it. It
    /// gets `SERVFAIL`, as from Docker.
    Nowhere,
}

/// A container that asks.
#[derive(Debug)]
pub struct Client {
    /// Whatever tells this client from the others; the same key again replaces the client.
    pub key: String,
    /// Its sockets.
    pub sockets: DnsSockets,
    /// The networks that it is on: it sees names on these only.
    pub networks: Vec<String>,
    /// What it alone calls others (`links`): its word → a name on its networks.
    pub links: Vec<(String, String)>,
    /// Who answers the rest.
    pub forward: Forward,
}

/// The server; runs on the tokio runtime that clients are added on, and ends when dropped.
#[derive(Debug, Default)]
pub struct DnsServer {
    view: Arc<RwLock<Arc<View>>>,
    clients: Mutex<HashMap<String, CancellationToken>>,
}

/// What the tasks of one client share.
#[derive(Debug)]
struct Session {
    view: Arc<RwLock<Arc<View>>>,
    networks: Vec<String>,
    links: HashMap<String, String>,
    forward: Forward,
    forwarded: Semaphore,
}

impl DnsServer {
    /// A server without names and clients.
    pub fn new() -> DnsServer {
        DnsServer::default()
    }

    /// Replaces what all clients see.
    pub fn set_view(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// Starts answering a container's queries. Fails when it is not called on a tokio runtime.
    pub fn add_client(&self, client: Client) -> io::Result<()> {
        tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let udp = std::net::UdpSocket::from(client.sockets.udp);
        let tcp = std::net::TcpListener::from(client.sockets.tcp);
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let (udp, tcp) = (
            Arc::new(UdpSocket::from_std(udp)?),
            TcpListener::from_std(tcp)?,
        );
        let session = Arc::new(Session {
            view: Arc::clone(&self.view),
            networks: client.networks,
            links: client
                .links
                .into_iter()
                .map(|(word, name)| (word.to_ascii_lowercase(), name.to_ascii_lowercase()))
                .collect(),
            forward: client.forward,
            forwarded: Semaphore::new(MOST_FORWARDED),
        });
        let token = CancellationToken::new();
        let (datagrams, connections) = (token.clone(), token.clone());
        let shared = Arc::clone(&session);
        tokio::spawn(async move {
            datagrams
                .clone()
                .run_until_cancelled_owned(serve_udp(udp, shared, datagrams))
                .await
        });
        tokio::spawn(async move {
            connections
                .clone()
                .run_until_cancelled_owned(serve_tcp(tcp, session, connections))
                .await
        });
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = clients.insert(client.key, token) {
            earlier.cancel();
        }
        Ok(())
    }

    /// Stops answering; no error when the key is unknown.
    pub fn remove_client(&self, key: &str) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = clients.remove(key) {
            token.cancel();
        }
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        let clients = self
            .clients
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for token in clients.values() {
            token.cancel();
        }
    }
}

impl Session {
    fn decide(&self, bytes: &[u8]) -> Outcome {
        let view = Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner));
        let seen = Seen {
            networks: &self.networks,
            links: &self.links,
        };
        decide(&view, seen, bytes)
    }

    /// Asks the client's servers; the answer's bytes.
    async fn forward(&self, query: &Message, bytes: &[u8], transport: Transport) -> Vec<u8> {
        let answer = match &self.forward {
            Forward::To(servers) => ask(servers, bytes, transport).await,
            Forward::Nowhere => None,
        };
        answer.unwrap_or_else(|| encode(&failure(query, ResponseCode::ServFail)))
    }
}

fn encode(message: &Message) -> Vec<u8> {
    // An answer that was made here always fits into a message; if not, silence is an answer too.
    message.to_vec().unwrap_or_default()
}

/// Cuts an answer down to what the client can take; it asks again by TCP.
fn cut(answer: Vec<u8>, limit: usize) -> Vec<u8> {
    if answer.len() <= limit {
        return answer;
    }
    Message::from_vec(&answer).map_or_else(|_| Vec::new(), |message| encode(&message.truncate()))
}

async fn serve_udp(socket: Arc<UdpSocket>, session: Arc<Session>, token: CancellationToken) {
    let mut buffer = vec![0; LARGEST_QUERY];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(_) => {
                tokio::time::sleep(SHORTAGE).await;
                continue;
            }
        };
        match session.decide(&buffer[..length]) {
            Outcome::Ignore => {}
            Outcome::Answer(answer, limit) => {
                let _ = socket.send_to(&cut(encode(&answer), limit), peer).await;
            }
            Outcome::Forward(query) => {
                let (socket, session) = (Arc::clone(&socket), Arc::clone(&session));
                let (bytes, token) = (buffer[..length].to_vec(), token.clone());
                tokio::spawn(token.run_until_cancelled_owned(async move {
                    let Ok(_permit) = session.forwarded.try_acquire() else {
                        return;
                    };
                    let answer = session.forward(&query, &bytes, Transport::Udp).await;
                    let _ = socket
                        .send_to(&cut(answer, datagram_limit(&query)), peer)
                        .await;
                }));
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, session: Arc<Session>, token: CancellationToken) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(SHORTAGE).await;
            continue;
        };
        let (session, token) = (Arc::clone(&session), token.clone());
        tokio::spawn(token.run_until_cancelled_owned(async move {
            let _permit = permit;
            let _ = serve_connection(stream, &session).await;
        }));
    }
}

/// Answers one query after the other until the client ends or stays silent.
async fn serve_connection(mut stream: TcpStream, session: &Session) -> io::Result<()> {
    loop {
        let bytes = timeout(IDLE, read_framed(&mut stream)).await??;
        let answer = match session.decide(&bytes) {
            Outcome::Ignore => return Ok(()),
            Outcome::Answer(answer, _) => encode(&answer),
            Outcome::Forward(query) => session.forward(&query, &bytes, Transport::Tcp).await,
        };
        timeout(IDLE, write_framed(&mut stream, &answer)).await??;
    }
}
