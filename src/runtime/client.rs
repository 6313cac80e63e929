//! The other end of a shim: start one, and talk to one that runs.
//!
//! Everything here is synchronous and small. From an async program, either call it through
//! `spawn_blocking`, or register the connection's descriptor ([`Connection`] is [`AsFd`]) and call
//! [`Connection::try_receive`] whenever it is readable.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bundle::{Bundle, ExitRecord, RuntimeState};
use super::protocol::{
    AttachRequest, ExecRequest, Failure, ProbeRequest, ProbeResult, Reply, Request,
};

/// What can go wrong between a client and a shim.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The shim could not be started.
    #[error("cannot start the container's shim {}: {source}", exe.display())]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody listens there: the container has ended, or its shim was killed.
    #[error("cannot reach the container's shim at {}: {source}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the container's shim broke: {0}")]
    Io(#[source] io::Error),
    /// The shim ended without an answer.
    #[error("the container's shim ended without an answer")]
    Gone,
    /// The shim did not answer in time.
    #[error("the container's shim did not answer within {0:?}")]
    TimedOut(Duration),
    /// The shim said something else than what was asked, or something unknown.
    #[error("the container's shim does not speak this protocol: {0}")]
    Protocol(String),
    /// The request does not fit into a packet.
    #[error(
        "the request has {size} bytes, more than the {limit} that a shim takes; shorten the arguments or the environment"
    )]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The shim could not do it.
    #[error("{}: {}", .0.step, .0.error)]
    Refused(Failure),
}

/// A connection to a shim.
#[derive(Debug)]
pub struct Connection {
    fd: OwnedFd,
}

/// One thing a shim said, with the descriptors that came with it.
#[derive(Debug)]
pub struct Message {
    /// What it said.
    pub reply: Reply,
    /// What came with it.
    pub fds: Vec<OwnedFd>,
}

/// What [`Connection::try_receive`] found.
#[derive(Debug)]
pub enum Received {
    /// A message.
    Message(Message),
    /// Nothing yet.
    Nothing,
    /// The shim has closed the connection: it is done, or dead.
    Closed,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Connection {
    /// Connects and says what the connection is for; `fds` go with it.
    pub fn open(
        socket: &Path,
        request: Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Self, ClientError> {
        todo!()
    }

    /// Waits for the next message; `None` timeout = as long as it takes.
    pub fn receive(&self, timeout: Option<Duration>) -> Result<Message, ClientError> {
        todo!()
    }

    /// Takes a message if there is one.
    pub fn try_receive(&self) -> Result<Received, ClientError> {
        todo!()
    }
}

/// A shim to start.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The `stack` program.
    pub exe: &'a Path,
    /// The container; its `config.json` and `shim.json` exist.
    pub bundle: &'a Bundle,
    /// Where the shim's own complaints go; `None` = nowhere.
    pub complaints: Option<File>,
}

/// A shim that was started by this process and has to be reaped by it.
#[derive(Debug)]
pub struct ShimProcess {
    /// Its pid.
    pub pid: i32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    /// Its reports: `Created`, `Started`, `Exited`, or `Failed`. Closing it means that nobody looks
    /// after the container any more.
    pub connection: Connection,
}

impl ShimProcess {
    /// Waits until the program runs, or cannot ([`ClientError::Refused`]).
    pub fn wait_started(&self, timeout: Option<Duration>) -> Result<Started, ClientError> {
        todo!()
    }

    /// Takes the ended process off the kernel's list; `false` when it still runs.
    pub fn reap(&self) -> io::Result<bool> {
        todo!()
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Started {
    /// Its pid and when it started.
    pub state: RuntimeState,
    /// The name server's sockets in its network.
    pub dns: Option<DnsSockets>,
}

/// The sockets at 127.0.0.11:53 inside a container's network.
#[derive(Debug)]
pub struct DnsSockets {
    /// Bound datagram socket.
    pub udp: OwnedFd,
    /// Listening stream socket.
    pub tcp: OwnedFd,
}

/// A container that this process now looks after.
#[derive(Debug)]
pub struct Adopted {
    /// The program; `None` while it waits for a client to attach (`Started` follows).
    pub state: Option<RuntimeState>,
    /// The name server's sockets in its network.
    pub dns: Option<DnsSockets>,
    /// Later reports; closing it means that nobody looks after the container any more.
    pub connection: Connection,
}

/// Standard input, output and error of a process to run.
#[derive(Debug, Clone, Copy)]
pub struct ExecStdio<'a> {
    /// Standard input.
    pub stdin: BorrowedFd<'a>,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
}

/// A process that runs beside the program.
#[derive(Debug)]
pub struct Exec {
    /// Its pid as the host sees it.
    pub pid: i32,
    /// The master side of its terminal, if it was asked for.
    pub terminal: Option<OwnedFd>,
    /// Says when it has ended.
    pub connection: Connection,
}

impl Exec {
    /// Waits for its end: the exit code.
    pub fn wait(&self) -> Result<i32, ClientError> {
        todo!()
    }
}

/// A program's streams.
#[derive(Debug)]
pub struct Attached {
    /// Reading end of its output; with a terminal, everything.
    pub stdout: OwnedFd,
    /// Reading end of its errors; with a terminal, at end of file.
    pub stderr: OwnedFd,
    /// Writing end of its input, if it was asked for; with a terminal always, its master side.
    pub stdin: Option<OwnedFd>,
    /// The program has a terminal.
    pub terminal: bool,
    /// `Started` (when it was waiting for this), then `Exited` or `Failed`.
    pub connection: Connection,
}

impl Attached {
    /// Waits for the program's end.
    pub fn wait(&self) -> Result<ExitRecord, ClientError> {
        todo!()
    }
}

/// Starts a shim, which makes the container and reports on its connection.
pub fn spawn(spawn: Spawn<'_>) -> Result<ShimProcess, ClientError> {
    todo!()
}

/// Becomes the one who looks after the container.
pub fn adopt(socket: &Path) -> Result<Adopted, ClientError> {
    todo!()
}

/// Runs a process in the container; `stdio` is ignored when the request asks for a terminal.
pub fn exec(
    socket: &Path,
    request: ExecRequest,
    stdio: ExecStdio<'_>,
) -> Result<Exec, ClientError> {
    todo!()
}

/// Runs a health probe and waits for its end.
pub fn probe(socket: &Path, request: ProbeRequest) -> Result<ProbeResult, ClientError> {
    todo!()
}

/// Connects to the program's streams.
pub fn attach(socket: &Path, request: AttachRequest) -> Result<Attached, ClientError> {
    todo!()
}

/// Sends a signal to PID 1 of the container.
pub fn signal(socket: &Path, signal: i32) -> Result<(), ClientError> {
    todo!()
}
