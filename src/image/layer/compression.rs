//! How an archive is packed, seen from its first bytes.

use std::io::{self, BufRead, BufReader, Read as _};

use flate2::bufread::MultiGzDecoder;

use super::error::{ArchiveError, LayerError};

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Enough for every magic number.
const MAGIC: usize = 6;
/// Unpacked bytes at once: the decoder keeps its last 32 KiB after every call, so few calls are cheap,
/// and all of it fits into a core's own cache.
const BUFFER: usize = 256 << 10;

impl Compression {
    fn detect(start: &[u8]) -> Result<Self, LayerError> {
        let refused = |name| Err(LayerError::Compression { name });
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Self::Zstd),
            // A frame to skip, which pzstd and zstd:chunked put in front.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', ..] => refused("xz"),
            [b'B', b'Z', b'h', ..] => refused("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => refused("lz4"),
            _ => Ok(Self::None),
        }
    }

    /// The layer's media type in the OCI image specification.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// Looks at the first bytes and gives them back in front of the rest.
pub(crate) fn detect<R: BufRead>(mut input: R) -> Result<(Compression, impl BufRead), LayerError> {
    let mut start = Vec::with_capacity(MAGIC);
    input
        .by_ref()
        .take(MAGIC as u64)
        .read_to_end(&mut start)
        .map_err(ArchiveError::Read)?;
    let compression = Compression::detect(&start)?;
    Ok((compression, io::Cursor::new(start).chain(input)))
}

/// The unpacked bytes.
pub(crate) fn decoder<'a, R: BufRead + 'a>(
    compression: Compression,
    input: R,
) -> Result<Box<dyn BufRead + 'a>, LayerError> {
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(input))),
        Compression::Zstd => {
            let decoder =
                zstd::stream::read::Decoder::with_buffer(input).map_err(ArchiveError::Read)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
    })
}
