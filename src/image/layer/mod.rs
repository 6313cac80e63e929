//! One layer: an archive that becomes a directory for overlayfs, and a blob.
//!
//! Owns the reading of hostile archives. Knows nothing of images, names or registries.
//!
//! Invariant: whatever an archive says, nothing outside the directory that was given is read, made,
//! changed or removed, and no more is written than the limits allow. Every path is resolved by the
//! kernel beneath that directory (`openat2`, `RESOLVE_IN_ROOT`), never by string arithmetic alone.

mod archive;
mod attributes;
mod compress;
mod compression;
mod contents;
mod error;
mod header;
mod ingest;
mod pack;
mod pax;
mod remove;
mod sparse;
mod tree;
mod unpack;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod unpack_tests;

pub use error::{ArchiveError, EntryError, LayerError};
pub use pack::{Packed, Packing};

pub(crate) use archive::{Archive, Entry, Kind};
pub(crate) use attributes::Attributes;
pub(super) use attributes::inherit;
pub(super) use compress::compress;
pub(crate) use compression::{decoder, detect};
pub(super) use contents::{Contents, spread};
pub(super) use header::{Body as EntryBody, encode_plain as encode_entry, padding};
pub(super) use ingest::{Blob, Chunked, Chunks, Ingested, Sink, ingest};
pub(super) use pack::pack;
pub(crate) use pack::pack_entry;
pub(super) use remove::remove_tree;
pub(crate) use tree::Name;
pub(super) use unpack::Limits;
pub(crate) use unpack::fill;

pub(super) use compression::Compression;
