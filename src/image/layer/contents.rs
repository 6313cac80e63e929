//! A directory of somebody else's making, read without leaving it.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::OFlags;

use super::archive::Archive;
use super::compression::{decoder, detect};
use super::error::LayerError;
use super::tree::Tree;
use super::unpack::{Limits, unpack};

const BUFFER: usize = 128 << 10;

/// A directory whose files may be links that lead out of it: they are followed inside.
pub(in crate::image) struct Contents {
    tree: Tree,
}

impl Contents {
    pub(in crate::image) fn open(path: &Path) -> io::Result<Self> {
        Tree::open(path).map(|tree| Self { tree })
    }

    /// Opens a regular file.
    pub(in crate::image) fn file(&self, name: &[u8]) -> io::Result<File> {
        // A fifo would wait for its writer for ever.
        let file = File::from(self.tree.follow(name, OFlags::RDONLY | OFlags::NONBLOCK)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is no regular file")),
        }
    }
}

/// Spreads an archive out in an empty directory.
pub(in crate::image) fn spread(archive: impl io::Read, directory: &Path) -> Result<(), LayerError> {
    let (compression, input) = detect(io::BufReader::with_capacity(BUFFER, archive))?;
    let mut archive = Archive::new(decoder(compression, input)?);
    unpack(&mut archive, directory, Limits::default()).map(drop)
}
