//! The shim: one small process per container that makes it, owns its output, and sees its end.
//!
//! ```text
//! supervisor ──spawn──► shim ──clone──► PID 1 of the container
//!      ▲  reports, fds   │ ▲ ▲               │ stdout, stderr
//!      └─────────────────┘ │ └───────────────┘──► log files, attached clients
//!        commands ─────────┘ exec, probe, attach: protocol.rs
//! ```
//!
//! Single-threaded, synchronous: one `poll` over everything. It outlives whoever started it, calls
//! for another when that one is gone (`lost`), and never waits for a client.
//!
//! Invariant: `exit.json` exists before the shim's process disappears, whatever happens to it short
//! of being killed; afterwards its socket and the container's cgroup are gone.

mod children;
mod clients;
mod descendants;
mod event_loop;
mod failure;
mod finish;
mod lost;
mod output;
mod record;
mod requests;
mod setup;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use nix::sys::signalfd::SignalFd;
use oci_spec::runtime::Spec;

use self::children::Child;
use self::clients::{Clients, Role};
use self::failure::ShimError;
use self::lost::Lost;
use self::output::Output;
use super::bundle::{Bundle, ExitRecord, RuntimeState, ShimConfig};
use super::container::{Created, Running};
use super::exit::ExitStatus;
use super::protocol::Reply;
use super::sealed;

/// Runs the shim of the container in `bundle`; its standard input is a connection of
/// [`protocol`](super::protocol) to the process that started it.
pub fn main(bundle: &Path) -> ExitCode {
    let bundle = Bundle::new(bundle);
    // First of all: it executes this program again, which would lose whatever was set up before.
    let sealed = sealed::ensure().map_err(ShimError::Process);
    let mut clients = Clients::default();
    if let Some(socket) = setup::take_standard_input() {
        clients.add(socket, Role::Supervisor);
    }
    match sealed.and_then(|()| run(&bundle, &mut clients)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stack shim: {error}");
            finish::failed(&bundle, &clients, &error)
        }
    }
}

/// Everything about one container.
#[derive(Debug)]
struct Shim<'a> {
    bundle: &'a Bundle,
    spec: Spec,
    config: ShimConfig,
    signals: SignalFd,
    listener: Listener,
    clients: &'a mut Clients,
    container: Container,
    output: Output,
    /// Writing end of the program's standard input, as long as it is to stay open.
    stdin: Option<OwnedFd>,
    /// Master side of the program's terminal, for clients.
    terminal: Option<OwnedFd>,
    children: Vec<Child>,
    lost: Lost,
    /// Sockets that are kept for whoever looks after the container.
    held: Vec<OwnedFd>,
    ended: Option<ExitStatus>,
}

/// The socket that clients connect to; its file goes with it.
#[derive(Debug)]
struct Listener {
    socket: OwnedFd,
    path: std::path::PathBuf,
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A shim that comes after removes what stays.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// How far the container is.
#[derive(Debug)]
enum Container {
    /// Complete, and waits for somebody to attach.
    Waiting(Created),
    /// Its program runs.
    Running {
        process: Running,
        state: RuntimeState,
        /// Processes killed for memory before this program ran.
        oom_kills: u64,
    },
    /// Between two of the others, or nothing any more.
    None,
}

impl Container {
    fn pid(&self) -> Option<i32> {
        match self {
            Self::Waiting(created) => Some(created.pid),
            Self::Running { process, .. } => Some(process.pid),
            Self::None => None,
        }
    }

    fn pidfd(&self) -> Option<&OwnedFd> {
        match self {
            Self::Waiting(created) => Some(&created.pidfd),
            Self::Running { process, .. } => Some(&process.pidfd),
            Self::None => None,
        }
    }

    fn state(&self) -> Option<&RuntimeState> {
        match self {
            Self::Running { state, .. } => Some(state),
            Self::Waiting(_) | Self::None => None,
        }
    }

    fn dns(&self) -> Option<&(OwnedFd, OwnedFd)> {
        match self {
            Self::Waiting(created) => created.dns.as_ref(),
            Self::Running { process, .. } => process.dns.as_ref(),
            Self::None => None,
        }
    }
}

fn run(bundle: &Bundle, clients: &mut Clients) -> Result<(), ShimError> {
    let mut shim = setup::prepare(bundle, clients)?;
    shim.clients.tell(Role::Supervisor, &Reply::Created, &[]);
    match shim.live() {
        Ok(status) => shim.finish(status),
        Err(error) => {
            shim.abandon();
            Err(error)
        }
    }
}

impl Shim<'_> {
    /// From the program's start to its end.
    fn live(&mut self) -> Result<ExitStatus, ShimError> {
        if !self.config.wait_attach {
            self.start()?;
        }
        self.serve()
    }

    /// Lets the program run, if it does not yet, and says so.
    fn start(&mut self) -> Result<(), ShimError> {
        let created = match std::mem::replace(&mut self.container, Container::None) {
            Container::Waiting(created) => created,
            other => {
                self.container = other;
                return Ok(());
            }
        };
        let oom_kills = created.cgroup.oom_kills().unwrap_or(0);
        let process = created.start()?;
        let state = setup::state_of(process.pid);
        self.container = Container::Running {
            process,
            state: state.clone(),
            oom_kills,
        };
        record::write_state(self.bundle, &state)?;
        self.tell_started(state);
        Ok(())
    }

    fn tell_started(&self, state: RuntimeState) {
        let reply = Reply::Started(state);
        let dns = self.dns_sockets();
        self.clients.tell(Role::Supervisor, &reply, &dns);
        self.clients.tell(Role::Attached, &reply, &[]);
    }

    fn tell_exited(&self, record: ExitRecord) {
        let reply = Reply::Exited(record);
        self.clients.tell(Role::Supervisor, &reply, &[]);
        self.clients.tell(Role::Attached, &reply, &[]);
    }
}
