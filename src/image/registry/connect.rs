//! A connection to a host: address, proxy, TCP, TLS, HTTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header;
use hyper::http::request::Builder as RequestBuilder;
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::body::Body;
use super::error::RegistryError;
use super::proxy::Proxy;
use super::resolve::resolve;
use super::settings::Registries;

/// Time for TCP to each address, for a proxy's answer, and for TLS.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest head of an answer, and most headers in it.
const HEAD_MAX: usize = 256 << 10;
const HEADERS_MAX: usize = 200;
/// Longest answer of a proxy before the tunnel begins.
const TUNNEL_HEAD_MAX: usize = 16 << 10;

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Https,
    Http,
}

impl Scheme {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    pub(super) fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// Where a connection leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) scheme: Scheme,
    pub(super) host: String,
    pub(super) port: u16,
}

impl Endpoint {
    pub(super) fn of(url: &Uri) -> Option<Self> {
        let scheme = match url.scheme_str()? {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        Some(Self {
            scheme,
            host: url.host()?.to_owned(),
            port: url.port_u16().unwrap_or(scheme.port()),
        })
    }

    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether it is an address of the link itself: there cloud machines find their secrets.
    pub(super) fn is_link_local(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse();
        address.is_ok_and(is_link_local)
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    }
}

/// Whose word it is that we connect to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The user named it.
    Named,
    /// Another host sent us there.
    Redirected,
}

/// A connection that requests can be sent over.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Body>,
    /// Requests carry the whole address, for a proxy, and maybe who we are to it.
    pub(super) proxy: Option<Proxy>,
    /// It has served a request before: the other side may have closed it by now.
    pub(super) used: bool,
}

impl Connection {
    /// What every request over it begins with.
    pub(super) fn request(&self, method: Method, endpoint: &Endpoint, url: &Uri) -> RequestBuilder {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let authority = url.authority().map_or("", |authority| authority.as_str());
        // Nobody's name and password belong into an address.
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let target = match self.proxy {
            Some(_) => format!("{}://{host}{path}", endpoint.scheme.name()),
            None => path.to_owned(),
        };
        let head = hyper::Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, host)
            .header(
                header::USER_AGENT,
                concat!("stack/", env!("CARGO_PKG_VERSION")),
            );
        let proxy = self.proxy.as_ref();
        match proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            Some(value) => head.header(header::PROXY_AUTHORIZATION, value),
            None => head,
        }
    }
}

/// Connections that are idle, to be used again, and what new ones need.
pub(super) struct Connections {
    registries: Registries,
    idle: Mutex<Vec<(Endpoint, Connection)>>,
    tls: Mutex<Vec<(Endpoint, Arc<rustls::ClientConfig>)>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Connections {
    pub(super) fn new(registries: &Registries) -> Self {
        Self {
            registries: registries.clone(),
            idle: Mutex::default(),
            tls: Mutex::default(),
        }
    }

    /// A connection that is ready for a request.
    pub(super) async fn get(
        &self,
        endpoint: &Endpoint,
        trust: Trust,
    ) -> Result<Connection, RegistryError> {
        while let Some(mut connection) = self.take(endpoint) {
            if connection.sender.ready().await.is_ok() {
                connection.used = true;
                return Ok(connection);
            }
        }
        self.connect(endpoint, trust).await
    }

    fn take(&self, endpoint: &Endpoint) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.iter().position(|(found, _)| found == endpoint)?;
        Some(idle.swap_remove(at).1)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn keep(&self, endpoint: &Endpoint, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((endpoint.clone(), connection));
    }

    /// A new connection.
    pub(super) async fn connect(
        &self,
        endpoint: &Endpoint,
        trust: Trust,
    ) -> Result<Connection, RegistryError> {
        let proxies = &self.registries.0.proxies;
        let proxy = proxies
            .of(endpoint)
            .map_err(|variable| RegistryError::ProxyAddress { variable })?;
        let stream: Box<dyn Stream> = match &proxy {
            None => Box::new(connect_tcp(endpoint, trust).await?),
            Some(proxy) => self
                .connect_proxy(proxy, endpoint)
                .await
                .map_err(|source| RegistryError::Proxy {
                    registry: endpoint.name(),
                    proxy: proxy.endpoint.name(),
                    source: Box::new(source),
                })?,
        };
        match endpoint.scheme {
            Scheme::Http => speak(stream, endpoint, proxy).await,
            Scheme::Https => speak(self.secure(stream, endpoint).await?, endpoint, None).await,
        }
    }

    /// To a proxy; for a target with TLS through it, as a tunnel.
    async fn connect_proxy(
        &self,
        proxy: &Proxy,
        target: &Endpoint,
    ) -> Result<Box<dyn Stream>, RegistryError> {
        let tcp = connect_tcp(&proxy.endpoint, Trust::Named).await?;
        let stream: Box<dyn Stream> = match proxy.endpoint.scheme {
            Scheme::Http => Box::new(tcp),
            Scheme::Https => self.secure(Box::new(tcp), &proxy.endpoint).await?,
        };
        if target.scheme == Scheme::Http {
            return Ok(stream);
        }
        let unreachable = |source| RegistryError::Unreachable {
            registry: proxy.endpoint.name(),
            source,
        };
        let late = |_| unreachable("it does not answer".into());
        let made = timeout(PATIENCE, tunnel(stream, proxy, target));
        made.await
            .map_err(late)?
            .map_err(|error| unreachable(error.into()))
    }

    async fn secure(
        &self,
        stream: Box<dyn Stream>,
        endpoint: &Endpoint,
    ) -> Result<Box<dyn Stream>, RegistryError> {
        let wrong = |source| RegistryError::Tls {
            registry: endpoint.name(),
            source,
        };
        let host = endpoint.host.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|error| wrong(io::Error::other(error)))?;
        let connector = tokio_rustls::TlsConnector::from(self.tls(endpoint)?);
        let late = |_| wrong(io::ErrorKind::TimedOut.into());
        let stream = timeout(PATIENCE, connector.connect(name, stream))
            .await
            .map_err(late)?;
        Ok(Box::new(stream.map_err(|error| {
            RegistryError::insecure(endpoint.name(), error)
        })?))
    }

