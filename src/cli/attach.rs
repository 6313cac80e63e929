//! The caller's standard streams and signals, joined to a program in a container.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::context::Context;
use super::detach::{DetachKeys, Scanner};
use super::error::{Error, Result};
use crate::runtime::bundle::{Bundle, ExitRecord};
use crate::runtime::client::{Connection, Received};
use crate::runtime::protocol::Reply;
use crate::state::read_json;
use crate::ui::raw_mode::copy_window_size;

/// Signals that are passed on to the program.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// How long output may stay away after the program's end, in milliseconds: something that it left
/// behind may hold the other end open for ever.
const LINGER: u16 = 200;

const CHUNK: usize = 32 * 1024;

/// Requests to end after which the program is killed: one that ignores them must not hold the caller.
const PATIENCE: u32 = 3;

/// Control-D: what a terminal in canonical mode takes for the end of its input (`VEOF`).
const END_OF_TRANSMISSION: u8 = 4;

/// Signals taken from this process from the moment of creation on; they wait to be passed on.
pub(crate) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Takes them, in this thread and those it starts from now on.
    pub(crate) fn take() -> Result<Self> {
        let mut set = SigSet::empty();
        PASSED_ON.into_iter().for_each(|signal| set.add(signal));
        set.add(Signal::SIGWINCH);
        let fault = |error| Error::new("cannot take signals").because(io::Error::from(error));
        set.thread_block().map_err(fault)?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(fault)?;
        Ok(Self { fd })
    }

    fn next(&self) -> Option<i32> {
        let info = self.fd.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok()
    }
}

/// Where a program's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    /// The caller's standard output.
    Stdout,
    /// The caller's standard error.
    Stderr,
    /// Nowhere: a byte of it says that the caller lets go.
    Detach,
}

/// What is joined.
#[derive(Default)]
pub(crate) struct Streams {
    /// Takes what the caller types.
    pub(crate) input: Option<OwnedFd>,
    /// Gives what the program writes.
    pub(crate) outputs: Vec<(OwnedFd, To)>,
    /// The program's terminal, which follows the size of the caller's.
    pub(crate) terminal: Option<OwnedFd>,
    /// Keys that let go of the program, on a terminal.
    pub(crate) detach: Option<DetachKeys>,
    /// What becomes of signals.
    pub(crate) signals: OnSignal,
}

/// What becomes of the signals that the caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnSignal {
    /// They are passed on; a program that ignores requests to end is killed at last.
    #[default]
    PassedOnAndKills,
    /// They are passed on.
    PassedOn,
    /// They end the caller, not the program.
    EndsCaller,
}

/// How a program that was attached to ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With this code.
    Code(i32),
    /// It could not be started: why.
    NotStarted(crate::runtime::protocol::Failure),
    /// The shim went away without saying.
    Unknown,
    /// The caller has let go; the program runs on.
    Detached,
    /// The caller was ended by this signal; the program runs on.
    Signalled(i32),
}

/// Passes bytes and signals until the program has ended and its output is drained.
pub(crate) fn join(
    streams: Streams,
    connection: &Connection,
    signals: &Signals,
    send: &mut dyn FnMut(i32),
) -> Result<End> {
    let mut outputs: Vec<Option<(File, To)>> = streams
        .outputs
        .into_iter()
        .map(|(fd, to)| Some((File::from(fd), to)))
        .collect();
    if let Some(input) = streams.input {
        // A thread, because a program that does not read its input must not keep us from reading
        // its output. It ends with the process.
        let has_terminal = streams.terminal.is_some();
        let scanner = streams.detach.map(Scanner::new);
        let (reader, writer) =
            io::pipe().map_err(|error| Error::new("cannot watch the keyboard").because(error))?;
        std::thread::spawn(move || {
            if feed(input, has_terminal, scanner) {
                let _ = (&writer).write_all(b"x");
            }
        });
        outputs.push(Some((File::from(OwnedFd::from(reader)), To::Detach)));
    }
    if let Some(terminal) = &streams.terminal {
        copy_window_size(terminal);
    }
    let mut end = None;
    let mut asked = 0;
    let mut buffer = vec![0; CHUNK];
    loop {
        let is_over =
            |output: &Option<(File, To)>| output.as_ref().is_none_or(|(_, to)| *to == To::Detach);
        if end.is_some() && outputs.iter().all(is_over) {
            break;
        }
        let ready = wait(connection.as_fd(), signals, (&outputs, end.is_some()))?;
        if ready.none && end.is_some() {
            break;
        }
        for index in ready.outputs {
            let Some((file, to)) = &mut outputs[index] else {
                continue;
            };
            if *to == To::Detach && matches!(file.read(&mut buffer), Ok(1)) {
                return Ok(End::Detached);
            }
            if *to == To::Detach || !pass_on(file, *to, &mut buffer)? {
                outputs[index] = None;
            }
        }
        while let Some(signal) = signals.next() {
            match (signal, &streams.terminal) {
                (libc::SIGWINCH, Some(terminal)) => copy_window_size(terminal),
                (libc::SIGWINCH, None) => {}
                (signal, _) if streams.signals == OnSignal::EndsCaller => {
                    return Ok(End::Signalled(signal));
                }
                (signal @ (libc::SIGINT | libc::SIGTERM), _)
                    if streams.signals == OnSignal::PassedOnAndKills =>
                {
                    asked += 1;
                    send(if asked < PATIENCE {
                        signal
                    } else {
                        libc::SIGKILL
                    });
                }
                (signal, _) => send(signal),
            }
        }
        if ready.connection && end.is_none() {
            end = heard(connection)?;
        }
    }
    Ok(end.unwrap_or(End::Unknown))
}

