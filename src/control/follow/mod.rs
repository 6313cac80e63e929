//! Following a stack file: an edit of it, or of anything that was read with it, is applied.
//!
//! # Theory of operation
//!
//! The supervisor watches the files and does nothing else: when one changes it starts this program
//! once more (`task`), in the directory and with the arguments and the environment of the `up` that
//! is followed ([`Inputs`]). That process loads the files, shows the plan, sees to the images that the
//! edit needs, and hands the edit to the supervisor as any other command. On its standard output it
//! says what it has read and how far it is ([`Report`]), on its standard error what a person should
//! read. A file that is wrong ends it with a diagnostic, and nothing else has happened.
//!
//! So what loads a file is always the command line, credentials and proxies are the caller's, and the
//! supervisor can be killed at any time: what it follows, and what was read last, is in the project's
//! run-time directory (`status`), which nobody else can read and no disk keeps.
//!
//! Invariant: a change after the last reading is always seen, for what was read is known by its
//! [`Print`], taken before it was read.

mod inputs;
mod seen;
mod status;
mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::api::Inbox;
use crate::state::{Paths, StateError};

pub use inputs::{Inputs, Owner};
pub use seen::{Print, Seen};
pub use status::{Status, Trouble, trouble};

/// What the process that applies an edit says on its standard output, one JSON document a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// These files were read, or looked for in vain.
    Read {
        /// The files.
        seen: Seen,
    },
    /// Images are being fetched or built: from here it may take long, and can be broken off.
    Fetching,
    /// The edit is handed over: it is not to be broken off any more.
    Applying,
}

/// A request to follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// What is followed.
    pub inputs: Inputs,
    /// What was read by the `up` that asks.
    pub seen: Seen,
}

/// The supervisor's side: what it follows now.
#[derive(Debug)]
pub(super) struct Follow {
    paths: Paths,
    project: String,
    inbox: mpsc::Sender<Inbox>,
    task: Option<JoinHandle<()>>,
    /// The task has not ended by itself.
    on: Arc<AtomicBool>,
}

impl Follow {
    /// Goes on with what was followed before.
    pub(super) fn resume(paths: &Paths, project: &str, inbox: mpsc::Sender<Inbox>) -> Self {
        let mut follow = Self {
            paths: paths.clone(),
            project: project.to_owned(),
            inbox,
            task: None,
            on: Arc::default(),
        };
        match Inputs::read(paths, project) {
            Ok(Some(inputs)) => follow.begin(inputs),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot follow the stack file"
                );
            }
        }
        follow
    }

    /// Follows from now on; what was followed before is not any more.
    pub(super) fn start(&mut self, start: Start) -> Result<(), StateError> {
        self.end()?;
        start.inputs.write(&self.paths, &self.project)?;
        Status::new(start.seen).write(&self.paths, &self.project)?;
        self.begin(start.inputs);
        Ok(())
    }

    fn begin(&mut self, inputs: Inputs) {
        self.on.store(true, Ordering::Release);
        let task = task::Task::new(&self.paths, &self.project, inputs, self.inbox.clone());
        let on = Arc::clone(&self.on);
        let inbox = self.inbox.clone();
        self.task = Some(tokio::spawn(async move {
            task.run().await;
            on.store(false, Ordering::Release);
            // The loop may have nothing left to look after.
            let _ = inbox.send(Inbox::Wake).await;
        }));
    }

    /// Follows nothing any more.
    pub(super) fn end(&mut self) -> Result<(), StateError> {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.on.store(false, Ordering::Release);
        status::forget(&self.paths, &self.project)
    }

    /// Whether there is something to follow: then there is always something to look after.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// What is followed, for programs.
    pub(super) fn status(&self) -> serde_json::Value {
        let status = Status::read(&self.paths, &self.project).ok().flatten();
        let status = status.filter(|_| self.is_on());
        serde_json::to_value(status).unwrap_or_default()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
