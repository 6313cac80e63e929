//! Watching: changes come in, and what follows them is done.
//!
//! # Theory of operation
//!
//! One loop listens to the watcher and to the supervisor's events. A set of changes becomes actions
//! by the rules; they are done one after the other, and what changes meanwhile is the next set. A
//! container that is started gets what was copied before. What there is to tell goes through a channel:
//! whoever has the terminal shows it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::copies::{Copies, Look, Missing};
use super::rebuild;
use super::setup::Setup;
use crate::cli::cleaning::prune_images;
use crate::cli::containers;
use crate::cli::context::Context;
use crate::cli::drive::pause;
use crate::cli::error::{Error, Result};
use crate::cli::foreground::next_of;
use crate::compose::model::ServiceName;
use crate::control::{Client, Command, Event};
use crate::watch::rules::{Actions, OfRules, decide};
use crate::watch::sync::Mapping;
use crate::watch::{Changes, Told, Watch, Watcher};

/// So many changes at once are told about.
const LARGE: usize = 1000;
/// Time between two attempts to reach a supervisor.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A watcher has told of what it has seen after this time.
const LAST_WORD: Duration = Duration::from_millis(500);

/// What a watch has to tell.
#[derive(Debug)]
pub(crate) enum Said {
    /// A line of its own.
    Line(String),
    /// A line of a command in a container, with its end.
    Output(Vec<u8>),
    /// The same, from its standard error.
    Complaint(Vec<u8>),
    /// Something that is not as it should be.
    Warning(String),
    /// Something that could not be done.
    Problem(Error),
    /// Containers are about to be restarted or replaced: their ends mean nothing.
    Begins,
    /// How that goes.
    Event(Event),
    /// It is over.
    Ends,
}

/// Watches, and does what follows, until it is dropped.
pub(crate) async fn follow(
    context: &Context,
    setup: Setup,
    said: UnboundedSender<Said>,
) -> Result<()> {
    let project = setup.stack.name.to_string();
    let watcher = watch(trees(&setup)).await?;
    let ignore_files = watch(Watch::Files(setup.ignore_files.clone())).await?;
    let copies = Copies::new(&context.paths, &project);
    let mut session = Session {
        context,
        client: Client::new(&context.paths, &project),
        copies: Some(copies),
        is_told: false,
        setup,
        said,
    };
    for (service, mappings) in session.setup.initial() {
        session.copy(&service, mappings, Look::Again).await?;
    }
    session.line("Watch enabled");
    session.run(watcher, ignore_files).await
}

/// Copies what is copied when watching begins into containers that have been made and not been started:
/// their programs find it (Docker Compose's order). What there is to tell of it.
pub(crate) async fn fill(context: &Context, setup: &Setup) -> Result<Vec<Said>> {
    let copies = Copies::new(&context.paths, setup.stack.name.as_str());
    let initial = setup.initial();
    blocking(move || {
        let mut said = Vec::new();
        for (service, mappings) in initial {
            let missing = copies.fill(&service, &mappings)?;
            said.extend(missing.into_iter().flat_map(Missing::said));
        }
        Ok(said)
    })
    .await?
}

/// What the rules are about.
fn trees(setup: &Setup) -> Watch {
    let interest = OfRules(Arc::clone(&setup.rules));
    Watch::Trees(setup.paths.clone(), Box::new(interest))
}

async fn watch(watch: Watch) -> Result<Watcher> {
    let started = blocking(move || Watcher::start(watch)).await?;
    started.map_err(|error| Error::new("cannot watch files").because(error))
}

struct Session<'a> {
    context: &'a Context,
    client: Client,
    setup: Setup,
    /// `None` while they are at work on another thread.
    copies: Option<Copies>,
    /// The supervisor says when containers are started.
    is_told: bool,
    said: UnboundedSender<Said>,
}

