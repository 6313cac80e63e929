//! Carries connections, without their bytes passing through this process's memory.

use std::collections::BTreeSet;
use std::io;
use std::net::TcpListener as StdListener;
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

use super::backends::{Backends, Choice, Ticket};

/// Connections at a time; each takes up to six descriptors.
const MOST_CONNECTIONS: usize = 2048;
/// How long a container may take to accept.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection waits for a container that is not ready yet, when there is no other.
const HOLD: Duration = Duration::from_secs(10);
/// Pause after a failure to accept, which is a shortage that does not pass at once.
const SHORTAGE: Duration = Duration::from_millis(100);
/// Bytes between the two sockets of one direction.
const PIPE: usize = 1024 * 1024;

/// Serves a listener until the token is cancelled.
pub(super) fn serve(
    listener: StdListener,
    backends: Arc<Backends>,
    token: &CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let child = token.clone();
    tokio::spawn(
        token
            .clone()
            .run_until_cancelled_owned(accept(listener, backends, child)),
    );
    Ok(())
}

async fn accept(listener: TcpListener, backends: Arc<Backends>, token: CancellationToken) {
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok((client, _)) = listener.accept().await else {
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
            Choice::Wait => timeout(HOLD, somebody(backends)).await.ok()??,
            Choice::Nobody => return None,
        };
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(ticket.address)).await {
            return Some((stream, ticket));
        }
        tried.insert(ticket.address);
    }
}

/// Waits for a container that takes connections; `None` when none will.
async fn somebody(backends: &Arc<Backends>) -> Option<Ticket> {
    let none = BTreeSet::new();
    let look = || match backends.choose(&none) {
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
    from.readable().await?;
    let (output, input) = pipe()?;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        let mut held = from
            .async_io(Interest::READABLE, || {
                splice(from, None, &input, None, PIPE, flags).map_err(io::Error::from)
            })
            .await?;
        if held == 0 {
            // Fails when the other end has gone already, which its own direction tells.
            let _ = shutdown(to, Shutdown::Write);
            return Ok(());
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
