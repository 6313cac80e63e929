//! What of a tree matters.

use std::path::Path;

/// Says what of a tree matters. The paths that it is asked about are absolute.
pub trait Interest: Send {
    /// Whether anything below this directory may matter: only such directories are watched.
    fn enters(&self, directory: &Path) -> bool;

    /// Whether a change of this path matters.
    fn wants(&self, path: &Path) -> bool;
}

/// The roots alone, not what is below them.
#[derive(Debug)]
pub(super) struct RootsAlone;

impl Interest for RootsAlone {
    fn enters(&self, _: &Path) -> bool {
        false
    }

    fn wants(&self, _: &Path) -> bool {
        true
    }
}
