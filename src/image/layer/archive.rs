//! Reading tar archives: the framing, long names, pax and sparse files.
//!
//! The fields of a header are read by the `tar` crate. Its iterator over entries is not used: it
//! reads long names and pax headers of any length into memory, and splits pax records at newlines,
//! which breaks binary extended attributes.

use std::io::{self, BufRead, Read};

use tar::{EntryType, Header};

use super::error::ArchiveError;
use super::pax::Extensions;
use super::sparse::{self, Segment};

const BLOCK: u64 = 512;
/// Longest extended header that is read; Go's reader has the same.
const EXTENSION_MAX: u64 = 1 << 20;

/// A tar archive, read from front to back.
pub(crate) struct Archive<R> {
    input: R,
    /// Bytes of the current entry that are not read yet.
    left: u64,
    /// Bytes that fill its last block.
    padding: u64,
}

/// One entry of an archive; its data is read from the archive itself.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What an entry is.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A file; `size` bytes long, of which only the pieces of `map` are stored if there is one.
    File {
        size: u64,
        map: Option<Vec<Segment>>,
    },
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    /// The letter of a kind that no layer may hold.
    Other(u8),
}

impl<R: BufRead> Archive<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            left: 0,
            padding: 0,
        }
    }

    /// The next entry, after whatever is left of the current one.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip(self.left + self.padding)?;
            (self.left, self.padding) = (0, 0);
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            match header.entry_type() {
                EntryType::XHeader => extensions.read(&self.extension(&header)?)?,
                EntryType::GNULongName => extensions.path = Some(text(self.extension(&header)?)),
                EntryType::GNULongLink => extensions.link = Some(text(self.extension(&header)?)),
                // Defaults for all that follows: neither Go nor Docker applies them.
                EntryType::XGlobalHeader => drop(self.extension(&header)?),
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// Reads everything behind the last entry, so that whoever hashes the input sees all of it.
    pub(crate) fn drain(&mut self) -> Result<(), ArchiveError> {
        io::copy(&mut self.input, &mut io::sink())
            .map_err(ArchiveError::Read)
            .map(drop)
    }

    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let mut block = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < block.len() {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(ArchiveError::Truncated),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        match Header::from_byte_slice(&block).cksum() {
            Ok(sum) if sums(&block).contains(&i64::from(sum)) => {}
            _ => return Err(ArchiveError::Checksum),
        }
        zero_blank_numbers(&mut block);
        Ok(Some(Header::from_byte_slice(&block).clone()))
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = header
            .entry_size()
            .map_err(|_| ArchiveError::Number { field: "size" })?;
        if size > EXTENSION_MAX {
            return Err(ArchiveError::ExtensionSize {
                size,
                limit: EXTENSION_MAX,
            });
        }
        self.start(size);
        let mut bytes = Vec::new();
        self.data()
            .read_to_end(&mut bytes)
            .map_err(ArchiveError::Read)?;
        Ok(bytes)
    }

    fn entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, ArchiveError> {
        let number =
            |field, value: io::Result<u64>| value.map_err(|_| ArchiveError::Number { field });
        let stored = match extensions.size {
            Some(size) => size,
            None => number("size", header.entry_size())?,
        };
        let path = extensions
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extensions
            .link
            .or_else(|| header.link_name_bytes().map(|l| l.into_owned()));
        let kind = kind(header, &path, link, stored)?;
        let mut entry = Entry {
            path,
            kind,
            mode: header
                .mode()
                .map_err(|_| ArchiveError::Number { field: "mode" })?,
            uid: extensions
                .uid
                .map_or_else(|| number("uid", header.uid()), Ok)?,
            gid: extensions
                .gid
                .map_or_else(|| number("gid", header.gid()), Ok)?,
            mtime: extensions.mtime.unwrap_or_else(|| (mtime(header), 0)),
            xattrs: extensions.xattrs,
        };
        if has_data(header.entry_type()) {
            self.start(stored);
        }
        self.sparse(header, extensions.sparse, &mut entry)?;
        Ok(entry)
    }

    /// Finds the map of a sparse file, in whichever of the four formats it was written.
    fn sparse(
        &mut self,
        header: &Header,
        pax: super::pax::PaxSparse,
        entry: &mut Entry,
    ) -> Result<(), ArchiveError> {
        let Kind::File { size, map } = &mut entry.kind else {
            return Ok(());
        };
        let found = if header.entry_type() == EntryType::GNUSparse {
            Some(sparse::gnu_map(header, &mut self.input)?)
        } else if pax.map_in_data {
            let (found, taken) = sparse::data_map(&mut self.input, self.left)?;
            self.left -= taken;
            Some((found, pax.real_size.ok_or(ArchiveError::Sparse)?))
        } else {
            match pax.map {
                Some(found) => Some((found, pax.real_size.ok_or(ArchiveError::Sparse)?)),
                None => None,
            }
        };
        if let Some((found, real_size)) = found {
            sparse::check(&found, real_size, self.left)?;
            (*size, *map) = (real_size, Some(found));
            if let Some(name) = pax.name {
                entry.path = name;
            }
        }
        Ok(())
    }

    fn start(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK - size % BLOCK) % BLOCK;
    }

    fn skip(&mut self, count: u64) -> Result<(), ArchiveError> {
        let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink());
        match skipped.map_err(ArchiveError::Read)? {
            skipped if skipped == count => Ok(()),
            _ => Err(ArchiveError::Truncated),
        }
    }

    /// The stored bytes of the current entry.
    pub(crate) fn data(&mut self) -> Data<'_, R> {
        Data { archive: self }
    }
}

