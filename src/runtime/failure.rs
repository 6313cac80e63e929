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
    #[error("exec: {program:?}: {}", what_is_absent(.program, .absent))]
    NotFound {
        /// The program as it was asked for.
        program: String,
        /// What is not there.
        absent: Absent,
    },
    /// The program is there and cannot be executed: exit code 126.
    #[error("exec: {program:?}: {}", in_words(.source))]
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

/// What of a program is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absent {
    /// A file of its name, in any directory of the container's `PATH`.
    InPath(String),
    /// The file.
    File,
    /// What the file is to be run with.
    Interpreter,
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

/// Docker's words, which scripts look for, and what they do not say.
fn what_is_absent(program: &str, absent: &Absent) -> String {
    let at_path = format!("stat {program}: no such file or directory");
    match absent {
        Absent::InPath(path) => format!("executable file not found in $PATH (PATH={path})"),
        Absent::File => at_path,
        Absent::Interpreter => format!("{at_path} (its interpreter or dynamic loader is missing)"),
    }
}

/// The kernel's error as Go has it: without its number, in small letters.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}

fn about(subject: &str) -> String {
    if subject.is_empty() {
        String::new()
    } else {
        format!(" `{subject}`")
    }
}

/// The result of a step.
pub(crate) type Attempt<T> = Result<T, StartError>;

impl StartError {
    /// A step that the kernel refused.
    pub(crate) fn refused(
        step: Step,
        subject: impl Into<String>,
        error: impl Into<io::Error>,
    ) -> Self {
        let error = error.into();
        let detail = error.to_string();
        Self::Failed {
            step,
            subject: subject.into(),
            detail,
            errno: error.raw_os_error(),
        }
    }

    /// A step that cannot be done, for a reason of our own.
    pub(crate) fn because(
        step: Step,
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::Failed {
            step,
            subject: subject.into(),
            detail: detail.into(),
            errno: None,
        }
    }

    /// From the result of `exec`, or of looking for the program.
    pub(crate) fn exec(program: &str, error: io::Error) -> Self {
        let program = program.to_owned();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG) => Self::NotFound {
                program,
                absent: Absent::File,
            },
            Some(
                libc::EACCES
                | libc::EISDIR
                | libc::ENOEXEC
                | libc::ELOOP
                | libc::EPERM
                | libc::EINVAL,
            ) => Self::PermissionDenied {
                program,
                source: error,
            },
            _ => Self::refused(Step::Exec, program, error),
        }
    }
}

/// Adds step and subject to an error of the kernel.
pub(crate) trait Context<T> {
    /// What was being done, and to what.
    fn at(self, step: Step, subject: impl AsSubject) -> Attempt<T>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn at(self, step: Step, subject: impl AsSubject) -> Attempt<T> {
        self.map_err(|error| StartError::refused(step, subject.subject(), error))
    }
}

/// What a step worked on, in words.
pub(crate) trait AsSubject {
    /// The words.
    fn subject(&self) -> String;
}

impl AsSubject for &str {
    fn subject(&self) -> String {
        (*self).to_owned()
    }
}

impl AsSubject for &std::path::Path {
    fn subject(&self) -> String {
        self.display().to_string()
    }
}

impl AsSubject for &std::path::PathBuf {
    fn subject(&self) -> String {
        self.display().to_string()
    }
}

/// A [`StartError`] on its way from the new process to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Wire {
    NotFound {
        program: String,
        absent: Absent,
    },
    PermissionDenied {
        program: String,
        errno: i32,
    },
    Failed {
        step: Step,
        subject: String,
        detail: String,
        errno: Option<i32>,
    },
}

impl From<StartError> for Wire {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NotFound { program, absent } => Self::NotFound { program, absent },
            StartError::PermissionDenied { program, source } => Self::PermissionDenied {
                program,
                errno: source.raw_os_error().unwrap_or(libc::EACCES),
            },
            StartError::Failed {
                step,
                subject,
                detail,
                errno,
            } => Self::Failed {
                step,
                subject,
                detail,
                errno,
            },
        }
    }
}

impl From<Wire> for StartError {
    fn from(wire: Wire) -> Self {
        match wire {
            Wire::NotFound { program, absent } => Self::NotFound { program, absent },
            Wire::PermissionDenied { program, errno } => Self::PermissionDenied {
                program,
                source: io::Error::from_raw_os_error(errno),
            },
            Wire::Failed {
                step,
                subject,
                detail,
                errno,
            } => Self::Failed {
                step,
                subject,
                detail,
                errno,
            },
        }
    }
}
