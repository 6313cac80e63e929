//! Docker's defaults as an OCI runtime spec.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxDevice, LinuxResources, Mount, PosixRlimit, Spec};

/// Where one of a container's namespaces comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Namespace {
    /// A new one.
    #[default]
    Private,
    /// The host's.
    Host,
    /// An existing one (`/proc/<pid>/ns/net`).
    Path(PathBuf),
}

/// What differs from one container to the next. Start from [`Settings::default`].
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; empty = `/`.
    pub cwd: PathBuf,
    /// Give it a terminal.
    pub tty: bool,
    /// Host name.
    pub hostname: String,
    /// Domain name.
    pub domainname: Option<String>,
    /// Mounts after the standard ones, in this order. One whose target is that of a standard
    /// mount replaces it.
    pub mounts: Vec<Mount>,
    /// Capabilities to add, with or without `CAP_`, or `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities to drop, with or without `CAP_`, or `ALL`.
    pub cap_drop: Vec<String>,
    /// All capabilities, all devices, no masks.
    pub privileged: bool,
    /// Root file system read-only.
    pub readonly: bool,
    /// No gain of privileges through `exec`.
    pub no_new_privileges: bool,
    /// Resource limits.
    pub rlimits: Vec<PosixRlimit>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// Cgroup limits; device rules are added to them.
    pub resources: LinuxResources,
    /// Size of `/dev/shm`; `None` = 64 MiB.
    pub shm_size: Option<u64>,
    /// Devices beyond the standard ones.
    pub devices: Vec<LinuxDevice>,
    /// `/stack/<project>/<id>`.
    pub cgroup_path: PathBuf,
    /// Network namespace.
    pub network: Namespace,
    /// Pid namespace.
    pub pid: Namespace,
    /// IPC namespace.
    pub ipc: Namespace,
    /// Host name namespace.
    pub uts: Namespace,
    /// Cgroup namespace.
    pub cgroup: Namespace,
    /// Adjustment of the kernel's choice whom to kill for memory.
    pub oom_score_adj: Option<i32>,
}

/// A setting that cannot be done.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// Not a capability.
    #[error("no capability is called `{0}`")]
    UnknownCapability(String),
}

/// The OCI runtime spec of a container with Docker's defaults and these settings.
pub fn default_spec(_settings: Settings) -> Result<Spec, SpecError> {
    todo!()
}
