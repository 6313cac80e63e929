//! `stack up` in the foreground: the output of containers until they end or Ctrl-C.
//!
//! # Theory of operation
//!
//! One loop listens to the answer of the command, to the supervisor's events, to the logs and to
//! signals. It goes through three stages: *starting* until the command has been carried out,
//! *running* while an attached container does, and *stopping* after Ctrl-C or an end that is to stop
//! all. What runs is learnt from events and, so that none is missed, from a look at the machine after
//! the start and whenever the supervisor has gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::containers::strip_project;
use super::context::Context;
use super::drive::{block_on, broken_off, pause, show};
use super::error::{Error, Result};
use super::follow::FollowedLogs;
use super::project::Selection;
use crate::compose::model::ServiceName;
use crate::control::{Client, Command, Event, Events};
use crate::engine::native::observe;
use crate::plan::{ObservedContainer, Phase, container_name};
use crate::ui::{LogOptions, Progress, Terminal};

/// Time between two looks at the machine while no supervisor answers.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What a foreground `up` does.
pub(crate) struct Foreground {
    /// The name of the project.
    pub(crate) project: String,
    /// The services that are brought up.
    pub(crate) selection: Selection,
    /// The command that does it.
    pub(crate) command: Command,
    /// Services whose output is shown and whose end is waited for.
    pub(crate) attached: BTreeSet<ServiceName>,
    /// What the end of a container means for the others.
    pub(crate) on_exit: OnExit,
    /// The service whose exit code becomes ours.
    pub(crate) exit_code_from: Option<ServiceName>,
    /// Time that containers are given to stop.
    pub(crate) timeout: Option<Duration>,
    /// How output is shown.
    pub(crate) log: LogOptions,
}

/// What the end of a container means for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnExit {
    /// Nothing.
    GoOn,
    /// All are stopped.
    Abort,
    /// All are stopped when it failed.
    AbortOnFailure,
}

