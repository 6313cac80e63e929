//! A plain archive becomes the compressed one that registries get.

use std::fs::File;
use std::io::{self, Read, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

use super::super::digest::Digest;
use super::ingest::{HashedFile, PIECE};

/// What Docker and podman use: it is sent and kept often, and made once.
const LEVEL: u32 = 6;

/// What became of an archive.
#[derive(Debug)]
pub(in crate::image) struct Compressed {
    /// Digest of what was read.
    pub(in crate::image) plain: Digest,
    /// Digest and length of what was written.
    pub(in crate::image) digest: Digest,
    pub(in crate::image) size: u64,
}

/// Compresses with gzip, in less than a megabyte of memory. The same bytes always become the same ones:
/// the header has no time and no name. `tell` gets the number of bytes read; its error ends the work.
pub(in crate::image) fn compress(
    mut input: impl Read,
    output: File,
    mut tell: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<Compressed> {
    let mut plain = Sha256::new();
    let mut out = HashedFile::new(output, 0);
    let mut encoder = GzEncoder::new(&mut out, Compression::new(LEVEL));
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    loop {
        let count = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        plain.update(&piece[..count]);
        encoder.write_all(&piece[..count])?;
        done += count as u64;
        tell(done)?;
    }
    encoder.finish()?;
    let (digest, size) = out.finish();
    Ok(Compressed {
        plain: Digest::from_hasher(plain),
        digest,
        size,
    })
}
