//! What can go wrong between the program and the kernel's network stack.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A failed network operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket to the kernel could not be made or used.
    #[error("cannot {action} a {family} netlink socket{}", Suffix(hint))]
    Socket {
        /// What was tried: `open`, `send on`, `read from`.
        action: &'static str,
        /// `route` or `netfilter`.
        family: &'static str,
        /// What to do.
        hint: Option<Hint>,
        /// The cause.
        source: io::Error,
    },
    /// The kernel refused a request.
    #[error("cannot {action}{}{}", Explained(explanation), Suffix(hint))]
    Kernel {
        /// What was tried, with names: `create bridge stk-0a1b2c3d4e5`.
        action: String,
        /// The kernel's own words (extended acknowledgement), where it gave some.
        explanation: Option<String>,
        /// What to do.
        hint: Option<Hint>,
        /// The error number.
        source: io::Error,
    },
    /// The kernel answered with something that is not a netlink message.
    #[error("the kernel's answer to a {family} netlink request cannot be read: {reason}")]
    Malformed {
        /// `route` or `netfilter`.
        family: &'static str,
        /// What was expected.
        reason: &'static str,
    },
    /// A kernel setting could not be read or written.
    #[error("cannot set {} to {value}", path.display())]
    Sysctl {
        /// The file under `/proc/sys`.
        path: PathBuf,
        /// What should have been written.
        value: String,
        /// The cause.
        source: io::Error,
    },
    /// A name is not usable as an interface name.
    #[error(
        "{name:?} cannot name an interface: 1 to 15 bytes without `/`, `:` or spaces are needed"
    )]
    InterfaceName {
        /// The name.
        name: String,
    },
    /// An interface that must be there is not.
    #[error("there is no interface {name}")]
    NoInterface {
        /// The name.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// Something else has the name of a bridge.
    #[error(
        "interface {name} exists and is a {kind}, not a bridge; remove it with `ip link del {name}`"
    )]
    NotABridge {
        /// The name.
        name: String,
        /// What the kernel says that it is.
        kind: String,
    },
    /// The socket of a container's name server could not be bound.
    #[error("cannot bind the name server's {protocol} socket on {address}")]
    BindDns {
        /// The protocol.
        protocol: super::Protocol,
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// Other programs kept changing the firewall while we tried to.
    #[error(
        "the firewall was changed by other programs {attempts} times while it was being updated; try again"
    )]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
}

/// What a user can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// A kernel module is missing.
    Module(&'static str),
    /// The caller lacks `CAP_NET_ADMIN`.
    Privilege,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hint::Module(name) => write!(
                f,
                "the kernel has no {name} support: load it with `modprobe {name}`, or use a kernel that has it"
            ),
            Hint::Privilege => f.write_str("CAP_NET_ADMIN is needed: run as root"),
        }
    }
}

struct Explained<'a>(&'a Option<String>);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .as_ref()
            .map_or(Ok(()), |words| write!(f, " ({words})"))
    }
}

struct Suffix<'a>(&'a Option<Hint>);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}
