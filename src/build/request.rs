//! What is to be built: the same for `stack image build` and for a service's `build:`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::check::CheckOptions;
use super::run::NetworkChoice;
use super::shared::{CacheSource, CacheTarget};
use crate::image::Reference;

/// An image to build.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What to call it in progress and messages, when there are several: the service.
    pub title: Option<String>,
    /// The directory that steps copy from; `None` = there is none.
    pub context: Option<PathBuf>,
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// The names of the image.
    pub names: Vec<Reference>,
    /// The stage to build; `None` = the last.
    pub target: Option<String>,
    /// `--build-arg`.
    pub args: IndexMap<String, String>,
    /// Contexts by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Ssh agents by name.
    pub agents: BTreeMap<String, AgentSource>,
    /// `os/architecture[/variant]`; `None` = this machine's.
    pub platform: Option<String>,
    /// Labels for the image.
    pub labels: Vec<(String, String)>,
    /// The network of steps.
    pub network: NetworkChoice,
    /// Further lines of `/etc/hosts`.
    pub extra_hosts: Vec<(String, String)>,
    /// Size of `/dev/shm`, in bytes.
    pub shm_size: Option<u64>,
    /// Limits: name as in `ulimit`, soft, hard.
    pub ulimits: Vec<(String, i64, i64)>,
    /// Limit of memory of each step, in bytes.
    pub memory: Option<u64>,
    /// Steps may ask for all privileges.
    pub insecure: bool,
    /// What earlier builds made is not used.
    pub no_cache: NoCache,
    /// Where results of builds on other machines come from.
    pub cache_from: Vec<CacheSource>,
    /// Where the results of this one go.
    pub cache_to: Vec<CacheTarget>,
    /// Directories of its contexts that are nobody else's: they go with the last request that has them.
    pub scratch: Vec<Arc<Scratch>>,
    /// Which checks are run; `None`: the Dockerfile says it.
    pub checks: Option<CheckOptions>,
    /// Base images are fetched even when they are here.
    pub pull: bool,
    /// The latest time that anything in the image has, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub epoch: Option<i64>,
}

/// A directory of ours. Dropped, it is gone.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one; its parents too. Others may not look into it.
    pub fn new(path: PathBuf) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = crate::image::remove_directory(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove a build context");
        }
    }
}

/// A Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct DockerfileText {
    /// What it is called in messages.
    pub path: PathBuf,
    /// Its content.
    pub bytes: Vec<u8>,
    /// The patterns of what is left out of the context.
    pub ignore: String,
}

/// A context with a name.
#[derive(Debug, Clone)]
pub enum NamedContext {
    /// A directory of this machine.
    Directory(PathBuf),
    /// An image.
    Image(String),
    /// What another request of the same build makes, by its title.
    Request(String),
}

/// A secret that steps may ask for.
#[derive(Debug, Clone)]
pub enum Secret {
    /// Content of a file.
    File(PathBuf),
    /// A value.
    Value(SecretText),
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(pub Vec<u8>);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// Which results of earlier builds are not used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum NoCache {
    /// All are used.
    #[default]
    Nothing,
    /// None is.
    Everything,
    /// Those of these stages are not.
    Stages(Vec<String>),
}

/// Where the ssh agent of a build comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSource {
    /// The socket of one that runs.
    Socket(PathBuf),
    /// An agent of the build's own, with the private keys of these files.
    Keys(Vec<PathBuf>),
}
