//! `COPY` and `ADD`: which files are meant, what they hash to, and how they get into a stage.
//!
//! Owns the rules of sources and destinations, which are BuildKit's. Trees to copy from and roots to
//! copy into are both hostile: every path is resolved by the kernel beneath them (`openat2`,
//! `RESOLVE_IN_ROOT`).
//!
//! Invariant: what is hashed is what is copied; times are not hashed, so that a fresh clone of a
//! repository finds what an older one has built.

mod archive;
mod digest;
mod mode;
mod owner;
mod pattern;
mod select;
mod tree;
mod write;

use std::io;
use std::path::PathBuf;

pub(super) use archive::open as open_archive;
pub(super) use digest::content;
pub(super) use mode::ModeChange;
pub(super) use owner::{Owner, find as find_owner};
pub(crate) use pattern::matches_path;
pub(super) use select::Selected;
pub(super) use tree::{Everything, Filter, Ownership, Tree, Verdict};
pub(super) use write::{Existing, Manner, Writer};

/// Why files cannot be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A source that is not there.
    #[error("`{source}` is not in {tree}{}", hint(.similar))]
    NotFound {
        /// The source as written.
        r#source: String,
        /// What was looked in.
        tree: String,
        /// What was perhaps meant.
        similar: Option<String>,
    },
    /// A pattern with an open bracket, or a `\` at its end.
    #[error("`{pattern}` is no pattern: a `[` is not closed, or it ends with `\\`")]
    Pattern {
        /// The pattern.
        pattern: String,
    },
    /// `--chmod` with something else than a mode.
    #[error("`{text}` is no mode: write it as `755` or `u=rwX,go=rX`")]
    Mode {
        /// What was written.
        text: String,
    },
    /// `--chown` with somebody unknown.
    #[error("there is no {what} `{name}` in the stage's {file}")]
    NoSuchOwner {
        /// `user` or `group`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A directory is to go where something else is.
    #[error("cannot copy a directory over {}, which is none", path.display())]
    NoDirectory {
        /// What is there.
        path: PathBuf,
    },
    /// A file is to go where a directory is.
    #[error("cannot copy a file over the directory {}", path.display())]
    IsDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Reading failed.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Writing failed.
    #[error("cannot write {}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn hint(similar: &Option<String>) -> String {
    match similar {
        Some(name) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

/// Finds what the sources of an instruction mean, in their order.
pub(super) fn select_all(
    tree: &Tree<'_>,
    sources: &[&str],
    parents: bool,
) -> Result<Vec<Selected>, CopyError> {
    let mut all = Vec::new();
    for source in sources {
        all.extend(select::select(tree, source, parents)?);
    }
    Ok(all)
}
