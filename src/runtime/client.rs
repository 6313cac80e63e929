//! The other end of a shim: start one, and talk to one that runs.
//!
//! Everything here is synchronous and small. From an async program, either call it through
//! `spawn_blocking`, or register the connection's descriptor ([`Connection`] is [`AsFd`]) and call
//! [`Connection::try_receive`] whenever it is readable.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

use super::bundle::{Bundle, ExitRecord, RuntimeState};
use super::packet::{self, Packet, PacketError, Wait};
use super::protocol::{
    AttachInput, AttachRequest, ExecRequest, Failure, Hello, MAX_FDS, MAX_PACKET, ProbeRequest,
    ProbeResult, Reply, Request, VERSION,
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
    #[error("{}", .0.error)]
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
        let fd = packet::connect_to(socket).map_err(|source| ClientError::Connect {
            socket: socket.to_path_buf(),
            source,
        })?;
        let hello = Hello {
            version: VERSION,
            request,
        };
        packet::send(fd.as_fd(), &hello, fds, Wait::Blocking).map_err(ClientError::from)?;
        Ok(Self { fd })
    }

    /// Waits for the next message; `None` timeout = as long as it takes.
    pub fn receive(&self, timeout: Option<Duration>) -> Result<Message, ClientError> {
        if let Some(timeout) = timeout {
            self.wait_readable(timeout)?;
        }
        match self.take(Wait::Blocking)? {
            Received::Message(message) => Ok(message),
            Received::Nothing | Received::Closed => Err(ClientError::Gone),
        }
    }

    /// Takes a message if there is one.
    pub fn try_receive(&self) -> Result<Received, ClientError> {
        self.take(Wait::Never)
    }

    fn take(&self, wait: Wait) -> Result<Received, ClientError> {
        Ok(match packet::receive(self.fd.as_fd(), wait)? {
            Packet::Message(reply, fds) => Received::Message(Message { reply, fds }),
            Packet::Nothing => Received::Nothing,
            Packet::Closed => Received::Closed,
        })
    }

    fn wait_readable(&self, timeout: Duration) -> Result<(), ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            });
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(ClientError::TimedOut(timeout)),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(ClientError::Io(error.into())),
            }
        }
    }
}

