//! What can be wrong with a layer.

use std::io;
use std::path::PathBuf;

use super::super::digest::Digest;

/// What can be wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// An entry that cannot or may not be unpacked.
    #[error("entry `{entry}`")]
    Entry {
        /// Its name in the archive.
        entry: String,
        /// What is wrong with it.
        source: EntryError,
    },
    /// The archive itself is broken.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// More is in it than we are willing to write.
    #[error("it holds more than {limit} {what}: it is refused as an attempt to fill the disk")]
    Limit {
        /// Bytes or entries.
        what: &'static str,
        /// How many are allowed.
        limit: u64,
    },
    /// It is compressed in a way that no layer may be.
    #[error("it is compressed with {name}: only plain, gzip and zstd archives can be read")]
    Compression {
        /// The program that made it so.
        name: &'static str,
    },
    /// The bytes are not those that were asked for.
    #[error(
        "{what} has the digest {actual}, but {expected} was promised: it was damaged or tampered with"
    )]
    Mismatch {
        /// The blob, or its contents.
        what: &'static str,
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// The number of bytes is not the one that was promised.
    #[error("it has {actual} bytes, but {expected} were promised")]
    Size {
        /// What was promised.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// The operating system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Why an archive cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading or decompressing failed.
    #[error("the archive cannot be read")]
    Read(#[source] io::Error),
    /// It ends within an entry.
    #[error("the archive ends in the middle of an entry: it is incomplete")]
    Truncated,
    /// The checksum of a header is wrong.
    #[error("this is no tar archive, or it is damaged: a header's checksum is wrong")]
    Checksum,
    /// A number in a header is none.
    #[error("the archive is damaged: the field `{field}` of a header is no number")]
    Number {
        /// Which field.
        field: &'static str,
    },
    /// A long name or a set of extended attributes is longer than anybody needs.
    #[error("an extended header of {size} bytes is refused: at most {limit} are read")]
    ExtensionSize {
        /// How long it says it is.
        size: u64,
        /// How long it may be.
        limit: u64,
    },
    /// A pax record that breaks the format.
    #[error("the archive is damaged: a pax record does not follow the format")]
    Pax,
    /// The map of a sparse file makes no sense.
    #[error("the archive is damaged: the map of a sparse file does not fit the file")]
    Sparse,
}

/// Why an entry cannot or may not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// The name leads upwards.
    #[error("its name contains `..`: nothing may be written outside the layer")]
    DotDot,
    /// The name has a NUL.
    #[error("its name contains a NUL character")]
    Nul,
    /// The name has too many parts.
    #[error("its name has more than {limit} parts")]
    TooDeep {
        /// How many it may have.
        limit: usize,
    },
    /// The root directory as something else than a directory.
    #[error("it would replace the root directory by something else")]
    Root,
    /// Something in the name is no directory.
    #[error("`{part}` in its name is no directory of this layer")]
    Parent {
        /// The part.
        part: String,
    },
    /// The target of a hard link is not there.
    #[error("it is a hard link to `{target}`, which is not in this layer")]
    LinkTarget {
        /// The target.
        target: String,
    },
    /// A hard link to something that cannot have one.
    #[error("it is a hard link to `{target}`, which is a directory or a deletion mark")]
    LinkKind {
        /// The target.
        target: String,
    },
    /// A device that overlayfs takes for a deletion.
    #[error(
        "it is the character device 0:0, which overlayfs reads as a deletion: an archive writes deletions as `.wh.` files"
    )]
    FakeWhiteout,
    /// A deletion mark that deletes nothing that can be named.
    #[error("it marks nothing that can be deleted")]
    Whiteout,
    /// A mark that hides all of the image below.
    #[error("it hides the whole image below this layer, which is not supported: squash the image")]
    OpaqueRoot,
    /// A kind of entry that nobody puts into layers.
    #[error("it is of the kind `{kind}`, which no layer may hold")]
    Kind {
        /// The letter in the header.
        kind: char,
    },
    /// An owner that the kernel cannot store.
    #[error("its owner {id} is out of range")]
    Owner {
        /// The number.
        id: u64,
    },
    /// The operating system said no.
    #[error("cannot {action} it")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}
