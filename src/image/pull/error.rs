//! Why a registry did not give an image.

use std::io;

use hyper::StatusCode;

use super::super::digest::Digest;
use super::super::reference::Reference;

/// Why a registry did not give an image.
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
        "no secure connection to {registry}: if it speaks plain HTTP, name it as an insecure registry; if its certificate is your own, add it to the system's (package `ca-certificates`)"
    )]
    Tls {
        /// Host and port.
        registry: String,
        /// Why.
        source: io::Error,
    },
    /// There is no such image.
    #[error("the registry {} has no image `{reference}`: check the name and the tag, or log in if it is private", reference.registry())]
    NotFound {
        /// The name.
        reference: Box<Reference>,
    },
    /// It does not let us.
    #[error("the registry {} refuses `{reference}` to {user}: log in with `docker login {}`, or check that the image exists", reference.registry(), reference.registry())]
    Unauthorised {
        /// The name.
        reference: Box<Reference>,
        /// Who we said we were.
        user: String,
    },
    /// Too many pulls.
    #[error("the registry {registry} allows no more pulls for now: log in or try again later")]
    TooMany {
        /// Host and port.
        registry: String,
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
    /// The stored login cannot be read.
    #[error(
        "cannot read the login for {registry}: check ~/.docker/config.json and its credential helper"
    )]
    Login {
        /// The registry.
        registry: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn with_colon(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

impl RegistryError {
    /// Whether it is worth trying again after a pause.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            // "There is no such name" is an answer, and a final one.
            Self::Resolve { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Unreachable { .. } | Self::TooMany { .. } => true,
            Self::Answer { status, .. } => {
                status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT
            }
            _ => false,
        }
    }
}
