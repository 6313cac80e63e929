//! Copying files into containers that run.
//!
//! Files are written through the container's own root directory, with its mounts, as the kernel shows
//! it under `/proc/<pid>/root`: no archive, and no program of the image, is needed. What is in there is
//! hostile: every path is resolved inside the root, and no symbolic link, device or name in it makes a
//! write end anywhere else.

mod error;
mod inside;
mod remove;
mod write;

pub use error::SyncError;
pub use inside::{Inside, Running};
pub use write::Outcome;

use std::path::PathBuf;

/// A path of this machine and the place in a container that is to be like it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// Absolute path of the file, directory or link; nothing need be there.
    pub source: PathBuf,
    /// Absolute path in the container. One that ends with a slash is a directory that a file goes into.
    pub target: String,
    /// It is what a rule names, not something in it: the container has its place from elsewhere,
    /// and a directory there is never removed.
    pub top: bool,
}

/// Whether a file that looks the same is written all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// It is.
    Written,
    /// Not when size, time, mode and owner are the same.
    LeftAlone,
}

#[cfg(test)]
mod tests;
