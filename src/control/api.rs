//! The supervisor's API: HTTP and JSON on a unix socket, for the command line, other programs and
//! `curl --unix-socket`.
//!
//! ```text
//! POST /v1/command   a Command; answered by Events, one JSON document a line, until `done`
//! GET  /v1/events    all Events from now on
//! GET  /v1/status    the services, the plan that is left, and why
//! PUT  /v1/follow    follow the stack file (`Start`); DELETE ends it
//! ```

use std::convert::Infallible;
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::follow::Start;
use super::{Command, Event};
use crate::state::SocketPath;

/// What comes in from outside.
#[derive(Debug)]
pub(super) enum Inbox {
    /// A command and where its events go.
    Command(Box<Command>, mpsc::UnboundedSender<Event>),
    /// Somebody wants all events.
    Listen(mpsc::UnboundedSender<Event>),
    /// Follow a stack file, or none; what went wrong.
    Follow(Option<Box<Start>>, oneshot::Sender<Option<String>>),
    /// Something for everyone who listens.
    Announce(Event),
    /// Look whether there is anything left to look after.
    Wake,
    /// Somebody wants to know how things are.
    Status(oneshot::Sender<serde_json::Value>),
}

/// Starts to answer on the socket.
pub(super) fn serve(socket: &Path, inbox: mpsc::Sender<Inbox>) -> std::io::Result<JoinHandle<()>> {
    let _ = std::fs::remove_file(socket);
    let name = SocketPath::new(socket)?;
    let listener = UnixListener::bind(name.as_path())?;
    let app = Router::new()
        .route("/v1/command", post(command))
        .route("/v1/events", get(events))
        .route("/v1/status", get(status))
        .route("/v1/follow", put(follow).delete(unfollow))
        .with_state(inbox);
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the API has ended");
        }
    }))
}

async fn command(
    State(inbox): State<mpsc::Sender<Inbox>>,
    Json(command): Json<Command>,
) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel();
    match inbox.send(Inbox::Command(Box::new(command), sender)).await {
        Ok(()) => stream(receiver),
        Err(_) => leaving(),
    }
}

async fn events(State(inbox): State<mpsc::Sender<Inbox>>) -> Response {
    let (sender, receiver) = mpsc::unbounded_channel();
    match inbox.send(Inbox::Listen(sender)).await {
        Ok(()) => stream(receiver),
        Err(_) => leaving(),
    }
}

async fn follow(State(inbox): State<mpsc::Sender<Inbox>>, Json(start): Json<Start>) -> Response {
    following(&inbox, Some(Box::new(start))).await
}

async fn unfollow(State(inbox): State<mpsc::Sender<Inbox>>) -> Response {
    following(&inbox, None).await
}

async fn following(inbox: &mpsc::Sender<Inbox>, start: Option<Box<Start>>) -> Response {
    let (sender, receiver) = oneshot::channel();
    if inbox.send(Inbox::Follow(start, sender)).await.is_err() {
        return leaving();
    }
    match receiver.await {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error).into_response(),
        Err(_) => leaving(),
    }
}

async fn status(State(inbox): State<mpsc::Sender<Inbox>>) -> Response {
    let (sender, receiver) = oneshot::channel();
    if inbox.send(Inbox::Status(sender)).await.is_err() {
        return leaving();
    }
    match receiver.await {
        Ok(value) => Json(value).into_response(),
        Err(_) => leaving(),
    }
}

/// The supervisor has nothing left to do and is on its way out; the next one can be asked.
fn leaving() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the supervisor is leaving").into_response()
}

fn stream(receiver: mpsc::UnboundedReceiver<Event>) -> Response {
    let lines = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, Infallible>(Bytes::from(line)), receiver))
    });
    (
        [("content-type", "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}
