//! Why a program could not be started: the step, what it worked on, and the kernel's answer.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// A step on the way from `clone` to the first instruction of the user's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Reading the OCI runtime spec.
    Spec,
    /// Creating or joining namespaces, and the process itself.
    Namespaces,
    /// Creating the cgroup, setting its limits, entering it.
    Cgroup,
    /// Interfaces, addresses, the name server's sockets.
    Network,
    /// The overlay file system and `pivot_root`.
    Rootfs,
    /// One of the spec's mounts.
    Mount,
    /// Filling a new volume from the image.
    CopyUp,
    /// Device nodes in `/dev`.
    Devices,
    /// Masked and read-only paths.
    Mask,
    /// Kernel parameters.
    Sysctl,
    /// Host and domain name.
    Hostname,
    /// The pseudo terminal, or standard input and output.
    Terminal,
    /// The user and its groups.
    User,
    /// The working directory.
    WorkingDirectory,
    /// Resource limits, `oom_score_adj`, scheduling.
    Limits,
    /// Capability sets.
    Capabilities,
    /// The system call filter.
    Seccomp,
    /// Finding and executing the program.
    Exec,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spec => "read the runtime spec",
            Self::Namespaces => "create the namespaces",
            Self::Cgroup => "set up the cgroup",
            Self::Network => "set up the network",
            Self::Rootfs => "mount the root file system",
            Self::Mount => "mount",
            Self::CopyUp => "fill the volume from the image",
            Self::Devices => "create the device",
            Self::Mask => "protect",
            Self::Sysctl => "set the kernel parameter",
            Self::Hostname => "set the host name",
            Self::Terminal => "set up the terminal",
            Self::User => "set the user",
            Self::WorkingDirectory => "change to the working directory",
            Self::Limits => "set the resource limit",
            Self::Capabilities => "set the capabilities",
            Self::Seccomp => "install the system call filter",
            Self::Exec => "execute",
        })
    }
}

/// Why a container was not created, or a program not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program, or its interpreter, is not there: exit code 127.
    #[error("cannot execute `{program}`: no such program in the container{}", hint(.searched))]
    NotFound {
        /// The program as it was asked for.
        program: String,
        /// The container's `PATH`, when it was searched.
        searched: Option<String>,
    },
    /// The program is there and cannot be executed: exit code 126.
    #[error("cannot execute `{program}` in the container: {source}")]
    PermissionDenied {
        /// The program as it was asked for.
        program: String,
        /// `EACCES`, `ENOEXEC`, `EISDIR`…
        #[source]
        source: io::Error,
    },
    /// Anything else, with the step that failed: exit code 128.
    #[error("cannot {step}{}: {detail}", about(.subject))]
    Failed {
        /// What was being done.
        step: Step,
        /// The path, name or program that it was done to; may be empty.
        subject: String,
        /// Why it failed, and what to do where that is known.
        detail: String,
        /// The kernel's error number, if it was the kernel that said no.
        errno: Option<i32>,
    },
}

impl StartError {
    /// The exit code that the container is recorded with.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotFound { .. } => 127,
            Self::PermissionDenied { .. } => 126,
            Self::Failed { .. } => 128,
        }
    }

    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::NotFound { .. } | Self::PermissionDenied { .. } => Step::Exec,
            Self::Failed { step, .. } => *step,
        }
    }
}

fn hint(searched: &Option<String>) -> String {
    searched
        .as_ref()
        .map(|path| format!(" (PATH={path})"))
        .unwrap_or_default()
}

fn about(subject: &str) -> String {
    if subject.is_empty() {
        String::new()
    } else {
        format!(" `{subject}`")
    }
}
