//! Blobs that have come in part: a pull that was killed goes on where it was.
//!
//! `layers/part-<hex>` holds the first bytes of the blob with that digest. It is written from front to
//! back by whoever has claimed the blob, and believed only when the digest of the whole fits.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::Result;
use super::super::digest::Digest;
use super::super::error::io_error;
use super::disk::UNFINISHED;
use super::{ImageStore, Lock};

const PARTIAL: &str = "part-";
/// A pull that nobody has gone on with for so long has been given up.
const KEPT: Duration = Duration::from_secs(7 * 86_400);

/// The first bytes of a blob.
#[derive(Debug)]
pub(in crate::image) struct Partial {
    pub(in crate::image) path: PathBuf,
    /// Reads what is there.
    pub(in crate::image) reader: File,
    /// Appends.
    pub(in crate::image) writer: File,
    /// Bytes that are there.
    pub(in crate::image) kept: u64,
}

impl ImageStore {
    /// Takes it on oneself to bring a blob in; `None` = somebody else is at it. The lock's file goes
    /// with the next sweep.
    pub(in crate::image) fn claim_blob(&self, blob: &Digest) -> Result<Option<Lock>> {
        let name = format!("{UNFINISHED}lock-{}", blob.hex());
        Lock::try_exclusive(&self.layers().join(name))
    }

    fn partial_path(&self, blob: &Digest) -> PathBuf {
        self.layers().join(format!("{PARTIAL}{}", blob.hex()))
    }

    /// What is there of a blob of `size` bytes; the caller has claimed it.
    pub(in crate::image) fn partial(&self, blob: &Digest, size: u64) -> Result<Partial> {
        let path = self.partial_path(blob);
        let mut options = File::options();
        let writer = options.append(true).create(true).open(&path);
        let writer = writer.map_err(io_error("open", &path))?;
        let mut kept = writer.metadata().map_err(io_error("look at", &path))?.len();
        if kept > size {
            writer.set_len(0).map_err(io_error("empty", &path))?;
            kept = 0;
        }
        let reader = File::open(&path).map_err(io_error("open", &path))?;
        Ok(Partial {
            path,
            reader,
            writer,
            kept,
        })
    }

    /// Bytes of a blob that have come in, for those who wait for it.
    pub(in crate::image) fn partial_length(&self, blob: &Digest) -> u64 {
        fs::metadata(self.partial_path(blob)).map_or(0, |found| found.len())
    }

    /// Forgets what is there of a blob, for it was wrong.
    pub(in crate::image) fn discard_partial(&self, blob: &Digest) {
        // It is not there when nothing had come.
        let _ = fs::remove_file(self.partial_path(blob));
    }
}

/// Whether a file of `layers/` is a part of a blob.
pub(super) fn is_partial(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}

/// Whether it is one that has been given up.
pub(super) fn is_stale(path: &Path) -> bool {
    let age = fs::metadata(path)
        .and_then(|found| found.modified())
        .ok()
        .and_then(|modified| modified.elapsed().ok());
    is_partial(path) && age.is_some_and(|age| age > KEPT)
}
