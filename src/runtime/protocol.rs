//! What is said on a shim's socket.
//!
//! SOCK_SEQPACKET; each packet is one JSON document, with file descriptors beside it where a message
//! says so. One operation per connection: a connection's first [`Request`] says what it is for, and
//! it ends with the operation. The socket pair that a shim is born with (its standard input) speaks
//! the same language and counts as adopted from the beginning.
//!
//! Packets never exceed [`MAX_PACKET`] bytes and [`MAX_FDS`] descriptors; a shim drops a connection
//! that sends what it does not understand.

use oci_spec::runtime::Process;
use serde::{Deserialize, Serialize};

use super::bundle::{ExitRecord, RuntimeState};

/// Version of the protocol, said by both sides in every first message of theirs.
pub const VERSION: u32 = 1;
/// The largest packet; below the kernel's default socket buffer, so that a packet always fits.
pub const MAX_PACKET: usize = 160 * 1024;
/// The most descriptors one packet carries.
pub const MAX_FDS: usize = 32;
/// How much of a probe's output is kept.
pub const MAX_PROBE_OUTPUT: usize = 4096;

/// First packet of a client: the version and what it wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// What the connection is for.
    pub request: Request,
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Look after the container: answered by [`Reply::Adopted`]; later `Started`, `Exited` follow.
    /// While such a connection is open the shim does not call for another supervisor.
    Adopt,
    /// Run a process in the container. Without a terminal, three descriptors come with it: its
    /// standard input, output and error. The process goes on when the client goes away.
    Exec(ExecRequest),
    /// Run a process in the container, collect its output and kill it at the timeout, or when the
    /// client goes away.
    Probe(ProbeRequest),
    /// Follow the program's output and, if asked for, feed its input. Two descriptors come with it,
    /// the writing ends of two pipes: output and error (with a terminal, the first takes both).
    Attach(AttachRequest),
    /// Send a signal to PID 1 of the container (through its pidfd: never to a re-used pid).
    Signal(i32),
    /// Keep the descriptors that come with it until the end, beside those that are kept already:
    /// sockets that must outlive whoever looks after the container. Said, as often as there are
    /// packets, on a connection that looks after the container; not answered.
    Hold,
    /// Hand out copies of what is kept: answered by [`Reply::Held`].
    TakeHeld,
}

/// A process to run beside the program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Arguments, environment, directory, capabilities, limits.
    pub process: Process,
    /// `user[:group]` as names or numbers, looked up in the container; `None` = as `process` says.
    pub user: Option<String>,
    /// A terminal of this size instead of three descriptors.
    pub terminal: Option<TerminalSize>,
}

/// A health probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// Arguments, environment, directory, capabilities, limits.
    pub process: Process,
    /// `user[:group]` as names or numbers, looked up in the container; `None` = as `process` says.
    pub user: Option<String>,
    /// After this it and all its descendants are killed.
    pub timeout_ms: u64,
}

/// A look at the program from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// Whether the client wants to write to the program.
    pub input: AttachInput,
}

/// What an attached client does with the program's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachInput {
    /// Nothing.
    None,
    /// Writes to it; it stays open for others when the client goes away.
    Keep,
    /// Writes to it and is the last to do so: when the client closes its end, or dies, the program
    /// reads end of file. (A terminal has no such end; the client writes its `EOF` character.)
    Once,
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters per line.
    pub columns: u16,
}

/// What the shim says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The container exists, its program does not run yet.
    Created,
    /// The program runs. On a connection that looks after the container, the name server's sockets
    /// come with it when there are any: UDP, TCP.
    Started(RuntimeState),
    /// The container could not be made, or its program not started. `exit.json` has been written.
    Failed(Failure),
    /// The program has ended and `exit.json` has been written.
    Exited(ExitRecord),
    /// Answer to `Adopt`, with the name server's sockets when there are any: UDP, TCP.
    Adopted {
        /// [`VERSION`] of the shim, which may be older or newer than its client.
        version: u32,
        /// The program; `None` while it waits for a client to attach.
        state: Option<RuntimeState>,
    },
    /// The process runs. With a terminal, its master side comes with it.
    ExecStarted {
        /// Its pid as the host sees it.
        pid: i32,
    },
    /// The process has ended.
    ExecExited {
        /// Exit code; 128 + signal when a signal ended it.
        exit_code: i32,
    },
    /// A probe has ended, or could not be started (then 126, 127 and the reason as output).
    ProbeDone(ProbeResult),
    /// Answer to `Attach`. With input, one descriptor: the writing end of the program's standard
    /// input, or the terminal's master side. With a terminal and no input too, for its size.
    Attached {
        /// The program has a terminal; output comes through the first pipe.
        terminal: bool,
    },
    /// The signal has been sent.
    Signalled,
    /// Answer to `TakeHeld`: descriptors come with it.
    Held {
        /// Another packet follows.
        more: bool,
    },
    /// The request could not be carried out.
    Refused(Failure),
}

/// Why something could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done (`mount`), for programs.
    pub step: String,
    /// The whole story, for people.
    pub error: String,
    /// 126: not executable; 127: not found; 128: everything else.
    pub exit_code: i32,
}

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Exit code; 128 + signal when a signal ended it.
    pub exit_code: i32,
    /// The first [`MAX_PROBE_OUTPUT`] bytes of output and errors.
    pub output: String,
    /// It was killed because it took too long.
    pub timed_out: bool,
    /// How long it ran.
    pub duration_ms: u64,
}
