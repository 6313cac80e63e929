//! `stack wait`: until containers have ended.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::time::Duration;

use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::AsFd as _;

use super::context::Context;
use super::drive::drive;
use super::error::{Error, Result};
use super::project::Project;
use crate::control::Command;
use crate::engine::native::{observe, observe_container};
use crate::plan::{ObservedContainer, Phase};

/// Time between two looks at a container whose program has ended and whose shim is about to say how.
const RETRY: Duration = Duration::from_millis(2);
/// Longest time that a shim is given to say so.
const LIMIT: u32 = 5000;

/// Flags of `wait`.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Services to wait for.
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
    /// Bring the project down after that.
    #[arg(long)]
    down_project: bool,
}

impl Wait {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("wait")?;
        let project = Project::find(context)?;
        let services = &self.services;
        let observed = observe(&context.paths, Some(&project.name))?;
        let named = |container: &ObservedContainer| {
            services
                .iter()
                .any(|name| *name == container.record.service.as_str())
        };
        let mut containers: Vec<ObservedContainer> =
            observed.containers.into_values().filter(named).collect();
        if containers.is_empty() {
            return Err(Error::new(format!(
                "no containers for project \"{}\"",
                project.name
            )));
        }
        containers.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        let code = wait_for_all(context, containers)?;
        if self.down_project {
            let command = Command::Down {
                volumes: false,
                timeout: None,
                services: Vec::new(),
            };
            drive(context, &project.name, &command, "down")?;
        }
        match code {
            0 => Ok(()),
            code => Err(Error::program_ended(code)),
        }
    }
}

/// Waits until a container does not run: the code that it ended with.
pub(crate) fn wait_for_one(context: &Context, container: ObservedContainer) -> Result<i32> {
    let id = container.record.id.clone();
    if let Some(pidfd) = watch(context, container)? {
        let running = BTreeMap::from([(id.clone(), pidfd)]);
        while ended(&running)?.is_empty() {}
    }
    exit_code(context, &id)
}

/// Waits until none of them runs, and says of each how it ended: the code of the last one.
fn wait_for_all(context: &Context, containers: Vec<ObservedContainer>) -> Result<i32> {
    let mut running: BTreeMap<String, OwnedFd> = BTreeMap::new();
    let mut last = 0;
    for container in containers {
        let id = container.record.id.clone();
        match watch(context, container)? {
            Some(pidfd) => drop(running.insert(id, pidfd)),
            None => last = report(context, &id)?,
        }
    }
    while !running.is_empty() {
        for id in ended(&running)? {
            running.remove(&id);
            last = report(context, &id)?;
        }
    }
    Ok(last)
}

/// A descriptor of the program, when it runs.
fn watch(context: &Context, container: ObservedContainer) -> Result<Option<OwnedFd>> {
    let Some(pid) = container.pid().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(error) => {
            let message = format!("cannot watch container {}", container.record.name);
            return Err(Error::new(message).because(error));
        }
    };
    // The number may have gone to another process before it was opened: then this run is over.
    let now = observe_container(&context.paths, &container.record.id, None)?;
    let same = now.is_some_and(|now| {
        now.pid() == container.pid() && now.started_at() == container.started_at()
    });
    Ok(same.then_some(pidfd))
}

/// The ids of those that have ended; waits until there is one.
fn ended(running: &BTreeMap<String, OwnedFd>) -> Result<Vec<String>> {
    let mut fds: Vec<PollFd<'_>> = running
        .values()
        .map(|pidfd| PollFd::new(pidfd.as_fd(), PollFlags::POLLIN))
        .collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => {
            let error = std::io::Error::from(error);
            return Err(Error::new("cannot wait for containers").because(error));
        }
    }
    let ready = running.keys().zip(&fds);
    Ok(ready
        .filter(|(_, fd)| fd.any().unwrap_or(false))
        .map(|(id, _)| id.clone())
        .collect())
}

/// Says how a container ended, as soon as it is known: its exit code.
fn report(context: &Context, id: &str) -> Result<i32> {
    let code = exit_code(context, id)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "container \"{id}\" exited with status code {code}")?;
    out.flush()?;
    Ok(code)
}

fn exit_code(context: &Context, id: &str) -> Result<i32> {
    for _ in 0..LIMIT {
        let found = observe_container(&context.paths, id, None)?;
        match found.map(|container| container.phase) {
            Some(Phase::Exited(exit)) => return Ok(exit.code),
            // Never started, or removed as soon as it had ended: no code is known, as for Docker.
            Some(Phase::Created) | None => return Ok(0),
            // Its end is not written down yet, or it was started again: the next one counts.
            Some(Phase::Running { .. } | Phase::Paused { .. }) => std::thread::sleep(RETRY),
        }
    }
    Err(Error::new(format!("nobody says how container {id} ended")).hint("see `stack ps -a`"))
}
