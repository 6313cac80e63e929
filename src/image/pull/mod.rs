//! Images from registries, by the OCI distribution protocol.

mod platform;

use super::progress::ProgressSink;
use super::reference::Reference;
use super::store::{Image, ImageStore};

pub use platform::Platform;

pub(super) use platform::choose;

/// Why a registry did not give an image.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {}

/// How a registry is spoken to.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// The machine the image is for; `None` = this one.
    pub platform: Option<Platform>,
    /// Registries (`host` or `host:port`) that are spoken to without TLS. Loopback ones always are
    /// tried that way when TLS fails.
    pub plain_http: Vec<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// Layers fetched at once; 0 = 4.
    pub parallel: usize,
}

/// Who we are to a registry.
#[derive(Clone, Default)]
pub enum Credentials {
    /// What `docker login` has stored (`config.json`, its helpers), else nobody.
    #[default]
    Docker,
    /// Nobody.
    Anonymous,
    /// This user, for whatever registry is asked.
    Basic {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Docker => "Docker",
            Self::Anonymous => "Anonymous",
            Self::Basic { .. } => "Basic(…)",
        })
    }
}

/// Fetches an image from its registry; what is in the store already is not fetched again.
///
/// Needs a tokio runtime with I/O and time enabled.
pub async fn pull(
    store: &ImageStore,
    reference: &Reference,
    options: &PullOptions,
    progress: ProgressSink<'_>,
) -> super::Result<Image> {
    let _ = (store, reference, options, progress);
    todo!()
}
