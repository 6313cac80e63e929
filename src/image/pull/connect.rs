//! A connection to a host: address, TCP, TLS, HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::RegistryError;
use super::resolve::resolve;

/// Time for TCP to each address, and for TLS.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) type Sender = SendRequest<Full<Bytes>>;

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
        let port = url
            .port_u16()
            .unwrap_or(if scheme == Scheme::Https { 443 } else { 80 });
        Some(Self {
            scheme,
            host: url.host()?.to_owned(),
            port,
        })
    }

    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Connections that are idle, to be used again.
#[derive(Default)]
pub(super) struct Connections {
    idle: Mutex<Vec<(Endpoint, Sender)>>,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

impl Connections {
    /// A connection that is ready for a request.
    pub(super) async fn get(&self, endpoint: &Endpoint) -> Result<Sender, RegistryError> {
        while let Some(mut sender) = self.take(endpoint) {
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        self.connect(endpoint).await
    }

    fn take(&self, endpoint: &Endpoint) -> Option<Sender> {
        let mut idle = self
            .idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = idle.iter().position(|(found, _)| found == endpoint)?;
        Some(idle.swap_remove(at).1)
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn keep(&self, endpoint: &Endpoint, sender: Sender) {
        let mut idle = self
            .idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        idle.push((endpoint.clone(), sender));
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Sender, RegistryError> {
        let stream = connect_tcp(endpoint).await?;
        match endpoint.scheme {
            Scheme::Http => speak(stream, endpoint).await,
            Scheme::Https => {
                let wrong = |source| RegistryError::Tls {
                    registry: endpoint.name(),
                    source,
                };
                let host = endpoint.host.trim_matches(['[', ']']).to_owned();
                let name =
                    ServerName::try_from(host).map_err(|error| wrong(io::Error::other(error)))?;
                let config = match self.tls.get() {
                    Some(config) => Arc::clone(config),
                    None => Arc::clone(self.tls.get_or_init(tls_config()?)),
                };
                let connector = tokio_rustls::TlsConnector::from(config);
                let late = |_| wrong(io::ErrorKind::TimedOut.into());
                let stream = timeout(PATIENCE, connector.connect(name, stream))
                    .await
                    .map_err(late)?;
                speak(stream.map_err(wrong)?, endpoint).await
            }
        }
    }
}

/// ring is named explicitly: a process-wide default may be another one, or none.
fn tls_config() -> Result<impl FnOnce() -> Arc<rustls::ClientConfig>, RegistryError> {
    let mut roots = rustls::RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::debug!(%error, "a certificate of the system cannot be read");
    }
    // One broken certificate in the system's directory is no reason to distrust all others.
    roots.add_parsable_certificates(native.certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| RegistryError::Tls {
        registry: "any registry".to_owned(),
        source: io::Error::other(error),
    })?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(move || Arc::new(config))
}

async fn connect_tcp(endpoint: &Endpoint) -> Result<TcpStream, RegistryError> {
    let addresses = resolve(&endpoint.host)
        .await
        .map_err(|source| RegistryError::Resolve {
            host: endpoint.host.clone(),
            source,
        })?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match timeout(
            PATIENCE,
            TcpStream::connect(SocketAddr::new(address, endpoint.port)),
        )
        .await
        {
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

async fn speak<S>(stream: S, endpoint: &Endpoint) -> Result<Sender, RegistryError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        handshake(TokioIo::new(stream))
            .await
            .map_err(|error| RegistryError::Unreachable {
                registry: endpoint.name(),
                source: error.into(),
            })?;
    // It ends with the sender; whoever waits for an answer learns of its errors.
    tokio::spawn(connection);
    Ok(sender)
}
