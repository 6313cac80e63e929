//! What a long operation tells about its way.

use super::digest::Digest;

/// One step of a pull, push, load or import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The layer it is about: its digest in the manifest for a pull, `None` while that is not known
    /// (an import learns its layer's digest at the end) or when it is about the whole image.
    pub layer: Option<Digest>,
    /// What is being done.
    pub phase: Phase,
}

/// What is being done with a layer or an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asking the registry what the reference stands for.
    Resolving,
    /// The layer is in the list of things to fetch; `total` bytes if known.
    Waiting {
        /// Compressed size in bytes.
        total: Option<u64>,
    },
    /// Bytes have come in; they are verified and unpacked as they come.
    Transfer {
        /// Bytes so far.
        done: u64,
        /// Bytes in all, if known.
        total: Option<u64>,
    },
    /// The layer is compressed before it is sent.
    Compressing {
        /// Bytes of the archive so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The transfer broke off and starts again after a pause.
    Retrying {
        /// Which attempt comes next; the first one was 1.
        attempt: u32,
    },
    /// Another process is fetching the layer; it has so many bytes of it.
    Elsewhere {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// The layer is in the store, or at the registry, already.
    Present,
    /// The registry has taken the layer from another of its repositories.
    Mounted,
    /// Verified and unpacked.
    Unpacked,
    /// The registry has all of it.
    Sent,
    /// Writing everything to the disk.
    Syncing,
    /// The image is in the store.
    Done,
}

/// Takes the events. It is called from several threads and should return at once.
pub type ProgressSink<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// A sink that drops every event.
pub fn no_progress(_: Progress) {}
