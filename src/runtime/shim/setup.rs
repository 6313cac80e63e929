//! From an empty process to a container that is ready to start.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use jiff::Timestamp;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use oci_spec::runtime::Spec;

use super::clients::Clients;
use super::lost::Lost;
use super::output::Output;
use super::{Container, Listener, Shim, ShimError, record};
use crate::runtime::bundle::{Bundle, RuntimeState, ShimConfig};
use crate::runtime::container::{Create, Init, Stdio, StdioSetup, create};
use crate::runtime::log::LogWriter;
use crate::runtime::{identity, init, packet, pty};
use crate::sys;

const INIT: Init = Init {
    prepare_program: init::prepare_program,
    supervise: init::supervise,
};

/// Takes the connection to whoever started this shim off descriptor 0, which becomes `/dev/null`.
pub(super) fn take_standard_input() -> Option<OwnedFd> {
    // Whatever a careless caller has left open is none of this process's business, nor the container's.
    let _ = sys::descriptors::close_from(3);
    let null = File::open("/dev/null").ok()?;
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3).ok()?;
    rustix::stdio::dup2_stdin(&null).ok()?;
    // Started by hand it may be anything.
    rustix::net::sockopt::socket_type(&socket).ok()?;
    Some(socket)
}

/// Makes the container, up to the program's start.
pub(super) fn prepare<'a>(
    bundle: &'a Bundle,
    clients: &'a mut Clients,
) -> Result<Shim<'a>, ShimError> {
    let signals = become_shim().map_err(ShimError::Process)?;
    let (spec, config) = record::load(bundle)?;
    let log = config.log.as_ref().map(LogWriter::open).transpose()?;
    let listener = listen(&config.socket)?;
    let streams = Streams::new(&spec, &config).map_err(ShimError::Streams)?;
    let created = create(Create {
        bundle,
        spec: &spec,
        config: &config,
        stdio: streams.theirs,
        init: config.init.then_some(INIT),
    })?;
    let (output, terminal, stdin) = match streams.ours {
        Ours::Pipes {
            stdout,
            stderr,
            stdin,
        } => (Output::pipes(stdout, stderr, log), None, stdin),
        Ours::Console(console) => {
            let take = || -> io::Result<(OwnedFd, OwnedFd)> {
                let master = pty::receive_master(&console)?;
                Ok((master.try_clone()?, master))
            };
            let (source, master) = take().map_err(ShimError::Streams)?;
            (Output::terminal(source, log), Some(master), None)
        }
    };
    Ok(Shim {
        bundle,
        spec,
        config,
        signals,
        listener,
        clients,
        container: Container::Waiting(created),
        output,
        stdin,
        terminal,
        children: Vec::new(),
        lost: Lost::new(),
        held: Vec::new(),
        ended: None,
    })
}

/// A session, a name, orphans, and signals as data.
fn become_shim() -> io::Result<SignalFd> {
    // Fails when this process leads a group already (started by hand): no harm.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    rustix::thread::set_name(c"stack-shim")?;
    // Orphans of the container's processes come here when they share the host's pid namespace.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut caught = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
    ] {
        caught.add(signal);
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&caught), None)?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&caught, flags)?)
}

fn listen(path: &std::path::Path) -> Result<Listener, ShimError> {
    let path: PathBuf = path.to_path_buf();
    match packet::listen_at(&path) {
        Ok(socket) => Ok(Listener { socket, path }),
        Err(source) => Err(ShimError::Socket { path, source }),
    }
}

/// Both sides of the program's standard streams.
struct Streams {
    theirs: StdioSetup,
    ours: Ours,
}

enum Ours {
    Pipes {
        stdout: OwnedFd,
        stderr: OwnedFd,
        stdin: Option<OwnedFd>,
    },
    Console(OwnedFd),
}

impl Streams {
    fn new(spec: &Spec, config: &ShimConfig) -> io::Result<Self> {
        let process = spec.process().as_ref();
        if process.and_then(|process| process.terminal()) == Some(true) {
            let size = process.and_then(|process| process.console_size());
            let limit = |size: u64| u16::try_from(size).unwrap_or(u16::MAX);
            let size = size.map_or((0, 0), |size| (limit(size.height()), limit(size.width())));
            let (ours, console) = pty::console()?;
            return Ok(Self {
                theirs: StdioSetup::Terminal { console, size },
                ours: Ours::Console(ours),
            });
        }
        let (stdin, keep): (OwnedFd, _) = if config.stdin_open {
            let (reader, writer) = io::pipe()?;
            (reader.into(), Some(writer.into()))
        } else {
            (File::open("/dev/null")?.into(), None)
        };
        let (stdout, their_stdout) = io::pipe()?;
        let (stderr, their_stderr) = io::pipe()?;
        Ok(Self {
            theirs: StdioSetup::Pipes(Stdio {
                stdin,
                stdout: their_stdout.into(),
                stderr: their_stderr.into(),
            }),
            ours: Ours::Pipes {
                stdout: stdout.into(),
                stderr: stderr.into(),
                stdin: keep,
            },
        })
    }
}

/// What `state.json` says about a program that has just been started.
pub(super) fn state_of(pid: i32) -> RuntimeState {
    let shim_pid = rustix::process::getpid().as_raw_nonzero().get();
    // Both exist, the program as a zombie at least: it is this process that has to reap it.
    let start = |pid| identity::start_ticks(pid).unwrap_or_default();
    RuntimeState {
        version: 1,
        pid,
        pid_start: start(pid),
        shim_pid,
        shim_start: start(shim_pid),
        started_at: Timestamp::now(),
    }
}

impl Shim<'_> {
    /// The name server's sockets, to be sent.
    pub(super) fn dns_sockets(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        self.container
            .dns()
            .map_or_else(Vec::new, |(udp, tcp)| vec![udp.as_fd(), tcp.as_fd()])
    }
}