    fn tls(&self, endpoint: &Endpoint) -> Result<Arc<rustls::ClientConfig>, RegistryError> {
        let mut known = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = known.iter().find(|(found, _)| found == endpoint) {
            return Ok(Arc::clone(config));
        }
        let config = self.registries.0.tls(endpoint)?;
        known.push((endpoint.clone(), Arc::clone(&config)));
        Ok(config)
    }
}

/// Asks a proxy for a way through (RFC 9110, CONNECT).
async fn tunnel(
    mut stream: Box<dyn Stream>,
    proxy: &Proxy,
    target: &Endpoint,
) -> io::Result<Box<dyn Stream>> {
    let name = target.name();
    let mut request = format!("CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n");
    if let Some(value) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // Byte by byte: what follows the head belongs to the tunnel.
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= TUNNEL_HEAD_MAX {
            return Err(io::Error::other("its answer has no end"));
        }
        head.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&head);
    let status = line.split(' ').nth(1).unwrap_or_default();
    match status {
        "200" => Ok(stream),
        "407" => Err(io::Error::other(
            "it wants a user and a password: put them into its address, http://user:password@host",
        )),
        _ => {
            let first = line.lines().next().unwrap_or_default();
            let text: String = first
                .chars()
                .filter(|c| !c.is_control())
                .take(200)
                .collect();
            Err(io::Error::other(format!(
                "it refuses the connection: {text}"
            )))
        }
    }
}

async fn connect_tcp(endpoint: &Endpoint, trust: Trust) -> Result<TcpStream, RegistryError> {
    let addresses = resolve(&endpoint.host)
        .await
        .map_err(|source| RegistryError::Resolve {
            host: endpoint.host.clone(),
            source,
        })?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        if trust == Trust::Redirected && is_link_local(address) {
            last =
                io::Error::other("it redirects to an address of this very link, which is refused");
            continue;
        }
        let address = SocketAddr::new(address, endpoint.port);
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is one small write that has to leave at once.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(RegistryError::Unreachable {
        registry: endpoint.name(),
        source: last.into(),
    })
}

async fn speak(
    stream: Box<dyn Stream>,
    endpoint: &Endpoint,
    proxy: Option<Proxy>,
) -> Result<Connection, RegistryError> {
    let mut builder = Builder::new();
    builder.max_buf_size(HEAD_MAX).max_headers(HEADERS_MAX);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (sender, connection) = shaken.map_err(|error| RegistryError::Unreachable {
        registry: endpoint.name(),
        source: error.into(),
    })?;
    // It ends with the sender; whoever waits for an answer learns of its errors.
    tokio::spawn(connection);
    Ok(Connection {
        sender,
        proxy,
        used: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_link_are_known_in_every_spelling() {
        for (url, local) in [
            ("http://169.254.169.254/x", true),
            ("http://[fe80::1]/x", true),
            ("http://[::ffff:169.254.1.1]/x", true),
            ("http://0.0.0.0/x", true),
            ("http://10.0.0.1/x", false),
            ("http://reg.example/x", false),
        ] {
            let endpoint = Endpoint::of(&url.parse().unwrap()).unwrap();
            assert_eq!(endpoint.is_link_local(), local, "{url}");
        }
    }
}