/// What [`wait`] found ready.
struct Ready {
    connection: bool,
    outputs: Vec<usize>,
    none: bool,
}

fn wait(
    connection: BorrowedFd<'_>,
    signals: &Signals,
    (outputs, ended): (&[Option<(File, To)>], bool),
) -> Result<Ready> {
    let open: Vec<(usize, &File)> = outputs
        .iter()
        .enumerate()
        .filter_map(|(index, output)| Some((index, &output.as_ref()?.0)))
        .collect();
    let mut fds = vec![PollFd::new(signals.fd.as_fd(), PollFlags::POLLIN)];
    fds.extend(
        open.iter()
            .map(|(_, file)| PollFd::new(file.as_fd(), PollFlags::POLLIN)),
    );
    if !ended {
        fds.push(PollFd::new(connection, PollFlags::POLLIN));
    }
    let timeout = match ended {
        true => PollTimeout::from(LINGER),
        false => PollTimeout::NONE,
    };
    let count = match poll(&mut fds, timeout) {
        Ok(count) => count,
        Err(nix::errno::Errno::EINTR) => 1,
        Err(error) => {
            return Err(Error::new("cannot wait for the program").because(io::Error::from(error)));
        }
    };
    let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
    Ok(Ready {
        connection: !ended && fds.last().is_some_and(is_ready),
        outputs: open
            .iter()
            .zip(&fds[1..])
            .filter(|(_, fd)| is_ready(fd))
            .map(|((index, _), _)| *index)
            .collect(),
        none: count == 0,
    })
}

/// Passes on what there is; `false` at the end.
fn pass_on(from: &mut File, to: To, buffer: &mut [u8]) -> Result<bool> {
    let count = match from.read(buffer) {
        Ok(0) => return Ok(false),
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
        // EIO is how a terminal's master side says that the other side is closed.
        Err(_) => return Ok(false),
    };
    let bytes = &buffer[..count];
    match to {
        To::Stdout => write_all(&mut io::stdout().lock(), bytes)?,
        To::Stderr => write_all(&mut io::stderr().lock(), bytes)?,
        To::Detach => {}
    }
    Ok(true)
}

fn write_all(to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

/// Passes standard input on until its end; `true` when the caller lets go before that.
fn feed(to: OwnedFd, is_terminal: bool, mut scanner: Option<Scanner>) -> bool {
    let mut to = File::from(to);
    let mut from = io::stdin().lock();
    let mut buffer = vec![0; CHUNK];
    let mut passed = Vec::new();
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                let mut bytes = &buffer[..count];
                let mut detached = false;
                if let Some(scanner) = &mut scanner {
                    passed.clear();
                    detached = scanner.scan(bytes, &mut passed);
                    bytes = &passed;
                }
                if to.write_all(bytes).is_err() {
                    return false;
                }
                if detached {
                    return true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if is_terminal {
        let _ = to.write_all(&[END_OF_TRANSMISSION]);
    }
    false
}

/// Takes what the shim says; the end when it says so.
fn heard(connection: &Connection) -> Result<Option<End>> {
    loop {
        match connection.try_receive()? {
            Received::Nothing => return Ok(None),
            Received::Closed => return Ok(Some(End::Unknown)),
            Received::Message(message) => match message.reply {
                Reply::ExecExited { exit_code } => return Ok(Some(End::Code(exit_code))),
                Reply::Exited(record) => return Ok(Some(End::Code(record.exit_code))),
                Reply::Failed(failure) | Reply::Refused(failure) => {
                    return Ok(Some(End::NotStarted(failure)));
                }
                _ => {}
            },
        }
    }
}

/// The end of a program as its shim wrote it down, when it could not say so any more.
pub(crate) fn recorded_end(context: &Context, id: &str) -> End {
    let bundle = Bundle::new(context.paths.container(id));
    match read_json::<ExitRecord>(&bundle.exit()) {
        Ok(Some(record)) => End::Code(record.exit_code),
        _ => End::Unknown,
    }
}

/// The end of a program as the end of the command.
pub(crate) fn conclude(end: End) -> Result<()> {
    match end {
        End::Code(0) => Ok(()),
        End::Code(code) => Err(Error::program_ended(code)),
        End::NotStarted(failure) => Err(not_started("create failed", &failure)),
        End::Detached => Err(Error::new("read escape sequence")),
        End::Signalled(signal) => Err(Error::program_ended(128 + signal)),
        End::Unknown => Err(
            Error::new("the container's shim ended before the program did")
                .hint("see `stack ps -a` for what became of the container"),
        ),
    }
}

/// A program that could not be started, in Docker's words, with the exit code that a shell would give.
pub(crate) fn not_started(what: &str, failure: &crate::runtime::protocol::Failure) -> Error {
    let message = format!(
        "OCI runtime {what}: unable to start container process: {}",
        failure.error
    );
    Error::new(message).ending_with(failure.exit_code)
}