/// Brings services up and stays with them.
pub(crate) fn run(context: &Context, foreground: Foreground) -> Result<()> {
    context.require_root()?;
    block_on(async {
        let mut session = Session::new(context, foreground)?;
        let result = session.run().await;
        session.progress.finish();
        session.logs.finish()?;
        result
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Running,
    Stopping(Reason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Interrupted,
    Aborted,
}

struct Session<'a> {
    context: &'a Context,
    what: Foreground,
    client: Client,
    progress: Progress,
    logs: FollowedLogs,
    stage: Stage,
    /// Attached containers that run, or will again: name → service.
    running: BTreeMap<String, ServiceName>,
    /// Containers whose end has been shown.
    shown: BTreeSet<String>,
    exit_code: Option<i32>,
    began: Timestamp,
    interrupts: u32,
}

/// What the loop was woken by.
enum Woken {
    Answer(Option<Event>),
    Event(Option<Event>),
    Logs,
    Interrupt,
    Frame,
    LookAgain,
}

impl<'a> Session<'a> {
    fn new(context: &'a Context, what: Foreground) -> Result<Self> {
        let began = Timestamp::now();
        let mut logs = FollowedLogs::new(what.log)?;
        let mut names = Vec::new();
        for name in &what.attached {
            let Some(service) = what.selection.stack.services.get(name) else {
                continue;
            };
            let scaled = match &what.command {
                Command::Up(up) => up.scale.get(name).copied(),
                _ => None,
            };
            for number in 1..=scaled.unwrap_or(service.replicas) {
                let full = container_name(&what.project, name, service, number);
                names.push(strip_project(&full, &what.project).to_owned());
            }
        }
        names.iter().for_each(|name| logs.announce(name));
        let mut progress = context.progress("up");
        if !names.is_empty() {
            progress.note(&format!("Attaching to {}", names.join(", ")));
        }
        Ok(Self {
            client: Client::new(&context.paths, &what.project),
            progress,
            context,
            what,
            logs,
            stage: Stage::Starting,
            running: BTreeMap::new(),
            shown: BTreeSet::new(),
            exit_code: None,
            began,
            interrupts: 0,
        })
    }

    async fn run(&mut self) -> Result<()> {
        let mut signals = Interrupts::listen()?;
        let mut answer = Some(self.client.command(&self.what.command).await?);
        let mut events: Option<Events> = None;
        loop {
            // The first time, nothing has been started yet; later, another supervisor may be there.
            if events.is_none() {
                events = self.client.events().await.unwrap_or(None);
            }
            match self.wake(&mut answer, &mut events, &mut signals).await? {
                Woken::Answer(Some(event)) => {
                    if let Some(done) =
                        show(&event, &mut self.progress, self.context.terminal.stderr)
                    {
                        answer = None;
                        self.carried_out(done)?;
                    } else if events.is_none() {
                        self.container_event(&event)?;
                    }
                }
                Woken::Answer(None) => return Err(broken_off()),
                Woken::Event(Some(event)) => self.container_event(&event)?,
                Woken::Event(None) => {
                    events = None;
                    self.look(Report::Ends)?;
                }
                Woken::LookAgain => self.look(Report::Ends)?,
                Woken::Logs => self.pump()?,
                Woken::Frame => self.progress.tick(),
                Woken::Interrupt => self.interrupted(&mut answer).await?,
            }
            if self.stage == Stage::Running && self.must_abort() {
                self.say("Aborting on container exit...");
                self.stage = Stage::Stopping(Reason::Aborted);
                self.progress.begin("stop");
                answer = Some(self.client.command(&self.stop_command()).await?);
            }
            if self.is_over(answer.is_some()) {
                self.pump()?;
                return self.result();
            }
        }
    }

    async fn wake(
        &mut self,
        answer: &mut Option<Events>,
        events: &mut Option<Events>,
        signals: &mut Interrupts,
    ) -> Result<Woken> {
        let frame = self.progress.frame();
        let look = (events.is_none() && answer.is_none()).then_some(LOOK_AGAIN);
        Ok(tokio::select! {
            biased;
            () = signals.next() => Woken::Interrupt,
            event = next_of(answer) => Woken::Answer(event?),
            event = next_of(events) => Woken::Event(event.unwrap_or(None)),
            ready = self.logs.ready() => { ready?; Woken::Logs }
            () = pause(frame) => Woken::Frame,
            () = pause(look) => Woken::LookAgain,
        })
    }

    /// The command that was given last has been carried out.
    fn carried_out(&mut self, done: Result<()>) -> Result<()> {
        self.context.release_images();
        self.progress.finish();
        if self.stage == Stage::Starting {
            if let Err(error) = done {
                self.look(Report::Nothing)?;
                self.pump()?;
                return Err(error);
            }
            self.stage = Stage::Running;
            return self.look(Report::Ends);
        }
        self.look(Report::Ends)?;
        done
    }

    fn container_event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Started {
                service,
                number,
                name,
                ..
            } if self.what.attached.contains(service) => {
                self.shown.remove(name);
                self.running.insert(name.clone(), service.clone());
                self.follow(service, *number, name)?;
            }
            Event::Exited {
                service,
                name,
                code,
                restarts,
            } if self.what.attached.contains(service) => {
                let (service, name) = (service.clone(), name.clone());
                self.ended(&service, &name, (*code, *restarts))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn follow(&mut self, service: &ServiceName, number: u32, name: &str) -> Result<()> {
        let paths = &self.context.paths;
        let dir = paths.logs(&self.what.project, service.as_str(), number);
        let short = strip_project(name, &self.what.project);
        self.logs.follow(short, &dir, self.began)
    }

    fn ended(
        &mut self,
        service: &ServiceName,
        name: &str,
        (code, restarts): (i32, bool),
    ) -> Result<()> {
        if !restarts {
            self.running.remove(name);
            if !self.shown.insert(name.to_owned()) {
                return Ok(());
            }
        }
        self.pump()?;
        let more = if restarts { " (restarting)" } else { "" };
        let message = format!("exited with code {code}{more}");
        let short = strip_project(name, &self.what.project).to_owned();
        let logs = &mut self.logs;
        self.progress.above(|| logs.status(&short, &message))?;
        if !restarts {
            self.count(service, code);
        }
        Ok(())
    }

    /// Remembers the exit code that becomes ours: that of the service that was named, else the first
    /// when the first end stops all.
    fn count(&mut self, service: &ServiceName, code: i32) {
        let counts = match (&self.what.exit_code_from, self.what.on_exit) {
            (Some(named), _) => named == service,
            (None, OnExit::Abort) => true,
            (None, OnExit::AbortOnFailure) => code != 0,
            (None, OnExit::GoOn) => false,
        };
        if counts && self.exit_code.is_none() {
            self.exit_code = Some(code);
        }
    }

    fn must_abort(&self) -> bool {
        match self.what.on_exit {
            OnExit::GoOn => false,
            OnExit::Abort => !self.shown.is_empty(),
            OnExit::AbortOnFailure => self.exit_code.is_some_and(|code| code != 0),
        }
    }

    /// Looks at the machine: what runs is followed, what has ended since the beginning is shown.
    fn look(&mut self, report: Report) -> Result<()> {
        let observed = observe(&self.context.paths, Some(&self.what.project))?;
        let attached = |container: &&ObservedContainer| {
            !container.record.one_off && self.what.attached.contains(&container.record.service)
        };
        let containers: Vec<ObservedContainer> = observed
            .containers
            .values()
            .filter(attached)
            .cloned()
            .collect();
        let mut still = BTreeMap::new();
        for container in &containers {
            let record = &container.record;
            self.follow(&record.service, record.number, &record.name)?;
            match &container.phase {
                Phase::Running { .. } | Phase::Paused { .. } => {
                    still.insert(record.name.clone(), record.service.clone());
                }
                Phase::Exited(exit) if report == Report::Ends => {
                    let restarts = self.will_restart(container);
                    if restarts {
                        still.insert(record.name.clone(), record.service.clone());
                    } else if exit.finished_at >= self.began {
                        self.ended(&record.service, &record.name, (exit.code, false))?;
                    }
                }
                Phase::Exited(_) | Phase::Created => {}
            }
        }
        self.running = still;
        self.pump()
    }

    /// Whether the container's restart policy will start it again.
    fn will_restart(&self, container: &ObservedContainer) -> bool {
        !matches!(self.stage, Stage::Stopping(_))
            && super::containers::restarts(self.context, &self.what.project, container)
    }

    fn pump(&mut self) -> Result<()> {
        let logs = &mut self.logs;
        if logs.has_more() {
            self.progress.above(|| logs.show_available())?;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) {
        let logs = &mut self.logs;
        self.progress.above(|| {
            // What cannot be written now will fail again, and be reported, with the next line.
            let _ = logs.flush();
            Terminal::say(text);
        });
    }

    async fn interrupted(&mut self, answer: &mut Option<Events>) -> Result<()> {
        self.interrupts += 1;
        let command = match self.interrupts {
            1 => {
                self.say("Gracefully stopping... (press Ctrl+C again to force)");
                self.stop_command()
            }
            2 => Command::Kill {
                services: self.what.selection.services.clone(),
                signal: 9,
                remove_orphans: false,
            },
            _ => return Err(Error::interrupted()),
        };
        self.stage = Stage::Stopping(Reason::Interrupted);
        self.progress.begin("stop");
        *answer = Some(self.client.command(&command).await?);
        Ok(())
    }

    fn stop_command(&self) -> Command {
        Command::Stop {
            services: self.what.selection.services.clone(),
            timeout: self.what.timeout,
        }
    }

    fn is_over(&self, answer_awaited: bool) -> bool {
        match self.stage {
            Stage::Starting => false,
            Stage::Running => self.running.is_empty(),
            Stage::Stopping(_) => !answer_awaited,
        }
    }

    fn result(&mut self) -> Result<()> {
        if self.stage == Stage::Stopping(Reason::Interrupted) {
            return Err(Error::interrupted());
        }
        match self.exit_code {
            None | Some(0) => Ok(()),
            Some(code) => Err(Error::program_ended(code)),
        }
    }
}

/// What a look at the machine shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    /// The ends that were missed.
    Ends,
    /// Nothing.
    Nothing,
}

/// The next event of a stream that there may be; waits for ever when there is none.
pub(crate) async fn next_of(events: &mut Option<Events>) -> Result<Option<Event>> {
    match events {
        Some(events) => Ok(events.next().await?),
        None => std::future::pending().await,
    }
}

/// The signals that ask to stop.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| Error::new("cannot listen to signals").because(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
