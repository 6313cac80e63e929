//! Why a registry did not give or take an image.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper::StatusCode;

use super::super::digest::Digest;
use super::super::reference::Reference;

/// Why a registry did not give or take an image.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Its name has no address.
    #[error(
        "cannot find the host `{host}` of the registry: check the name, the network and /etc/resolv.conf"
    )]
    Resolve {
        /// The host.
        host: String,
        /// What the name servers said.
        source: io::Error,
    },
    /// No connection, or it broke off.
    #[error(
        "cannot reach the registry {registry}: check that it runs and that the network leads there"
    )]
    Unreachable {
        /// Host and port.
        registry: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It does not speak TLS, or its certificate is not trusted.
    #[error(
        "no secure connection to {registry}: if it speaks plain HTTP, name it as `insecure` in registries.json; if its certificate is your own, name its `ca` there or put it into /etc/docker/certs.d"
    )]
    Tls {
        /// Host and port.
        registry: String,
        /// Why.
        source: io::Error,
    },
    /// It speaks only with those who show a certificate that it trusts.
    #[error(
        "the registry {registry} wants a certificate of yours that it trusts: put it and its key into /etc/docker/certs.d/{registry} as client.cert and client.key, or name them as `cert` and `key` in registries.json"
    )]
    ClientCertificate {
        /// Host and port.
        registry: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no such image.
    #[error("the registry {} has no image `{reference}`: check the name and the tag, or log in if it is private", reference.registry())]
    NotFound {
        /// The name.
        reference: Box<Reference>,
    },
    /// It does not let us.
    #[error("the registry {} refuses `{reference}` to {user}: log in with `stack login{}`, or check that the image exists", reference.registry(), argument(reference.registry()))]
    Unauthorised {
        /// The name.
        reference: Box<Reference>,
        /// Who we said we were.
        user: String,
    },
    /// Too many pulls.
    #[error(
        "the registry {registry} allows no more requests for now: log in, or try again {}",
        later(after)
    )]
    TooMany {
        /// Host and port.
        registry: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// It has the image for other machines only.
    #[error("`{reference}` is not there for {wanted}, only for {}", offered.join(", "))]
    Platform {
        /// The name.
        reference: Box<Reference>,
        /// The machine.
        wanted: String,
        /// What there is.
        offered: Vec<String>,
    },
    /// A document is not the one that was asked for.
    #[error(
        "the registry sent a document with the digest {actual} for {expected}: it was damaged or tampered with on the way"
    )]
    Mismatch {
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// An answer that makes no sense.
    #[error(
        "the registry {registry} answered {status} to {path}{}",
        with_colon(message)
    )]
    Answer {
        /// Host and port.
        registry: String,
        /// HTTP status.
        status: StatusCode,
        /// What was asked for.
        path: String,
        /// What it said.
        message: String,
        /// When it wants to be asked again.
        after: Option<Duration>,
    },
    /// A document that cannot be understood.
    #[error("the registry sent {what} that cannot be understood")]
    Document {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A document of a kind that is no longer, or not yet, known.
    #[error(
        "`{reference}` is of the kind `{media_type}`, which is not supported: push it anew with a current tool"
    )]
    MediaType {
        /// The name.
        reference: Box<Reference>,
        /// Its media type.
        media_type: String,
    },
    /// An answer that breaks the protocol.
    #[error("the registry {registry} does not follow the protocol: {what}")]
    Protocol {
        /// Host and port.
        registry: String,
        /// What it did.
        what: &'static str,
    },
    /// A layer that registries do not give out.
    #[error(
        "the layer {layer} of `{reference}` is of the kind `{media_type}`: its maker does not let registries hand it out (Windows base images have such layers), so the image cannot be used here"
    )]
    Foreign {
        /// The name.
        reference: Box<Reference>,
        /// The layer.
        layer: Digest,
        /// Its media type.
        media_type: String,
    },
    /// Something else than an image of a container.
    #[error("`{reference}` is no image of a container but holds `{media_type}`")]
    Artifact {
        /// The name.
        reference: Box<Reference>,
        /// The media type of its configuration.
        media_type: String,
    },
    /// Logins cannot be read or kept.
    #[error("cannot use the logins of {}", path.display())]
    Login {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The registry takes neither the user nor the password.
    #[error("the registry {registry} does not accept the user and the password")]
    WrongLogin {
        /// Host and port.
        registry: String,
    },
    /// The settings of registries cannot be read.
    #[error("cannot read the settings of registries in {}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key of the settings is of no use.
    #[error("cannot use the certificate {}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The proxy does not let us through.
    #[error(
        "cannot reach {registry} through the proxy {proxy}: check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
    )]
    Proxy {
        /// Host and port of the target.
        registry: String,
        /// Host and port of the proxy.
        proxy: String,
        /// Why.
        source: Box<RegistryError>,
    },
    /// The address of a proxy is none.
    #[error("{variable} holds no address of a proxy: write it as `http://host:port`")]
    ProxyAddress {
        /// The variable.
        variable: &'static str,
    },
}

fn with_colon(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

fn later(after: &Option<Duration>) -> String {
    match after {
        Some(after) => format!("in {} s", after.as_secs().max(1)),
        None => "later".to_owned(),
    }
}

/// A connection that was lost, and not one that makes no sense.
fn is_broken(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof
    )
}

/// `stack login` without an argument means Docker Hub.
fn argument(registry: &str) -> String {
    match registry {
        "docker.io" => String::new(),
        other => format!(" {other}"),
    }
}

impl RegistryError {
    /// A connection that has broken off.
    pub(super) fn broken(
        registry: String,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> Self {
        match refuses_us(&*source) {
            true => Self::ClientCertificate { registry, source },
            false => Self::Unreachable { registry, source },
        }
    }

    /// A connection that could not be made secure.
    pub(super) fn insecure(registry: String, source: io::Error) -> Self {
        match refuses_us(&source) {
            true => Self::ClientCertificate {
                registry,
                source: source.into(),
            },
            false => Self::Tls { registry, source },
        }
    }

    /// Whether it is worth trying again after a pause.
    pub(in crate::image) fn is_transient(&self) -> bool {
        match self {
            // "There is no such name" is an answer, and a final one.
            Self::Resolve { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Unreachable { .. } | Self::TooMany { .. } => true,
            Self::Tls { source, .. } => is_broken(source.kind()),
            Self::Proxy { source, .. } => source.is_transient(),
            Self::Answer { status, .. } => {
                status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT
            }
            _ => false,
        }
    }

    /// How long the registry wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::TooMany { after, .. } | Self::Answer { after, .. } => *after,
            _ => None,
        }
    }
}

/// Whether the other side has ended the connection because of our certificate, or for want of one: it
/// says nothing of the kind about its own. With TLS 1.3 that comes only after the handshake.
fn refuses_us(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::AlertDescription as Alert;
    if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() {
        return matches!(
            alert,
            Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
        );
    }
    // What an input error holds is not its source.
    let held = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    held.is_some_and(|held| refuses_us(held)) || error.source().is_some_and(refuses_us)
}
