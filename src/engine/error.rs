//! Why an operation failed.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::net;
use crate::net::ipam::IpamError;
use crate::net::pool::PoolError;
use crate::net::proxy::PortError;
use crate::runtime::cgroup::CgroupError;
use crate::runtime::client::ClientError;
use crate::runtime::spec::SpecError;
use crate::state::StateError;

/// Why an operation failed.
#[derive(Debug, Error)]
pub enum EngineError {
    /// State could not be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The image store.
    #[error("the image store cannot be used")]
    Images(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An image that must be here is not.
    #[error("image {0} is not here; fetch it with `stack pull`")]
    NoImage(String),
    /// An image reference that is none.
    #[error("`{reference}` is not an image reference")]
    Reference {
        /// The text.
        reference: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Neither the service nor its image says what to run.
    #[error(
        "No command specified: neither service nor image {0} says what to run; give the service a `command`"
    )]
    NoCommand(String),
    /// A container of this name belongs to somebody else.
    #[error(
        "the container name {name} is taken by project {project}; choose another one, as with `container_name`"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// The project that has it.
        project: String,
    },
    /// A setting of the service cannot be done.
    #[error("cannot make the container's configuration")]
    Spec(#[from] SpecError),
    /// A value that only shows its fault when it is used.
    #[error("{0}")]
    Value(String),
    /// A host path to be mounted does not exist.
    #[error(
        "the bind mount's source {} does not exist; create it, or set `bind: {{create_host_path: true}}`",
        .0.display()
    )]
    NoBindSource(PathBuf),
    /// A bind mount's source could not be looked at or made.
    #[error("cannot use the bind mount's source {}", path.display())]
    BindSource {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A published port is not ours to have.
    #[error("cannot publish port {published} of {container}: {source}")]
    Port {
        /// The port of the host as asked for.
        published: String,
        /// The container.
        container: String,
        /// Why.
        source: PortError,
    },
    /// The network layer.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// No address range is free.
    #[error("cannot choose an address range for network {network}")]
    Pool {
        /// The network.
        network: String,
        /// Why.
        source: PoolError,
    },
    /// No address to be had.
    #[error("cannot give {container} an address on network {network}")]
    Address {
        /// The container.
        container: String,
        /// The network.
        network: String,
        /// Why.
        source: IpamError,
    },
    /// A network that a container is on is gone.
    #[error("network {0} does not exist")]
    NoNetwork(String),
    /// Another network uses the same range.
    #[error(
        "subnet {subnet} of network {network} overlaps with {other}; choose another one under `ipam`"
    )]
    Overlap {
        /// The network.
        network: String,
        /// Its range.
        subnet: ipnetwork::IpNetwork,
        /// What has it.
        other: String,
    },
    /// It is to go, and a container that stays uses it.
    #[error("it is used by container {container} of project {project}; remove that first")]
    InUse {
        /// The container.
        container: String,
        /// The project of the container.
        project: String,
    },
    /// The service whose namespaces are to be shared does not run.
    #[error("cannot share {what} namespace with {}: container missing", .owner.replacen(':', " ", 1))]
    NoOwner {
        /// `network`, `pid`, `ipc`.
        what: &'static str,
        /// The service or container.
        owner: String,
    },
    /// A command of the stack file (`post_start`, `pre_stop`) failed.
    #[error("{service} hook exited with status {status}{output}")]
    Hook {
        /// The service.
        service: String,
        /// Its exit code.
        status: i32,
        /// `: ` and what it wrote last, or nothing.
        output: String,
    },
    /// The container ended before a command could run in it. (In the words that scripts look for.)
    #[error("Error response from daemon: container {0} is not running")]
    HookNotRunning(String),
    /// The container's program could not be started.
    #[error("{}", .0.error)]
    Start(crate::runtime::protocol::Failure),
    /// The shim.
    #[error(transparent)]
    Shim(#[from] ClientError),
    /// A signal could not be sent.
    #[error("cannot signal {container}")]
    Signal {
        /// The container.
        container: String,
        /// Why.
        source: io::Error,
    },
    /// Processes could not be halted, or let go on.
    #[error("cannot halt {container} while its files are renewed")]
    Frozen {
        /// The container.
        container: String,
        /// Why.
        source: CgroupError,
    },
    /// New contents are in place, but the program was not told.
    #[error("the new contents are in place in {container}, but {how} failed: {why}")]
    NotTold {
        /// The container.
        container: String,
        /// How it was to be told.
        how: String,
        /// Why it was not.
        why: String,
    },
    /// A piece of work was lost because its thread ended.
    #[error("an operation was cut short")]
    CutShort,
}

impl EngineError {
    /// The error and its causes in one line.
    pub fn story(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.ends_with(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        text
    }
}