impl Session<'_> {
    async fn run(&mut self, mut watcher: Watcher, mut ignore_files: Watcher) -> Result<()> {
        let mut events = None;
        loop {
            if events.is_none() {
                events = self.client.events().await.unwrap_or(None);
                self.is_told = events.is_some();
                if self.is_told {
                    // Nobody has told what was started before.
                    self.catch_up(&self.setup.copied_to()).await?;
                }
            }
            let look = events.is_none().then_some(LOOK_AGAIN);
            tokio::select! {
                told = watcher.next() => match told {
                    Told::Changes(changes) => self.changed(&changes).await?,
                    Told::Polling(limit) => {
                        let text = format!("{limit}; {}", limit.hint());
                        self.say(Said::Warning(text));
                    }
                },
                told = ignore_files.next() => if let Told::Changes(_) = told {
                    watcher = self.read_again(watcher).await?;
                },
                event = next_of(&mut events) => match event {
                    Ok(Some(Event::Started { service, .. })) => {
                        self.catch_up(&[service]).await?;
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => events = None,
                },
                () = pause(look) => {}
            }
        }
    }

    /// What is left out is another thing now: the watcher that goes by it from now on.
    async fn read_again(&mut self, mut old: Watcher) -> Result<Watcher> {
        let mut setup = self.setup.clone();
        if let Err(error) = setup.read_again() {
            self.say(Said::Problem(error));
            return Ok(old);
        }
        let new = watch(trees(&setup)).await?;
        // What changed before the new one looked is still told by the old one, in a moment.
        while let Ok(told) = tokio::time::timeout(LAST_WORD, old.next()).await {
            if let Told::Changes(changes) = told {
                self.changed(&changes).await?;
            }
        }
        self.setup = setup;
        Ok(new)
    }

    fn say(&self, said: Said) {
        // Nobody listens any more: it is about to end.
        let _ = self.said.send(said);
    }

    fn line(&self, text: impl Into<String>) {
        self.say(Said::Line(text.into()));
    }

    async fn changed(&mut self, changes: &Changes) -> Result<()> {
        let began = Instant::now();
        tracing::debug!("batch start: count[{}]", changes.len());
        if changes.len() > LARGE {
            self.line(
                "Large batch of file changes detected. If you just switched branches, this is expected.",
            );
        }
        let actions = decide(&self.setup.rules, changes);
        self.act(actions).await?;
        let took = began.elapsed();
        tracing::debug!(
            "batch complete: duration[{took:?}] count[{}]",
            changes.len()
        );
        Ok(())
    }

    /// What is quick comes first: nobody waits for the build of another service.
    async fn act(&mut self, actions: Actions) -> Result<()> {
        let (of_rebuilt, at_once): (Vec<_>, Vec<_>) = actions
            .sync
            .into_iter()
            .partition(|(service, _)| actions.rebuild.contains(service));
        for (service, mappings) in at_once {
            self.sync(&service, mappings).await?;
        }
        if !actions.rebuild.is_empty() {
            self.rebuild(&actions.rebuild).await?;
        }
        for (service, mappings) in of_rebuilt {
            self.sync(&service, mappings).await?;
        }
        if !actions.restart.is_empty() {
            self.restart(&actions.restart).await?;
        }
        for (service, rules) in actions.exec {
            for rule in rules {
                self.exec(&service, rule).await?;
            }
        }
        Ok(())
    }

    async fn sync(&mut self, service: &ServiceName, mappings: Vec<Mapping>) -> Result<()> {
        let what = match tracing::enabled!(tracing::Level::DEBUG) {
            false => format!("after {} changes were detected", mappings.len()),
            true => {
                let paths = mappings.iter().map(|mapping| mapping.source.display());
                let paths: Vec<String> = paths.map(|path| path.to_string()).collect();
                format!("after changes were detected: {}", paths.join(", "))
            }
        };
        self.line(format!("Syncing service \"{service}\" {what}"));
        let look = match self.is_told {
            true => Look::Known,
            false => Look::Again,
        };
        self.copy(service, mappings, look).await
    }

    /// Gives containers that were started meanwhile what they have missed.
    async fn catch_up(&mut self, services: &[ServiceName]) -> Result<()> {
        for service in services {
            self.copy(service, Vec::new(), Look::Again).await?;
        }
        Ok(())
    }

    async fn copy(
        &mut self,
        service: &ServiceName,
        mappings: Vec<Mapping>,
        look: Look,
    ) -> Result<()> {
        let Some(mut copies) = self.copies.take() else {
            return Ok(());
        };
        let name = service.clone();
        let (copies, missing) = blocking(move || {
            let missing = copies.copy(&name, &mappings, look);
            (copies, missing)
        })
        .await?;
        self.copies = Some(copies);
        let said = missing.into_iter().flat_map(Missing::said);
        said.for_each(|said| self.say(said));
        Ok(())
    }

    async fn rebuild(&mut self, services: &BTreeSet<ServiceName>) -> Result<()> {
        let names = quoted(services);
        self.line(format!(
            "Rebuilding service(s) {names} after changes were detected..."
        ));
        if let Err(error) = rebuild::build(self.context, &self.setup, services, &self.said).await {
            self.line(format!("Build failed. Error: {}", error.summary()));
            self.say(Said::Problem(error));
            return Ok(());
        }
        self.line(format!("service(s) {names} successfully built"));
        let done = match rebuild::replacement(self.context, &self.setup, services) {
            Ok(command) => self.command(&command).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let text = error.summary();
            self.line(format!(
                "Failed to recreate services after update. Error: {text}"
            ));
            self.say(Said::Problem(error));
            return Ok(());
        }
        if self.setup.how.prune {
            let rules = rebuild::superseded(self.setup.stack.name.as_str());
            // What cannot be removed now goes with the next build.
            if let Err(error) = prune_images(self.context, &rules) {
                tracing::debug!(error = error.summary(), "images are left");
            }
        }
        Ok(())
    }

    async fn restart(&mut self, services: &BTreeSet<ServiceName>) -> Result<()> {
        let command = Command::Restart {
            services: services.iter().cloned().collect(),
            timeout: None,
            no_deps: false,
        };
        match self.command(&command).await {
            Ok(()) => self.line(format!("service(s) {} restarted", quoted(services))),
            Err(error) => self.say(Said::Problem(error)),
        }
        Ok(())
    }

    /// Gives a command to the supervisor; its end.
    async fn command(&self, command: &Command) -> Result<()> {
        self.say(Said::Begins);
        let done = self.answer(command).await;
        self.say(Said::Ends);
        done
    }

    async fn answer(&self, command: &Command) -> Result<()> {
        let mut answer = self.client.command(command).await?;
        while let Some(event) = answer.next().await? {
            if let Event::Done { errors } = event {
                return match errors.is_empty() {
                    true => Ok(()),
                    false => Err(Error::several(errors)),
                };
            }
            self.say(Said::Event(event));
        }
        Err(crate::cli::drive::broken_off())
    }

    async fn exec(&self, service: &ServiceName, rule: usize) -> Result<()> {
        let hook = self
            .setup
            .rules
            .get(rule)
            .and_then(|rule| rule.exec.as_ref());
        let Some(hook) = hook else {
            return Ok(());
        };
        let project = self.setup.stack.name.as_str();
        let services = std::slice::from_ref(service);
        let found = containers::of_services(self.context, project, services)?;
        for container in found.iter().filter(|container| container.is_up()) {
            let name = &container.record.name;
            match super::exec::run(self.context, container, hook, &self.said).await {
                Ok(0) => {}
                Ok(code) => self.say(Said::Warning(format!(
                    "the command of develop.watch in {name} ended with exit code {code}"
                ))),
                Err(error) => self.say(Said::Problem(error)),
            }
        }
        Ok(())
    }
}

/// Does something that waits for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::new("the watch broke off").because(error))
}

/// Names as Docker Compose prints lists: `["a" "b"]`.
fn quoted(services: &BTreeSet<ServiceName>) -> String {
    let names: Vec<String> = services.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_printed_as_docker_compose_prints_them() {
        let list = |names: &[&str]| quoted(&names.iter().copied().map(ServiceName::new).collect());
        assert_eq!(list(&["a"]), "[\"a\"]");
        assert_eq!(list(&["b", "a"]), "[\"a\" \"b\"]");
    }
}
