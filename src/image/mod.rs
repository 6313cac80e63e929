//! Images: references, the content store, layers, registries, import.
//!
//! Owns everything below `images/` (an OCI image layout that other tools can read) and `layers/`
//! (one unpacked directory for each layer, shared by every image that has it).
//!
//! Never starts a container, never reads the environment (but for the default of [`Registries`]),
//! never trusts a byte it has not verified:
//! what comes from an archive or a registry is hostile until its digest fits, and even then its
//! names, links, sizes and devices may not reach outside the layer's own directory.
//!
//! Invariant: what the index names is complete and on the disk. A layer or blob appears by rename
//! after its digest was verified; the index is replaced by rename, as the last step. So readers need
//! no lock, and whatever a killed process leaves behind is garbage that the index does not name.

mod change;
mod config;
mod digest;
mod error;
mod history;
mod import;
pub(crate) mod layer;
mod load;
mod oci;
mod progress;
mod pull;
mod push;
mod reference;
mod registry;
mod save;
mod store;
#[cfg(test)]
mod testing;

pub use config::{ConfigChange, Healthcheck};
pub use digest::{Digest, DigestError};
pub use error::{Error, LayerSource};
pub use history::HistoryEntry;
pub use import::ImportOptions;
pub use layer::{ArchiveError, EntryError, LayerError, Packed, Packing};
pub use progress::{Phase, Progress, ProgressSink, no_progress};
pub use pull::{Platform, PlatformError, PullOptions, pull, remote_digest};
pub use push::{PushOptions, Pushed, push};
pub use reference::{Reference, ReferenceError};
pub use registry::{Credentials, LoggedOut, Registries, RegistryError, Stored, log_in, log_out};
pub use registry::{Fetched, FileVersion, fetch_file};
pub use save::SavedImage;
pub use store::{
    Cleaning, Hold, Image, ImageStore, ImageSummary, InUse, LabelRule, Parts, PruneRules, Removed,
    Snapshot, StoredLayer, Usage,
};

/// What the functions of this module return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Packs a directory into a tar archive; the same files give the same bytes.
pub(crate) fn pack_directory(
    directory: &std::path::Path,
    out: impl std::io::Write,
    packing: Packing,
) -> Result<()> {
    let source = LayerSource::Import("this image".to_owned());
    layer::pack(directory, out, packing)
        .map(drop)
        .map_err(Error::layer(source))
}

/// Spreads a tar archive out in an empty directory; whatever it says, nothing outside is touched.
pub(crate) fn spread_archive(
    archive: impl std::io::Read,
    directory: &std::path::Path,
) -> Result<()> {
    layer::spread(archive, directory).map_err(|source| Error::Archive {
        source: Box::new(source),
    })
}

/// Removes a directory with whatever a container has left in it, however deep.
pub(crate) fn remove_directory(directory: &std::path::Path) -> std::io::Result<()> {
    layer::remove_tree(directory)
}
