//! The task that follows: waits for changes, has them applied, remembers what was read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use jiff::Timestamp;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::{Inputs, Owner, Print, Report, Seen, Status, Trouble, status};
use crate::control::Event;
use crate::control::api::Inbox;
use crate::state::Paths;
use crate::sys::async_fd::readable;
use crate::watch::{Told, Watch, WatchError, Watcher};

/// Lines of a complaint that are kept.
const KEPT_LINES: usize = 100;

/// Follows one project's files.
pub(super) struct Task {
    paths: Paths,
    project: String,
    inputs: Inputs,
    inbox: mpsc::Sender<Inbox>,
}

/// How the process that was to apply an edit has ended.
struct Ended {
    succeeded: bool,
    applied: bool,
    read: Option<Seen>,
    said: Vec<String>,
}

/// Why a run is over.
enum Over {
    Ended(Ended),
    /// Files have changed meanwhile, and it was only fetching images.
    Overtaken(Vec<PathBuf>),
}

impl Task {
    pub(super) fn new(
        paths: &Paths,
        project: &str,
        inputs: Inputs,
        inbox: mpsc::Sender<Inbox>,
    ) -> Self {
        Self {
            paths: paths.clone(),
            project: project.to_owned(),
            inputs,
            inbox,
        }
    }

    /// Follows until the owner is gone, or for ever.
    pub(super) async fn run(self) {
        let owner = self.inputs.owner;
        tokio::select! {
            () = gone(owner) => tracing::info!("the stack file is not followed any more: who asked for it has ended"),
            result = self.follow() => {
                if let Err(error) = result {
                    let message = format!("the stack file is not followed any more: {error}");
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot follow the stack file");
                    self.say(message).await;
                }
            }
        }
        if let Err(error) = status::forget(&self.paths, &self.project) {
            tracing::warn!(error = &error as &dyn std::error::Error, "left behind");
        }
    }

    async fn follow(&self) -> Result<(), WatchError> {
        let read = Status::read(&self.paths, &self.project).ok().flatten();
        let mut status = read.unwrap_or_else(|| Status::new(Seen::default()));
        let mut watched = files(&status.seen);
        let mut watcher = Watcher::start(Watch::Files(watched.clone()))?;
        let mut pending: Vec<PathBuf> = Vec::new();
        loop {
            // What has changed before the watcher was there, or while an edit was applied.
            pending.extend(status.seen.changed(Print::at));
            while pending.is_empty() {
                pending = self.changes(&mut watcher).await;
                // An event without a change: the file is as it was read.
                let changed = status.seen.changed(Print::at);
                pending.retain(|path| changed.contains(path));
            }
            pending.sort();
            pending.dedup();
            let before: BTreeMap<PathBuf, Option<Print>> = watched
                .iter()
                .map(|path| (path.clone(), Print::at(path)))
                .collect();
            match self.apply(&pending, &mut watcher).await {
                Over::Overtaken(more) => {
                    pending.extend(more);
                    continue;
                }
                Over::Ended(ended) => {
                    if ended.succeeded && !ended.applied && status.trouble.is_some() {
                        self.say("the stack file is in order again".to_owned())
                            .await;
                    }
                    self.take(&mut status, ended, &before);
                }
            }
            pending.clear();
            if let Err(error) = status.write(&self.paths, &self.project) {
                tracing::warn!(error = &error as &dyn std::error::Error, "not written down");
            }
            if watched != files(&status.seen) {
                watched = files(&status.seen);
                watcher = Watcher::start(Watch::Files(watched.clone()))?;
            }
        }
    }

    /// The files that have changed, when some have.
    async fn changes(&self, watcher: &mut Watcher) -> Vec<PathBuf> {
        loop {
            match watcher.next().await {
                Told::Changes(changes) => return changes.paths().map(Path::to_path_buf).collect(),
                Told::Polling(limit) => tracing::warn!(?limit, "files are looked at now and then"),
            }
        }
    }

