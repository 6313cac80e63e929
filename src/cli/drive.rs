//! Hands a command to the project's supervisor and shows what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::context::Context;
use super::error::{Error, Result};
use super::project::Project;
use super::rehearsal;
use crate::compose::Loaded;
use crate::compose::model::{Hook, ServiceName};
use crate::control::{Client, Command, Event, Events, ProgressState, pre_stop};
use crate::ui::{Paint, Progress, Style, Terminal};

/// Gives the command, shows its progress, and returns when it has been carried out. With
/// `--dry-run` shows what it would do.
pub(crate) fn drive(
    context: &Context,
    project: &str,
    command: &Command,
    title: &str,
) -> Result<()> {
    if context.global.dry_run {
        return rehearsal::show(context, project, command);
    }
    context.require_root()?;
    let client = Client::new(&context.paths, project);
    let mut progress = context.progress(title);
    block_on(async {
        let mut events = client.command(command).await?;
        to_done(&mut events, &mut progress, context.terminal.stderr).await
    })
}

/// The same, for so long at the most; what was given goes on after that.
pub(crate) fn drive_within(
    context: &Context,
    project: &str,
    command: &Command,
    (title, timeout): (&str, Option<Duration>),
) -> Result<()> {
    let Some(timeout) = timeout.filter(|_| !context.global.dry_run) else {
        return drive(context, project, command, title);
    };
    context.require_root()?;
    let client = Client::new(&context.paths, project);
    let mut progress = context.progress(title);
    block_on(async {
        let mut events = client.command(command).await?;
        let mut waits = Waits::default();
        let done = follow(
            &mut events,
            &mut progress,
            (context.terminal.stderr, &mut waits),
        );
        if let Ok(result) = tokio::time::timeout(timeout, done).await {
            return result;
        }
        let message = match waits.0.is_empty() {
            true => format!("application not healthy after {}s", timeout.as_secs()),
            false => "timeout waiting for dependencies".to_owned(),
        };
        Err(Error::new(message)
            .hint("see `stack ps -a` and `stack logs`; what was started goes on"))
    })
}

/// Lets the supervisor know what today's stack file has to run before containers are stopped, where
/// that is another thing than at the last command.
pub(crate) fn tell_hooks(
    context: &Context,
    project: &Project,
    loaded: Option<&Loaded>,
) -> Result<()> {
    let (Some(loaded), Some(desired)) = (loaded, project.desired()?) else {
        return Ok(());
    };
    let today = pre_stop(&loaded.stack);
    let same = desired.services.keys().all(|name| {
        let of = |all: &BTreeMap<ServiceName, Vec<Hook>>| all.get(name).cloned();
        of(&today).unwrap_or_default() == of(&desired.pre_stop).unwrap_or_default()
    });
    if same || context.global.dry_run {
        return Ok(());
    }
    context.require_root()?;
    let client = Client::new(&context.paths, &project.name);
    let command = Command::Note { pre_stop: today };
    block_on(async {
        let mut events = client.command(&command).await?;
        to_done(&mut events, &mut Progress::Quiet, context.terminal.stderr).await
    })
}

/// Containers that others wait for before they start.
#[derive(Debug, Default)]
struct Waits(BTreeSet<String>);

impl Waits {
    fn hear(&mut self, event: &Event) {
        let Event::Progress(change) = event else {
            return;
        };
        let for_others = change
            .detail
            .as_ref()
            .is_some_and(|detail| detail.starts_with("for "));
        match change.state == ProgressState::Waiting && for_others {
            true => drop(self.0.insert(change.name.clone())),
            false => drop(self.0.remove(&change.name)),
        }
    }
}

/// Shows a command's events up to the last.
pub(crate) async fn to_done(
    events: &mut Events,
    progress: &mut Progress,
    paint: Paint,
) -> Result<()> {
    follow(events, progress, (paint, &mut Waits::default())).await
}

async fn follow(
    events: &mut Events,
    progress: &mut Progress,
    (paint, waits): (Paint, &mut Waits),
) -> Result<()> {
    loop {
        let Some(event) = next(events, progress).await? else {
            return Err(broken_off());
        };
        waits.hear(&event);
        if let Some(result) = show(&event, progress, paint) {
            progress.finish();
            return result;
        }
    }
}

/// The next event; the progress is kept moving meanwhile.
pub(crate) async fn next(events: &mut Events, progress: &mut Progress) -> Result<Option<Event>> {
    loop {
        let frame = progress.frame();
        tokio::select! {
            event = events.next() => return Ok(event?),
            () = pause(frame) => progress.tick(),
        }
    }
}

/// Sleeps so long; for ever when there is nothing to wait for.
pub(crate) async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Shows one event of a command; its result when it was the last.
pub(crate) fn show(event: &Event, progress: &mut Progress, paint: Paint) -> Option<Result<()>> {
    match event {
        Event::Progress(change) => progress.update(change),
        Event::Warning { message } => progress.above(|| warn(message, paint)),
        Event::Done { errors } if errors.is_empty() => return Some(Ok(())),
        Event::Done { errors } => return Some(Err(Error::several(errors.clone()))),
        Event::Accepted
        | Event::Said { .. }
        | Event::Reloading { .. }
        | Event::Reloaded
        | Event::Exited { .. }
        | Event::Started { .. }
        | Event::Output { .. }
        | Event::OneOff { .. } => {}
    }
    None
}

/// Writes a warning.
pub(crate) fn warn(message: &str, paint: Paint) {
    let head = paint.paint(Style::CARE_BOLD, "warning:");
    let message = crate::ui::text::printable(message);
    Terminal::say(&format!("{head} {message}"));
}

/// Says something that is no problem.
pub(crate) fn note(message: &str) {
    Terminal::say(&crate::ui::text::printable(message));
}

/// The supervisor went away in the middle. What was accepted is on disk.
pub(crate) fn broken_off() -> Error {
    Error::new("the project's supervisor ended before the command was carried out")
        .hint("run the command again: it goes on from where it was")
}

/// Runs async work to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime()?;
    let result = runtime.block_on(work);
    // A thread that still waits for something must not keep the caller's prompt away.
    runtime.shutdown_background();
    result
}

fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new("cannot set up timers and sockets").because(error))
}