/// The stored bytes of an entry.
pub(crate) struct Data<'a, R> {
    archive: &'a mut Archive<R>,
}

impl<R: BufRead> Read for Data<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let found = self.fill_buf()?;
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// What is there is handed out where it lies: a copy of every file would cost as much as its hash.
impl<R: BufRead> BufRead for Data<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let most = usize::try_from(self.archive.left).unwrap_or(usize::MAX);
        if most == 0 {
            return Ok(&[]);
        }
        let found = self.archive.input.fill_buf()?;
        if found.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                ArchiveError::Truncated,
            ));
        }
        Ok(&found[..most.min(found.len())])
    }

    fn consume(&mut self, count: usize) {
        self.archive.input.consume(count);
        self.archive.left -= count as u64;
    }
}

/// Sums of the header with its checksum field as blanks; old programs added signed characters.
fn sums(block: &[u8; BLOCK as usize]) -> [i64; 2] {
    let blank = |index: usize, byte: u8| {
        if (148..156).contains(&index) {
            b' '
        } else {
            byte
        }
    };
    let bytes = || {
        block
            .iter()
            .enumerate()
            .map(|(index, byte)| blank(index, *byte))
    };
    [
        bytes().map(i64::from).sum(),
        bytes().map(|byte| i64::from(byte.cast_signed())).sum(),
    ]
}

/// A number of which there are only blanks and NULs is 0, as for Go's reader: programs leave the
/// fields empty that an entry has no use for.
fn zero_blank_numbers(block: &mut [u8; BLOCK as usize]) {
    // mode, uid, gid, size, mtime; the numbers of a device, where the format has them.
    let plain = [100..108, 108..116, 116..124, 124..136, 136..148];
    let devices = [329..337, 337..345];
    let has_devices = block[257..262] == *b"ustar";
    let devices = devices.into_iter().filter(|_| has_devices);
    for place in plain.into_iter().chain(devices) {
        let field = &mut block[place];
        if field.iter().all(|byte| matches!(byte, b' ' | 0)) {
            field.fill(b'0');
            if let Some(last) = field.last_mut() {
                *last = 0;
            }
        }
    }
}

/// What a header says its entry is; `size` bytes of data are stored for it.
fn kind(
    header: &Header,
    path: &[u8],
    link: Option<Vec<u8>>,
    size: u64,
) -> Result<Kind, ArchiveError> {
    let device = |field, value: io::Result<Option<u32>>| {
        value
            .map(Option::unwrap_or_default)
            .map_err(|_| ArchiveError::Number { field })
    };
    Ok(match header.entry_type() {
        EntryType::Symlink => Kind::Symlink(link.unwrap_or_default()),
        EntryType::Link => Kind::HardLink(link.unwrap_or_default()),
        EntryType::Directory => Kind::Directory,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => Kind::Character {
            major: device("devmajor", header.device_major())?,
            minor: device("devminor", header.device_minor())?,
        },
        EntryType::Block => Kind::Block {
            major: device("devmajor", header.device_major())?,
            minor: device("devminor", header.device_minor())?,
        },
        // Archives from before POSIX mark directories by the slash alone.
        EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            Kind::File { size, map: None }
        }
        other => Kind::Other(other.as_byte()),
    })
}

/// Links, devices and directories have no data, whatever their size says, as for Go's reader.
fn has_data(entry: EntryType) -> bool {
    !matches!(
        entry,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// Nonsense in a time is no reason to refuse a file.
fn mtime(header: &Header) -> i64 {
    header
        .mtime()
        .ok()
        .and_then(|seconds| i64::try_from(seconds).ok())
        .unwrap_or(0)
}

/// GNU long names end with a NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
