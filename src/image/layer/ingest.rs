//! A stream of bytes becomes a verified blob and an unpacked directory, in one pass.
//!
//! ```text
//! input ─► size limit ─┬─► decompress ─► hash (diff id) ─► unpack       (this thread)
//!                      └─► [compress] ─► hash (digest) ─► blob file     (its own thread)
//! ```

use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use hyper::body::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};

use super::super::digest::Digest;
use super::super::oci::Descriptor;
use super::archive::Archive;
use super::compression::{Compression, decoder, detect};
use super::error::{ArchiveError, LayerError};
use super::unpack::{Limits, unpack};

/// gzip, for zstd cannot go into the formats of Docker (`skopeo copy` to a docker-archive refuses it);
/// its fastest level, for a stored blob is written once and mostly never read.
const GZIP_LEVEL: u32 = 1;
/// Chunks on their way to the blob's thread.
const CHUNKS: usize = 8;
/// Bytes that are read at once.
pub(super) const PIECE: usize = 256 << 10;
/// An archive may be this much longer than the files in it: headers, and blanks at its end.
const OVERHEAD: u64 = 4 << 30;

/// What to do with the bytes as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::image) enum Blob {
    /// Keep them: a manifest names them by their digest.
    AsIs,
    /// Keep them if they are compressed, else compress them.
    Compressed,
}

/// A layer that has come in, not yet in its place.
#[derive(Debug)]
pub(in crate::image) struct Ingested {
    pub(in crate::image) compression: Compression,
    /// Digest and length of the blob.
    pub(in crate::image) digest: Digest,
    pub(in crate::image) size: u64,
    /// Digest of the archive, decompressed.
    pub(in crate::image) diff_id: Digest,
    /// Bytes of the unpacked files.
    pub(in crate::image) bytes: u64,
    /// Entries of the archive.
    pub(in crate::image) entries: u64,
    /// Directories that no entry has described.
    pub(in crate::image) implied: Vec<Vec<u8>>,
}

impl Ingested {
    /// The blob, when it is compressed.
    pub(in crate::image) fn compressed_blob(&self) -> Option<Descriptor> {
        let media_type = self.compression.media_type();
        let compressed = self.compression != Compression::None;
        compressed.then(|| Descriptor::new(media_type, self.digest, self.size))
    }

    /// Compares what came with what was promised.
    pub(in crate::image) fn verify(
        &self,
        promised: &Descriptor,
        diff_id: &Digest,
    ) -> Result<(), LayerError> {
        if self.size != promised.size {
            return Err(LayerError::Size {
                expected: promised.size,
                actual: self.size,
            });
        }
        for (what, expected, actual) in [
            ("the blob", promised.digest, self.digest),
            ("the archive in it", *diff_id, self.diff_id),
        ] {
            if expected != actual {
                return Err(LayerError::Mismatch {
                    what,
                    expected,
                    actual,
                });
            }
        }
        Ok(())
    }
}

/// Where a blob goes.
pub(in crate::image) struct Sink<'a> {
    pub(in crate::image) file: File,
    /// For messages.
    pub(in crate::image) path: &'a Path,
    /// Bytes at its beginning that are in the file already: they are hashed and not written.
    pub(in crate::image) kept: u64,
    /// Bytes that may be unpacked of it.
    pub(in crate::image) most: u64,
}

impl<'a> Sink<'a> {
    /// A new file.
    pub(in crate::image) fn new(file: File, path: &'a Path) -> Self {
        Self {
            file,
            path,
            kept: 0,
            most: u64::MAX,
        }
    }
}

/// A source of bytes that hands out pieces, so that nobody has to copy them.
pub(in crate::image) trait Chunks {
    /// The next piece, which is not empty; `None` = the end.
    fn next(&mut self) -> io::Result<Option<Bytes>>;
}

/// A reader as a source of pieces.
pub(in crate::image) struct Chunked<R> {
    input: R,
}

impl<R: Read> Chunked<R> {
    pub(in crate::image) fn new(input: R) -> Self {
        Self { input }
    }
}

