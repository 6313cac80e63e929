//! Where text comes from: the loader's only window to the world.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of one file that are read; a longer one is refused.
pub const MAX_BYTES: usize = 16 << 20;

/// Files and environment, as the loader sees them.
pub trait Source {
    /// The bytes of a file. A source need not give more than one byte above [`MAX_BYTES`]: a name may
    /// lead to a device that never ends.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Whether something that is not a directory is there.
    fn is_file(&self, path: &Path) -> bool;

    /// Whether a directory is there.
    fn is_dir(&self, path: &Path) -> bool;

    /// The path without symbolic links; as it is, when that cannot be told.
    fn canonical(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }

    /// A variable of the caller's environment.
    fn env(&self, name: &str) -> Option<String>;

    /// All variables of the caller's environment, in no order.
    fn variables(&self) -> Vec<(String, String)>;

    /// The caller's home directory, for paths that start with `~`.
    fn home(&self) -> Option<PathBuf>;
}

/// Files and environment in memory.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    files: BTreeMap<PathBuf, Vec<u8>>,
    directories: BTreeSet<PathBuf>,
    env: BTreeMap<String, String>,
}

impl MemorySource {
    /// No file and no variable.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file; the directories above it come with it.
    pub fn file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        let path = path.into();
        self.directories
            .extend(path.ancestors().skip(1).map(Path::to_path_buf));
        self.files.insert(path, content.into());
        self
    }

    /// Adds an environment variable.
    pub fn var(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }
}

impl Source for MemorySource {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            Some(bytes) => Ok(bytes.clone()),
            None if self.directories.contains(path) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.directories.contains(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.env.clone().into_iter().collect()
    }

    fn home(&self) -> Option<PathBuf> {
        self.env.get("HOME").map(PathBuf::from)
    }
}
