//! How an image is built.

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{FileUse, ServiceName, Ulimit};

/// The `build` section of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// What the build can copy from.
    pub context: BuildContext,
    /// The instructions.
    pub dockerfile: Dockerfile,
    /// Values for `ARG`; those that nobody has a value for are left out.
    pub args: IndexMap<String, String>,
    /// More contexts, by the name that `FROM` and `COPY --from` use.
    pub additional_contexts: IndexMap<String, BuildContext>,
    /// Agents and keys for `RUN --mount=type=ssh`.
    pub ssh: Vec<SshKey>,
    /// Secrets for `RUN --mount=type=secret`; the target is the id, when it is given.
    pub secrets: Vec<FileUse>,
    /// Labels of the image.
    pub labels: IndexMap<String, String>,
    /// Where finished steps are looked for, as written (`type=registry,ref=…`).
    pub cache_from: Vec<String>,
    /// Where finished steps are kept, as written.
    pub cache_to: Vec<String>,
    /// Do every step again.
    pub no_cache: bool,
    /// Stages that are done again.
    pub no_cache_filter: Vec<String>,
    /// Ask the registry for base images that are here.
    pub pull: bool,
    /// Extra lines for `/etc/hosts`: name → address or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// `isolation`, as written (Windows).
    pub isolation: Option<String>,
    /// Network of `RUN`: `host`, `none`, or a name.
    pub network: Option<String>,
    /// The stage that becomes the image; `None` = the last.
    pub target: Option<String>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: Option<u64>,
    /// More names for the image.
    pub tags: Vec<String>,
    /// Limits of the processes, by name without `RLIMIT_`.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Platforms to build for, as written; none = that of the machine.
    pub platforms: Vec<String>,
    /// All rights.
    pub privileged: bool,
    /// Extra rights, as written (`network.host`).
    pub entitlements: Vec<String>,
    /// Provenance attestation: `true`, `false`, or parameters (`mode=max`).
    pub provenance: Option<String>,
    /// List of software: `true`, `false`, or parameters (`generator=…`).
    pub sbom: Option<String>,
}

/// Where files of a build come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildContext {
    /// A directory, absolute.
    Directory(PathBuf),
    /// The image of another service (`service:NAME`).
    Service(ServiceName),
    /// An image (`docker-image://REFERENCE`), by its reference.
    Image(String),
    /// A Git repository, an archive or another URL, as written.
    Remote(String),
}

/// The instructions of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dockerfile {
    /// A file of the context, or an absolute path.
    File(String),
    /// The text itself.
    Inline(String),
}

/// An agent or a key for a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// The id that the build asks for; `default` where it asks for none.
    pub id: String,
    /// The key or the agent's socket; `None` = the caller's agent.
    pub path: Option<PathBuf>,
}
