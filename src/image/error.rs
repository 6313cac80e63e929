//! What can go wrong with images.

use std::io;
use std::path::PathBuf;

use super::digest::{Digest, DigestError};
use super::reference::{Reference, ReferenceError};

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
}