    /// Takes in what came of an edit.
    fn take(&self, status: &mut Status, ended: Ended, before: &BTreeMap<PathBuf, Option<Print>>) {
        let read = ended.read.unwrap_or_default();
        let now = Timestamp::now();
        if ended.succeeded {
            status.seen = read;
            status.trouble = None;
            if ended.applied {
                status.applied_at = Some(now);
            }
            return;
        }
        let earlier = |path: &Path| before.get(path).copied().flatten();
        status.seen = status.seen.after_failure(read, earlier);
        status.trouble = Some(Trouble {
            at: now,
            message: ended.said.join("\n"),
        });
    }

    /// Has an edit applied.
    async fn apply(&self, changed: &[PathBuf], watcher: &mut Watcher) -> Over {
        match self.start(changed).await {
            Ok(child) => self.attend(child, watcher).await,
            Err(error) => {
                let message = format!("cannot start this program to apply an edit: {error}");
                self.say(message.clone()).await;
                Over::Ended(Ended {
                    succeeded: false,
                    applied: false,
                    read: None,
                    said: vec![message],
                })
            }
        }
    }

    async fn start(&self, changed: &[PathBuf]) -> io::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("reload")
            .args([self.paths.root(), self.paths.run()])
            .arg(&self.project)
            .args(changed)
            .current_dir(&self.inputs.working_dir)
            .env_clear()
            .envs(self.inputs.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        if let (Some(mut stdin), Some(text)) = (child.stdin.take(), &self.inputs.stdin) {
            let text = text.clone();
            // It need not read what it does not want.
            tokio::spawn(async move { drop(stdin.write_all(text.as_bytes()).await) });
        }
        Ok(child)
    }

    /// Hears what the process says until it ends.
    async fn attend(&self, mut child: Child, watcher: &mut Watcher) -> Over {
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Over::Overtaken(Vec::new());
        };
        let (mut reports, mut lines) = (
            BufReader::new(stdout).lines(),
            BufReader::new(stderr).lines(),
        );
        let mut ended = Ended {
            succeeded: false,
            applied: false,
            read: None,
            said: Vec::new(),
        };
        let (mut fetching, mut open) = (false, (true, true));
        while open != (false, false) {
            tokio::select! {
                line = reports.next_line(), if open.0 => match line {
                    Ok(Some(line)) => match serde_json::from_str(&line) {
                        Ok(Report::Read { seen }) => ended.read = Some(seen),
                        Ok(Report::Fetching) => fetching = true,
                        Ok(Report::Applying) => (fetching, ended.applied) = (false, true),
                        Err(error) => tracing::warn!(%error, line, "not understood"),
                    },
                    _ => open.0 = false,
                },
                line = lines.next_line(), if open.1 => match line {
                    Ok(Some(line)) => {
                        if ended.said.len() < KEPT_LINES {
                            ended.said.push(line.clone());
                        }
                        self.say(line).await;
                    }
                    _ => open.1 = false,
                },
                _ = self.changes(watcher), if fetching => {
                    // The event may be that of what was read already.
                    let newer = ended.read.as_ref().map(|read| read.changed(Print::at));
                    if let Some(newer) = newer.filter(|newer| !newer.is_empty()) {
                        let _ = child.kill().await;
                        return Over::Overtaken(newer);
                    }
                }
            }
        }
        ended.succeeded = child.wait().await.is_ok_and(|status| status.success());
        Over::Ended(ended)
    }

    /// Tells everyone who listens, and the log.
    async fn say(&self, text: String) {
        tracing::info!("stack file: {text}");
        let _ = self.inbox.send(Inbox::Announce(Event::Said { text })).await;
    }
}

fn files(seen: &Seen) -> Vec<PathBuf> {
    seen.paths().map(Path::to_path_buf).collect()
}

/// Waits for the end of a process; for ever when there is none to wait for.
async fn gone(owner: Option<Owner>) {
    let Some(owner) = owner else {
        return std::future::pending().await;
    };
    let pidfd = Pid::from_raw(owner.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
    // The descriptor is that of the owner when it still is the owner after that.
    if let Some(Ok(pidfd)) = pidfd
        && owner.is_alive()
        && let Ok(pidfd) = readable(pidfd)
    {
        let _ = pidfd.readable().await;
    }
}
