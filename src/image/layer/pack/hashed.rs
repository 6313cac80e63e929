//! The bytes of an archive on their way out.

use std::io::{self, Write};

use sha2::{Digest as _, Sha256};

use crate::image::digest::Digest;

/// Bytes that are collected before they go on.
pub(super) const BUFFER: usize = 256 << 10;

/// Collects small writes, and hashes what it hands on.
pub(super) struct Hashed<W> {
    out: W,
    hasher: Sha256,
    pending: Vec<u8>,
    size: u64,
}

impl<W: Write> Hashed<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            hasher: Sha256::new(),
            pending: Vec::with_capacity(BUFFER),
            size: 0,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let is_large = bytes.len() >= BUFFER / 2;
        // What is handed on at once must not overtake what was collected.
        if is_large || self.pending.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if is_large {
            self.hasher.update(bytes);
            self.size += bytes.len() as u64;
            return self.out.write_all(bytes);
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.pending);
        self.size += self.pending.len() as u64;
        self.out.write_all(&self.pending)?;
        self.pending.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        self.flush()?;
        self.out.flush()?;
        Ok((Digest::from_hasher(self.hasher), self.size))
    }
}