impl<R: Read> Chunks for Chunked<R> {
    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = vec![0; PIECE];
        loop {
            match self.input.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    piece.truncate(count);
                    return Ok(Some(piece.into()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Reads a layer to its end: the blob goes into `sink`, the files into the empty directory
/// `directory`.
pub(in crate::image) fn ingest(
    input: impl Chunks,
    mode: Blob,
    (sink, directory): (Sink<'_>, &Path),
    limits: Limits,
) -> Result<Ingested, LayerError> {
    let (sender, receiver) = sync_channel(CHUNKS);
    let path = sink.path;
    std::thread::scope(|scope| {
        let tee = Tee {
            input,
            sender,
            piece: Bytes::new(),
        };
        let (compression, input) = detect(tee)?;
        let kept = match (mode, compression) {
            (Blob::Compressed, Compression::None) => Compression::Gzip,
            (_, compression) => compression,
        };
        let compress = kept != compression;
        let writer = scope.spawn(move || write_blob(sink, &receiver, compress));
        let unpacked = read_archive(input, compression, directory, limits);
        let written = writer
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the blob's thread panicked")));
        // A full disk stops both sides: the writer knows why.
        let (digest, size) = written.map_err(|source| LayerError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })?;
        let (diff_id, unpacked) = unpacked?;
        Ok(Ingested {
            compression: kept,
            digest,
            size,
            diff_id,
            bytes: unpacked.bytes,
            entries: unpacked.entries,
            implied: unpacked.implied,
        })
    })
}

fn read_archive(
    mut input: impl BufRead,
    compression: Compression,
    directory: &Path,
    limits: Limits,
) -> Result<(Digest, super::unpack::Unpacked), LayerError> {
    let found = read_decoded(decoder(compression, &mut input)?, directory, limits)?;
    // Whatever stands behind the compressed stream belongs to the blob too.
    io::copy(&mut input, &mut io::sink()).map_err(ArchiveError::Read)?;
    Ok(found)
}

fn read_decoded(
    decoded: impl BufRead,
    directory: &Path,
    limits: Limits,
) -> Result<(Digest, super::unpack::Unpacked), LayerError> {
    let most = limits.bytes.saturating_add(OVERHEAD);
    let mut hashing = Hashing {
        input: decoded.take(most + 1),
        hasher: Sha256::new(),
        hashed: 0,
    };
    let mut archive = Archive::new(&mut hashing);
    let unpacked = unpack(&mut archive, directory, limits)?;
    archive.drain()?;
    if hashing.input.limit() == 0 {
        return Err(LayerError::Limit {
            what: "bytes",
            limit: most,
        });
    }
    Ok((Digest::from_hasher(hashing.hasher), unpacked))
}

struct Hashing<R> {
    input: R,
    hasher: Sha256,
    /// Bytes of the input's buffer that are hashed and not yet taken.
    hashed: usize,
}

impl<R: BufRead> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let found = self.fill_buf()?;
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Hashing<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let found = self.input.fill_buf()?;
        // Hashed in whole buffers: pieces as small as a header keep the hash's unit idle.
        if self.hashed == 0 && !found.is_empty() {
            self.hasher.update(found);
            self.hashed = found.len();
        }
        Ok(found)
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.hashed -= count;
    }
}

/// Hands every piece that is read to the blob's thread as well.
struct Tee<C> {
    input: C,
    sender: SyncSender<Bytes>,
    piece: Bytes,
}

impl<C: Chunks> BufRead for Tee<C> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.is_empty()
            && let Some(piece) = self.input.next()?
        {
            self.piece = piece.clone();
            if self.sender.send(piece).is_err() {
                return Err(io::Error::other("the blob cannot be written"));
            }
        }
        Ok(&self.piece)
    }

    fn consume(&mut self, count: usize) {
        self.piece.advance(count);
    }
}

impl<C: Chunks> Read for Tee<C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

fn write_blob(
    sink: Sink<'_>,
    chunks: &Receiver<Bytes>,
    compress: bool,
) -> io::Result<(Digest, u64)> {
    let mut out = HashedFile::new(sink.file, sink.kept);
    if compress {
        let mut encoder =
            flate2::write::GzEncoder::new(&mut out, flate2::Compression::new(GZIP_LEVEL));
        while let Ok(chunk) = chunks.recv() {
            encoder.write_all(&chunk)?;
        }
        encoder.finish()?;
    } else {
        while let Ok(chunk) = chunks.recv() {
            out.write_all(&chunk)?;
        }
    }
    Ok(out.finish())
}

/// A file whose digest is taken while it is written.
pub(super) struct HashedFile {
    file: File,
    hasher: Sha256,
    size: u64,
    /// Bytes to come that are in the file already.
    kept: u64,
}

impl HashedFile {
    pub(super) fn new(file: File, kept: u64) -> Self {
        Self {
            file,
            hasher: Sha256::new(),
            size: 0,
            kept,
        }
    }

    /// Digest and length of what was written.
    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_hasher(self.hasher), self.size)
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = usize::try_from(self.kept).map_or(bytes.len(), |kept| kept.min(bytes.len()));
        let count = match kept {
            0 => self.file.write(bytes)?,
            kept => kept,
        };
        self.kept -= kept as u64;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
