//! What can go wrong with images.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::digest::{Digest, DigestError};
use super::layer::LayerError;
use super::reference::{Reference, ReferenceError};
use super::registry::RegistryError;

/// What can go wrong with images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A digest that is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `open`, `write`, `rename`…
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The name stands for nothing in the store.
    #[error("there is no image `{reference}`: pull it, or import it with `stack image import`")]
    NoSuchImage {
        /// The name.
        reference: Reference,
    },
    /// The first digits of several IDs.
    #[error("`{text}` is the beginning of {count} image IDs: give more of its digits")]
    Ambiguous {
        /// What was given.
        text: String,
        /// How many images it may mean.
        count: usize,
    },
    /// A document of the store or of an archive cannot be understood.
    #[error("{} is damaged: remove the image and bring it in again", path.display())]
    Corrupt {
        /// The document.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A layer that may not be unpacked, or cannot.
    #[error("the layer {layer} cannot be unpacked")]
    Layer {
        /// Which one.
        layer: LayerSource,
        /// What is wrong with it.
        source: Box<LayerError>,
    },
    /// An image has come in by another tool, or its layer was deleted.
    #[error(
        "the image {image} is not complete, its layer {diff_id} is not unpacked: pull, load or import it again"
    )]
    LayerMissing {
        /// Its name or ID.
        image: String,
        /// The layer.
        diff_id: Digest,
    },
    /// Something of an image is not in the store, so it cannot be sent.
    #[error(
        "{digest} of the image {image} is not in the store, so it cannot be pushed: pull or load the image again"
    )]
    BlobMissing {
        /// Its name.
        image: Box<Reference>,
        /// The blob or document.
        digest: Digest,
    },
    /// Something of an image is not in the store, so it cannot be saved.
    #[error(
        "{digest} of the image {image} is not in the store, so it cannot be saved: pull or load the image again"
    )]
    SaveMissing {
        /// Its name or ID.
        image: String,
        /// The blob or document.
        digest: Digest,
    },
    /// What an archive is written to takes no more.
    #[error("cannot write the archive")]
    Write {
        /// The system's answer.
        source: io::Error,
    },
    /// Something comes in, so nothing may be deleted.
    #[error(
        "images are pulled, loaded or built just now, so nothing was deleted: try again when that is done"
    )]
    Busy,
    /// An import of nothing.
    #[error(
        "the archive is empty, so it makes no image: did the program fail that should have written it?"
    )]
    EmptyArchive,
    /// Two documents of an image contradict each other.
    #[error(
        "the image's configuration names {config} layers, its manifest {manifest}: it is damaged"
    )]
    LayerCount {
        /// Layers of the configuration.
        config: usize,
        /// Layers of the manifest.
        manifest: usize,
    },
    /// A change of a configuration that is none.
    #[error("`{line}` is no change of an image's configuration: {reason}")]
    Change {
        /// What was given.
        line: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An archive or directory that holds no images.
    #[error("{what} holds no image: {reason}")]
    NotAnImage {
        /// The archive or directory.
        what: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// An archive of images that cannot be spread out.
    #[error("the archive cannot be unpacked")]
    Archive {
        /// What is wrong with it.
        source: Box<LayerError>,
    },
    /// The registry did not give the image.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Error {
    /// Says which layer it was.
    pub(super) fn layer(layer: LayerSource) -> impl FnOnce(LayerError) -> Self {
        |source| Self::Layer {
            layer,
            source: Box::new(source),
        }
    }
}

/// Where a layer came from, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerSource {
    /// A blob of a registry or layout.
    Blob(Digest),
    /// A file in an archive.
    File(String),
    /// The archive that was imported under this name.
    Import(String),
}

impl fmt::Display for LayerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => digest.fmt(f),
            Self::File(name) => write!(f, "`{name}`"),
            Self::Import(name) => write!(f, "of {name}"),
        }
    }
}

/// An error of the system with what was tried and on what.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}
