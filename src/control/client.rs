//! The command line's side of the supervisor's API.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::UnixStream;

use super::follow::Start;
use super::{Command, Event};
use crate::state::{Paths, SocketPath};

/// Why the supervisor could not be talked to.
#[derive(Debug, Error)]
pub enum ClientError {
    /// It could not be started.
    #[error("cannot start the supervisor of project {project}")]
    Spawn {
        /// The project.
        project: String,
        /// Why not.
        source: io::Error,
    },
    /// It was started and did not come up.
    #[error("the supervisor of project {project} did not come up; its log is {}", log.display())]
    NotUp {
        /// The project.
        project: String,
        /// Where it says why.
        log: PathBuf,
    },
    /// The conversation broke off.
    #[error("the supervisor of project {project} is gone; run the command again")]
    Gone {
        /// The project.
        project: String,
        /// What was seen.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It said something that this version does not understand.
    #[error("the supervisor of project {project} is of another version of stack")]
    Version {
        /// The project.
        project: String,
        /// What was seen.
        source: serde_json::Error,
    },
}

/// A way to the supervisor of one project.
#[derive(Debug, Clone)]
pub struct Client {
    paths: Paths,
    project: String,
}

/// The supervisor's answer, event by event.
#[derive(Debug)]
pub struct Events {
    project: String,
    body: Incoming,
    buffer: Vec<u8>,
}

impl Client {
    /// A way to the supervisor of this project, which need not run.
    pub fn new(paths: &Paths, project: &str) -> Self {
        Self {
            paths: paths.clone(),
            project: project.to_owned(),
        }
    }

    /// Whether a supervisor answers.
    pub async fn is_up(&self) -> bool {
        connect(&self.paths.api_socket(&self.project)).await.is_ok()
    }

    /// Hands over a command; starts the supervisor when there is none. The first event is
    /// `Accepted`, the last `Done`.
    pub async fn command(&self, command: &Command) -> Result<Events, ClientError> {
        let body = serde_json::to_vec(command).map_err(|source| ClientError::Version {
            project: self.project.clone(),
            source,
        })?;
        // A supervisor that is just leaving may take the connection and drop it: ask the next one.
        let mut last = None;
        for _ in 0..20 {
            let stream = self.connect_or_start().await?;
            match self
                .request(stream, "POST", "/v1/command", body.clone())
                .await
            {
                Ok(mut events) => match events.fill().await {
                    Ok(()) => return Ok(events),
                    Err(error) => last = Some(error),
                },
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(last.unwrap_or_else(|| self.not_up()))
    }

    /// The supervisor's event stream; `None` when no supervisor runs.
    pub async fn events(&self) -> Result<Option<Events>, ClientError> {
        match connect(&self.paths.api_socket(&self.project)).await {
            Ok(stream) => self
                .request(stream, "GET", "/v1/events", Vec::new())
                .await
                .map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Has a stack file followed; starts the supervisor when there is none.
    pub async fn follow(&self, start: &Start) -> Result<(), ClientError> {
        let body = serde_json::to_vec(start).map_err(|source| ClientError::Version {
            project: self.project.clone(),
            source,
        })?;
        let mut last = None;
        // As for commands: who is just leaving is followed by another one.
        for _ in 0..20 {
            let stream = self.connect_or_start().await?;
            match self
                .request(stream, "PUT", "/v1/follow", body.clone())
                .await
            {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(last.unwrap_or_else(|| self.not_up()))
    }

    /// Ends the following of a stack file; nothing happens when no supervisor runs.
    pub async fn unfollow(&self) -> Result<(), ClientError> {
        match connect(&self.paths.api_socket(&self.project)).await {
            Ok(stream) => {
                self.request(stream, "DELETE", "/v1/follow", Vec::new())
                    .await?;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    async fn request(
        &self,
        stream: UnixStream,
        method: &str,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Events, ClientError> {
        let gone = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Gone {
            project: self.project.clone(),
            source,
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| gone(error.into()))?;
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "stack")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| gone(error.into()))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| gone(error.into()))?;
        if !response.status().is_success() {
            let status = response.status();
            let text = response
                .into_body()
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default();
            let message = format!("{status}: {}", String::from_utf8_lossy(&text));
            return Err(gone(message.into()));
        }
        Ok(Events {
            project: self.project.clone(),
            body: response.into_body(),
            buffer: Vec::new(),
        })
    }

    async fn connect_or_start(&self) -> Result<UnixStream, ClientError> {
        let socket = self.paths.api_socket(&self.project);
        for _ in 0..50 {
            if let Ok(stream) = connect(&socket).await {
                return Ok(stream);
            }
            self.start().await?;
            if let Ok(stream) = connect(&socket).await {
                return Ok(stream);
            }
            // Another supervisor holds the lock and is on its way in or out.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(self.not_up())
    }

    fn not_up(&self) -> ClientError {
        ClientError::NotUp {
            project: self.project.clone(),
            log: self.paths.run_project(&self.project).join("supervisor.log"),
        }
    }

    /// Starts a supervisor and waits until it answers or has given way to another one: both are
    /// the end of its standard output.
    async fn start(&self) -> Result<(), ClientError> {
        let spawn = |source| ClientError::Spawn {
            project: self.project.clone(),
            source,
        };
        let exe = std::env::current_exe().map_err(spawn)?;
        let mut child = std::process::Command::new(exe);
        child.args(supervisor_arguments(&self.paths, &self.project));
        child
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/");
        let mut child = child.spawn().map_err(spawn)?;
        let Some(stdout) = child.stdout.take() else {
            return Ok(());
        };
        let wait = move || {
            let mut byte = [0_u8];
            let _ = io::Read::read(&mut { stdout }, &mut byte);
        };
        let _ =
            tokio::time::timeout(Duration::from_secs(20), tokio::task::spawn_blocking(wait)).await;
        Ok(())
    }
}

/// The arguments that make this program the supervisor of a project.
pub fn supervisor_arguments(paths: &Paths, project: &str) -> Vec<std::ffi::OsString> {
    vec![
        "supervise".into(),
        paths.root().into(),
        paths.run().into(),
        project.into(),
    ]
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let name = SocketPath::new(socket)?;
    UnixStream::connect(name.as_path()).await
}

impl Events {
    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        if !self.buffer.contains(&b'\n') {
            match self.fill().await {
                Ok(()) => {}
                Err(_) if self.buffer.is_empty() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.buffer.drain(..=end).collect();
        serde_json::from_slice(&line)
            .map(Some)
            .map_err(|source| ClientError::Version {
                project: self.project.clone(),
                source,
            })
    }

    /// Reads until there is at least one whole line.
    async fn fill(&mut self) -> Result<(), ClientError> {
        while !self.buffer.contains(&b'\n') {
            let frame = self.body.frame().await;
            let gone = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Gone {
                project: self.project.clone(),
                source,
            };
            match frame {
                Some(Ok(frame)) => self
                    .buffer
                    .extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(error)) => return Err(gone(error.into())),
                None => return Err(gone("the answer broke off".into())),
            }
        }
        Ok(())
    }
}
