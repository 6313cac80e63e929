//! Carries connections: their first bytes through this process's memory, the rest without.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{Shutdown, shutdown, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Alive;
use super::backends::{Backends, Choice, Ticket};

/// Connections at a time; each takes up to six descriptors.
const MOST_CONNECTIONS: usize = 2048;
/// How long a container may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection waits for a container that is not ready yet, when there is no other.
const HOLD: Duration = Duration::from_secs(10);
/// Pause after a failure to accept, which is a shortage that does not pass at once.
const SHORTAGE: Duration = Duration::from_millis(100);
/// Bytes of a direction that are copied before a pipe is made for it: most conversations are short,
/// and a pipe costs eight system calls.
const COPIED: usize = 64 * 1024;
const BUFFER: usize = 16 * 1024;
/// Bytes between the two sockets of one direction.
const PIPE: usize = 1024 * 1024;

/// Serves a listener until the token is cancelled; `alive` goes after it.
pub(super) fn serve(
    listener: StdListener,
    (backends, alive): (Arc<Backends>, Alive),
    token: &CancellationToken,
) -> io::Result<()> {
    let port = Port {
        listener: TcpListener::from_std(listener)?,
        _alive: alive,
    };
    let child = token.clone();
    tokio::spawn(
        token
            .clone()
            .run_until_cancelled_owned(accept(port, backends, child)),
    );
    Ok(())
}

/// A listener and the sign that it is there, which is dropped after it.
struct Port {
    listener: TcpListener,
    _alive: Alive,
}

async fn accept(port: Port, backends: Arc<Backends>, token: CancellationToken) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok((client, _)) = port.listener.accept().await else {
            tokio::time::sleep(SHORTAGE).await;
            continue;
        };
        let backends = Arc::clone(&backends);
        tokio::spawn(token.clone().run_until_cancelled_owned(async move {
            let _permit = permit;
            match connect(&backends).await {
                Some((server, _ticket)) => carry(&client, &server).await,
                // As if nobody listened.
                None => reset(&client),
            }
        }));
    }
}

/// A connection to the first container that accepts, in the order of who has the least to do.
async fn connect(backends: &Arc<Backends>) -> Option<(TcpStream, Ticket)> {
    let mut tried = BTreeSet::new();
    loop {
        let ticket = match backends.choose(&tried) {
            Choice::Use(ticket) => ticket,
            Choice::Wait => timeout(HOLD, somebody(backends, &tried)).await.ok()??,
            Choice::Nobody => return None,
        };
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(ticket.address)).await {
            return Some((stream, ticket));
        }
        tried.insert(ticket.address);
    }
}

/// Waits for a container that takes connections and was not tried; `None` when none will.
async fn somebody(backends: &Arc<Backends>, tried: &BTreeSet<SocketAddr>) -> Option<Ticket> {
    let look = || match backends.choose(tried) {
        Choice::Use(ticket) => Some(Some(ticket)),
        Choice::Wait => None,
        Choice::Nobody => Some(None),
    };
    backends.until(look).await
}

/// Makes the end of a connection a reset instead of an orderly one.
fn reset(stream: &TcpStream) {
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Carries both directions until both have ended, or one has failed.
async fn carry(client: &TcpStream, server: &TcpStream) {
    for stream in [client, server] {
        let _ = stream.set_nodelay(true);
        // A peer that vanished is noticed some time; silence alone ends nothing.
        let _ = sockopt::set_socket_keepalive(stream, true);
    }
    if tokio::try_join!(pump(client, server), pump(server, client)).is_err() {
        reset(client);
        reset(server);
    }
}

/// Carries one direction until its end, and passes the end on.
async fn pump(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let mut copied = 0;
    while copied < COPIED {
        from.readable().await?;
        let (length, left) = match copy(from, to) {
            Ok(done) => done,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        if length == 0 {
            return pass_end(to);
        }
        write_all(to, &left).await?;
        copied += length;
    }
    splice_all(from, to).await
}

/// Copies what there is, once: its length, and what could not be written at once. The buffer is
/// nobody's between two calls: a connection that is silent has none.
fn copy(from: &TcpStream, to: &TcpStream) -> io::Result<(usize, Vec<u8>)> {
    let mut buffer = [0; BUFFER];
    let length = from.try_read(&mut buffer)?;
    if length == 0 {
        return Ok((0, Vec::new()));
    }
    let written = match to.try_write(&buffer[..length]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        written => written?,
    };
    Ok((length, buffer[written..length].to_vec()))
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fails never: that the other end has gone already, its own direction tells.
fn pass_end(to: &TcpStream) -> io::Result<()> {
    let _ = shutdown(to, Shutdown::Write);
    Ok(())
}

async fn splice_all(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let (output, input) = pipe()?;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let mut held = from
            .async_io(Interest::READABLE, || {
                splice(from, None, &input, None, PIPE, flags).map_err(io::Error::from)
            })
            .await?;
        if held == 0 {
            return pass_end(to);
        }
        while held > 0 {
            let sent = to
                .async_io(Interest::WRITABLE, || {
                    splice(&output, None, to, None, held, flags).map_err(io::Error::from)
                })
                .await?;
            held = held.saturating_sub(sent);
        }
    }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let pipe = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // Without privilege the kernel may refuse; the usual 64 KiB work too.
    let _ = fcntl_setpipe_size(&pipe.1, PIPE);
    Ok(pipe)
}
