//! The directory of one container, as the shim reads and writes it.
//!
//! ```text
//! <id>/config.json   OCI runtime spec: process, mounts, namespaces, cgroup
//!      shim.json     ShimConfig: what the OCI spec has no words for
//!      state.json    RuntimeState, written by the shim when the program runs
//!      exit.json     ExitRecord, written by the shim as its last act
//!      rootfs/       mount point of the root file system (mounted in the container's namespace only)
//!      upper/ work/  the writable layer
//! ```
//!
//! Files appear by rename. A container with `state.json`, no `exit.json` and no living shim was
//! killed together with its shim.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::net::Endpoint;

/// What the shim needs to know beside the OCI runtime spec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShimConfig {
    /// Format of this file; 1.
    pub version: u32,
    /// The container's id: 64 hexadecimal digits.
    pub id: String,
    /// The layers of the root file system.
    pub rootfs: Rootfs,
    /// What the new network namespace is given.
    pub network: NetworkSetup,
    /// Where output goes; `None` = nowhere.
    pub log: Option<LogConfig>,
    /// Keep the program's standard input open for clients that attach; else it is `/dev/null`.
    pub stdin_open: bool,
    /// Run the built-in init as PID 1.
    pub init: bool,
    /// Volumes to fill from the image before they are mounted.
    pub copy_up: Vec<CopyUp>,
    /// Start the program only when a client has attached.
    pub wait_attach: bool,
    /// Unix socket (SOCK_SEQPACKET) that the shim listens on.
    pub socket: PathBuf,
    /// Program and arguments to start when the process that looks after this container is gone.
    pub on_lost: Vec<String>,
    /// End the program when the process that looks after this container is gone: nobody will ask
    /// for it again (a step of a build).
    #[serde(default)]
    pub end_when_lost: bool,
    /// `user[:group]`, names or numbers, looked up in the image's `/etc/passwd` and `/etc/group`;
    /// `None` = the numbers in the spec's `process.user`.
    #[serde(default)]
    pub user: Option<String>,
    /// Further groups, names or numbers.
    #[serde(default)]
    pub group_add: Vec<String>,
    /// Which system calls the program may make.
    #[serde(default)]
    pub seccomp: Seccomp,
}

/// Which system calls a program may make.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seccomp {
    /// Docker's default profile, for the capabilities that the process has.
    #[default]
    Default,
    /// All of them.
    Unconfined,
    /// What `linux.seccomp` of the spec says; all of them when it says nothing.
    Spec,
}

/// An overlay root file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rootfs {
    /// Read-only layer directories, the top one first; at least one.
    pub lower: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// overlayfs' work directory, on the same file system as `upper`.
    pub work: PathBuf,
    /// The writable layer is a result, not a state: it stands for itself, without the overlay that
    /// it was written through, and nobody needs it after a power cut (nothing is synced).
    #[serde(default)]
    pub snapshot: bool,
}

/// What a new network namespace is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum NetworkSetup {
    /// Loopback, these interfaces, and (with `dns`) sockets on 127.0.0.11:53 that are handed to
    /// whoever looks after the container.
    Private {
        /// Interfaces in the order of creation.
        endpoints: Vec<Endpoint>,
        /// Open the sockets of the name server.
        dns: bool,
    },
    /// Nothing: the spec says host network or names a namespace to join.
    Inherit,
}

/// The log files of a container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Directory; the current file is `current.log`, older ones `current.log.1`, `.2`…
    pub dir: PathBuf,
    /// A file that has reached this many bytes is rotated.
    pub max_size: u64,
    /// Files kept, the current one included.
    pub max_files: u32,
}

/// Fill an empty volume with what the image has at the mount's target, owner and mode included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CopyUp {
    /// Path in the image.
    pub image_path: String,
    /// Directory of the volume on the host.
    pub volume: PathBuf,
}

/// `state.json`: a program that runs, or ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuntimeState {
    /// Format of this file; 1.
    pub version: u32,
    /// PID 1 of the container, as the host sees it.
    pub pid: i32,
    /// Its start time in clock ticks (field 22 of `/proc/<pid>/stat`), against re-used pids.
    pub pid_start: u64,
    /// The shim.
    pub shim_pid: i32,
    /// The shim's start time in clock ticks.
    pub shim_start: u64,
    /// When the program was started.
    pub started_at: Timestamp,
}

/// `exit.json`: how a container ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Format of this file; 1.
    pub version: u32,
    /// Exit code; 128 + signal when a signal ended it; 126, 127 when the program could not be started.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed it, or a part of it, for memory.
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: Option<String>,
    /// When the program was started; `None` when it never was.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// Paths inside a container's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    dir: PathBuf,
}

impl Bundle {
    /// A bundle at this directory, which need not exist yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The OCI runtime spec.
    pub fn spec(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// The shim's configuration.
    pub fn shim_config(&self) -> PathBuf {
        self.dir.join("shim.json")
    }

    /// The runtime state.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state.json")
    }

    /// The exit record.
    pub fn exit(&self) -> PathBuf {
        self.dir.join("exit.json")
    }

    /// The mount point of the root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }
}
