//! The loader's [`Source`] on the real machine.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::compose::source::{MAX_BYTES, Source};
use crate::control::follow::{Print, Seen};

/// Files of the disk and the environment as it was when the program started. It remembers which files
/// were read, and which were looked for in vain.
#[derive(Debug, Clone)]
pub struct DiskSource {
    env: HashMap<String, String>,
    seen: Arc<Mutex<Seen>>,
}

impl DiskSource {
    /// Takes a copy of the environment; variables that are not UTF-8 are left out, since neither a
    /// stack file nor a container's configuration could hold them.
    pub fn capture() -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::with_env(env)
    }

    /// A source with this environment instead of the process's own.
    pub fn with_env(env: HashMap<String, String>) -> Self {
        let seen = Arc::default();
        Self { env, seen }
    }

    /// The files that were read, as they were then, and those that were not there.
    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    fn note(&self, path: &Path, found: Option<&Metadata>) {
        let file = found.filter(|found| !found.is_dir());
        self.lock().note(path, file.map(Print::of));
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for DiskSource {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = std::fs::File::open(path)
            .inspect_err(|_| self.note(path, path.metadata().ok().as_ref()))?;
        let metadata = file.metadata()?;
        self.note(path, Some(&metadata));
        // One byte more than there is: the end is seen without another read.
        let length = metadata.len().min(MAX_BYTES as u64);
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn is_file(&self, path: &Path) -> bool {
        // A named pipe counts: `-f <(generate)` hands one over.
        let found = path.metadata().ok();
        self.note(path, found.as_ref());
        found.is_some_and(|found| !found.is_dir())
    }

    fn is_dir(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.env.clone().into_iter().collect()
    }

    fn home(&self) -> Option<PathBuf> {
        self.env
            .get("HOME")
            .filter(|home| !home.is_empty())
            .map(PathBuf::from)
    }
}