impl From<PacketError> for ClientError {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::TooLarge(size) => Self::TooLarge {
                size,
                limit: MAX_PACKET,
            },
            PacketError::Malformed(error) => Self::Protocol(error.to_string()),
            PacketError::Io(error) => Self::Io(error),
        }
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
    /// Waits until the program runs, or cannot ([`ClientError::Refused`]). (With `wait_attach` it
    /// does not run before somebody attaches.)
    pub fn wait_started(&self, timeout: Option<Duration>) -> Result<Started, ClientError> {
        loop {
            let message = self.connection.receive(timeout)?;
            match message.reply {
                Reply::Created => {}
                Reply::Started(state) => {
                    return Ok(Started {
                        state,
                        dns: DnsSockets::from_fds(message.fds),
                    });
                }
                Reply::Failed(failure) => return Err(ClientError::Refused(failure)),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Gives the shim sockets to keep until the container's end, so that they survive this process.
    /// It has them from now on, whether or not it has come to reading this.
    pub fn hold(&self, sockets: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        for some in sockets.chunks(MAX_FDS) {
            let hello = Hello {
                version: VERSION,
                request: Request::Hold,
            };
            packet::send(self.connection.as_fd(), &hello, some, Wait::Never)?;
        }
        Ok(())
    }

    /// Waits until the container exists; its program may wait for a client to attach.
    pub fn wait_created(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        match self.connection.receive(timeout)?.reply {
            Reply::Created => Ok(()),
            Reply::Failed(failure) => Err(ClientError::Refused(failure)),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until the shim has ended, having cleaned up, and reaps it; `false` when it still runs.
    pub fn wait_ended(&self, timeout: Duration) -> io::Result<bool> {
        let left = Timespec::try_from(timeout).unwrap_or(Timespec {
            tv_sec: i64::MAX,
            tv_nsec: 0,
        });
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&left))?;
        self.reap()
    }

    /// Takes the ended process off the kernel's list; `false` when it still runs.
    pub fn reap(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        Ok(waitid(WaitId::PidFd(self.pidfd.as_fd()), options)?.is_some())
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

impl DnsSockets {
    fn from_fds(fds: Vec<OwnedFd>) -> Option<Self> {
        let [udp, tcp] = <[OwnedFd; 2]>::try_from(fds).ok()?;
        Some(Self { udp, tcp })
    }
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
        match self.connection.receive(None)?.reply {
            Reply::ExecExited { exit_code } => Ok(exit_code),
            other => Err(unexpected(&other)),
        }
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
    /// Waits for the program's end. Read the output meanwhile: the program waits when the pipes are
    /// full.
    pub fn wait(&self) -> Result<ExitRecord, ClientError> {
        loop {
            match self.connection.receive(None)?.reply {
                Reply::Started(_) => {}
                Reply::Exited(record) => return Ok(record),
                Reply::Failed(failure) => return Err(ClientError::Refused(failure)),
                other => return Err(unexpected(&other)),
            }
        }
    }
}

/// Starts a shim, which makes the container and reports on its connection.
///
/// Nothing of this process gets into it: no environment, no descriptor.
pub fn spawn(spawn: Spawn<'_>) -> Result<ShimProcess, ClientError> {
    let start = || -> io::Result<ShimProcess> {
        let (ours, theirs) = packet::pair()?;
        let complaints = spawn.complaints.map_or_else(Stdio::null, Stdio::from);
        let child = Command::new(spawn.exe)
            .arg0("stack")
            .arg("shim")
            .arg(std::path::absolute(spawn.bundle.dir())?)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(complaints)
            .spawn()?;
        let pid = Pid::from_child(&child);
        // The child is ours and not reaped yet: its pid cannot mean another process.
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(ShimProcess {
            pid: pid.as_raw_nonzero().get(),
            pidfd,
            connection: Connection { fd: ours },
        })
    };
    let exe = spawn.exe.to_path_buf();
    start().map_err(|source| ClientError::Spawn { exe, source })
}

/// Becomes the one who looks after the container.
pub fn adopt(socket: &Path) -> Result<Adopted, ClientError> {
    let connection = Connection::open(socket, Request::Adopt, &[])?;
    let message = connection.receive(None)?;
    match message.reply {
        Reply::Adopted { state, .. } => Ok(Adopted {
            state,
            dns: DnsSockets::from_fds(message.fds),
            connection,
        }),
        Reply::Refused(failure) => Err(ClientError::Refused(failure)),
        other => Err(unexpected(&other)),
    }
}

/// Copies of the sockets that a shim was given to keep; a shim of an earlier version has none.
pub fn take_held(socket: &Path) -> Result<Vec<OwnedFd>, ClientError> {
    let connection = Connection::open(socket, Request::TakeHeld, &[])?;
    let mut held = Vec::new();
    loop {
        let message = connection.receive(None)?;
        held.extend(message.fds);
        match message.reply {
            Reply::Held { more: true } => {}
            Reply::Held { more: false } => return Ok(held),
            other => return Err(unexpected(&other)),
        }
    }
}

/// Runs a process in the container; `stdio` is ignored when the request asks for a terminal.
pub fn exec(
    socket: &Path,
    request: ExecRequest,
    stdio: ExecStdio<'_>,
) -> Result<Exec, ClientError> {
    let fds = [stdio.stdin, stdio.stdout, stdio.stderr];
    let fds: &[_] = if request.terminal.is_some() {
        &[]
    } else {
        &fds
    };
    let connection = Connection::open(socket, Request::Exec(request), fds)?;
    let message = connection.receive(None)?;
    match message.reply {
        Reply::ExecStarted { pid } => Ok(Exec {
            pid,
            terminal: message.fds.into_iter().next(),
            connection,
        }),
        Reply::Refused(failure) => Err(ClientError::Refused(failure)),
        other => Err(unexpected(&other)),
    }
}

/// Runs a health probe and waits for its end.
pub fn probe(socket: &Path, request: ProbeRequest) -> Result<ProbeResult, ClientError> {
    let connection = Connection::open(socket, Request::Probe(request), &[])?;
    match connection.receive(None)?.reply {
        Reply::ProbeDone(result) => Ok(result),
        Reply::Refused(failure) => Err(ClientError::Refused(failure)),
        other => Err(unexpected(&other)),
    }
}

/// Connects to the program's streams.
pub fn attach(socket: &Path, request: AttachRequest) -> Result<Attached, ClientError> {
    let (stdout, their_stdout) = io::pipe().map_err(ClientError::Io)?;
    let (stderr, their_stderr) = io::pipe().map_err(ClientError::Io)?;
    let fds = [their_stdout.as_fd(), their_stderr.as_fd()];
    let input = request.input;
    let connection = Connection::open(socket, Request::Attach(request), &fds)?;
    let message = connection.receive(None)?;
    match message.reply {
        Reply::Attached { terminal } => {
            let stdin = message.fds.into_iter().next();
            if input != AttachInput::None && stdin.is_none() {
                return Err(ClientError::Refused(Failure {
                    step: "attach to standard input".into(),
                    error: "cannot attach to the program's standard input: the container has none, or it is closed; set `stdin_open: true`".into(),
                    exit_code: 128,
                }));
            }
            Ok(Attached {
                stdout: stdout.into(),
                stderr: stderr.into(),
                stdin,
                terminal,
                connection,
            })
        }
        Reply::Refused(failure) => Err(ClientError::Refused(failure)),
        other => Err(unexpected(&other)),
    }
}

/// Sends a signal to PID 1 of the container.
pub fn signal(socket: &Path, signal: i32) -> Result<(), ClientError> {
    let connection = Connection::open(socket, Request::Signal(signal), &[])?;
    match connection.receive(None)?.reply {
        Reply::Signalled => Ok(()),
        Reply::Refused(failure) => Err(ClientError::Refused(failure)),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(reply: &Reply) -> ClientError {
    ClientError::Protocol(format!("{reply:?} is no answer to what was asked"))
}
