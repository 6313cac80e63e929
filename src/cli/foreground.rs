//! `stack up` in the foreground: the output of containers until they end or Ctrl-C.
//!
//! # Theory of operation
//!
//! One loop listens to the answer of the command, to the supervisor's events, to the logs and to
//! signals. It goes through these stages: *creating* where files are copied into containers before
//! their programs start, *starting* until the command has been carried out,
//! *running* while an attached container does, and *stopping* after Ctrl-C or an end that is to stop
//! all. What runs is learnt from events and, so that none is missed, from a look at the machine after
//! the start and whenever the supervisor has gone.

mod edits;

mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::watching::Watching;
use super::cascade::Cascade;
pub(crate) use super::cascade::OnExit;
use super::containers::strip_project;
use super::context::Context;
use super::drive::{block_on, broken_off, pause, show};
use super::error::{Error, Result};
use super::follow::FollowedLogs;
use super::menu::{Key, Menu};
use super::project::Selection;
use super::watch::{Said, Setup};
use crate::compose::model::ServiceName;
use crate::control::{Client, Command, Event, Events};
use crate::engine::native::observe;
use crate::plan::{ObservedContainer, Phase, container_name};
use crate::ui::{LogOptions, Progress};

/// Time between two looks at the machine while no supervisor answers.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Time after which a container that was to take another one's place is given up.
const REPLACED_WITHIN: Duration = Duration::from_secs(20);

/// What a foreground `up` does.
pub(crate) struct Foreground {
    /// The name of the project.
    pub(crate) project: String,
    /// The services that are brought up.
    pub(crate) selection: Selection,
    /// The command that does it.
    pub(crate) command: Command,
    /// Services whose output is shown.
    pub(crate) attached: BTreeSet<ServiceName>,
    /// Services whose end is waited for.
    pub(crate) watched: BTreeSet<ServiceName>,
    /// Services that an interruption stops.
    pub(crate) stopped: Vec<ServiceName>,
    /// The output of services that an edit of the stack file adds is shown, too.
    pub(crate) attach_new: bool,
    /// What the end of a container means for the others.
    pub(crate) on_exit: OnExit,
    /// The service whose exit code becomes ours.
    pub(crate) exit_code_from: Option<ServiceName>,
    /// Time that containers are given to stop.
    pub(crate) timeout: Option<Duration>,
    /// Longest time that services wait for what they need.
    pub(crate) limit: Option<Duration>,
    /// How output is shown.
    pub(crate) log: LogOptions,
    /// Keys do something.
    pub(crate) menu: bool,
    /// What can be watched.
    pub(crate) watch: Option<Setup>,
    /// Watch it as soon as all runs.
    pub(crate) watch_at_once: bool,
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
    Creating,
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
    /// The end of each container that was shown last.
    shown: BTreeMap<String, Timestamp>,
    /// When a container ended that a new one is to take the place of; the machine is looked at later
    /// in case that none does.
    replaced_at: Option<Instant>,
    cascade: Cascade,
    /// An end has come that stops all.
    must_abort: bool,
    watching: Watching<'a>,
    /// While output is shown and keys can be read.
    menu: Option<Menu>,
    began: Timestamp,
    deadline: Option<Instant>,
    interrupts: u32,
    /// An edit of the stack file is being applied: an end may be that of a container that another
    /// one takes the place of.
    reloading: bool,
}

/// What the loop was woken by.
enum Woken {
    Answer(Option<Event>),
    Event(Option<Event>),
    Logs,
    Interrupt,
    Frame,
    LookAgain,
    TimeIsUp,
    Watch(Result<Said>),
    Keys(Option<Vec<Key>>),
}

impl<'a> Session<'a> {
    fn new(context: &'a Context, mut what: Foreground) -> Result<Self> {
        let began = Timestamp::now();
        let mut logs = FollowedLogs::new(what.log)?;
        let mut names = Vec::new();
        let separator = what.selection.stack.separator;
        for name in &what.attached {
            let Some(service) = what.selection.stack.services.get(name) else {
                continue;
            };
            let scaled = match &what.command {
                Command::Up(up) => up.scale.get(name).copied(),
                _ => None,
            };
            for number in 1..=scaled.unwrap_or(service.replicas) {
                let full = container_name((&what.project, separator), name, service, number);
                names.push(strip_project(&full, &what.project).to_owned());
            }
        }
        names.iter().for_each(|name| logs.announce(name));
        let mut progress = context.progress("up");
        if !names.is_empty() {
            let text = format!("Attaching to {}\n", names.join(", "));
            progress.above(|| std::io::stdout().write_all(text.as_bytes()))?;
        }
        let watch = what.watch.take();
        Ok(Self {
            cascade: Cascade::new(what.on_exit, what.exit_code_from.clone()),
            deadline: what.limit.map(|limit| Instant::now() + limit),
            client: Client::new(&context.paths, &what.project),
            progress,
            context,
            what,
            logs,
            stage: Stage::Starting,
            running: BTreeMap::new(),
            shown: BTreeMap::new(),
            replaced_at: None,
            must_abort: false,
            watching: Watching::new(watch),
            menu: None,
            began,
            interrupts: 0,
            reloading: false,
        })
    }

    async fn run(&mut self) -> Result<()> {
        let mut signals = Interrupts::listen()?;
        let first = self.first_command();
        let mut answer = Some(self.client.command(&first).await?);
        let mut events: Option<Events> = None;
        loop {
            // The first time, nothing has been started yet; later, another supervisor may be there.
            if events.is_none() {
                events = self.client.events().await.unwrap_or(None);
            }
            let woken = self.wake(&mut answer, &mut events, &mut signals).await?;
            // Whatever is told next is told above the keys; what nobody sees leaves them.
            let tells = !matches!(woken, Woken::Logs | Woken::Keys(_) | Woken::LookAgain);
            if let Some(menu) = self.menu.as_mut().filter(|_| tells) {
                menu.hide();
            }
            match woken {
                Woken::Answer(Some(event)) => {
                    if let Some(done) =
                        show(&event, &mut self.progress, self.context.terminal.stderr)
                    {
                        answer = match self.stage {
                            Stage::Creating => Some(self.created(done).await?),
                            _ => {
                                self.carried_out(done)?;
                                None
                            }
                        };
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
                Woken::Watch(said) => self.watch_said(said)?,
                Woken::TimeIsUp => return Err(Error::new("timeout waiting for dependencies")),
                Woken::Keys(None) => self.menu = None,
                Woken::Keys(Some(keys)) => {
                    if self.pressed(&keys)? {
                        return Ok(());
                    }
                }
            }
            if let Some(menu) = self
                .menu
                .as_mut()
                .filter(|_| tells && !self.logs.is_in_line())
            {
                menu.show();
            }
            if self.must_abort && !self.reloading && !matches!(self.stage, Stage::Stopping(_)) {
                self.say("Aborting on container exit...");
                self.stage = Stage::Stopping(Reason::Aborted);
                self.watching.stop();
                self.progress.begin("stop");
                answer = Some(self.client.command(&self.stop_command()).await?);
            }
            if self.is_over(answer.is_some()) {
                self.above(FollowedLogs::show_all)?;
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
        let mut look = (events.is_none() && answer.is_none()).then_some(LOOK_AGAIN);
        if let Some(at) = self.replaced_at {
            look = look.or(Some(REPLACED_WITHIN.saturating_sub(at.elapsed())));
        }
        let begins = matches!(self.stage, Stage::Creating | Stage::Starting);
        let deadline = self.deadline.filter(|_| begins);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Ok(tokio::select! {
            biased;
            () = signals.next() => Woken::Interrupt,
            event = next_of(answer) => Woken::Answer(event?),
            event = next_of(events) => Woken::Event(event.unwrap_or(None)),
            said = self.watching.next() => Woken::Watch(said),
            ready = self.logs.ready() => { ready?; Woken::Logs }
            () = pause(frame) => Woken::Frame,
            () = pause(look) => Woken::LookAgain,
            () = pause(left) => Woken::TimeIsUp,
            keys = keys_of(&mut self.menu) => Woken::Keys(keys),
        })
    }

    /// The command that was given last has been carried out.
    fn carried_out(&mut self, done: Result<()>) -> Result<()> {
        self.context.release_images();
        self.progress.finish();
        if self.stage == Stage::Starting {
            if let Err(error) = done {
                self.look(Report::Nothing)?;
                self.above(FollowedLogs::show_all)?;
                return Err(error);
            }
            self.stage = Stage::Running;
            if self.what.watch_at_once {
                self.switch_watch()?;
            }
            self.look(Report::Ends)?;
            self.open_menu();
            return Ok(());
        }
        self.look(Report::Ends)?;
        done
    }

    fn container_event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Said { .. } | Event::Reloading { .. } | Event::Reloaded => self.edit(event)?,
            Event::Started {
                service,
                number,
                name,
                ..
            } => {
                if self.what.watched.contains(service) {
                    self.running.insert(name.clone(), service.clone());
                    self.replaced_at = None;
                }
                if self.what.attached.contains(service) {
                    self.follow(service, *number, name)?;
                }
            }
            Event::Exited {
                service,
                name,
                code,
                finished_at,
                restarts,
                replaced,
                one_off: false,
            } if self.what.watched.contains(service) => {
                let (service, name) = (service.clone(), name.clone());
                let then = match (restarts, replaced) {
                    (true, _) => Afterwards::Restart,
                    (false, true) => Afterwards::Replacement,
                    (false, false) => Afterwards::Nothing,
                };
                self.ended((&service, &name), *finished_at, (*code, then))?;
            }
            Event::Output {
                service,
                name,
                line,
            } if self.what.attached.contains(service) => {
                let short = strip_project(name, &self.what.project).to_owned();
                self.above(|logs| logs.hook(&short, line))?;
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
        (service, name): (&ServiceName, &str),
        finished_at: Timestamp,
        (code, then): (i32, Afterwards),
    ) -> Result<()> {
        match then {
            Afterwards::Nothing => drop(self.running.remove(name)),
            Afterwards::Restart => {}
            Afterwards::Replacement => self.replaced_at = Some(Instant::now()),
        }
        // Whoever looks at the machine may see it before the supervisor tells of it.
        if self.shown.insert(name.to_owned(), finished_at) == Some(finished_at) {
            return Ok(());
        }
        self.above(FollowedLogs::show_all)?;
        let short = strip_project(name, &self.what.project).to_owned();
        // A container that another one takes the place of has not ended by itself.
        let is_replaced = self.reloading || self.watching.replaces;
        if then == Afterwards::Replacement && !is_replaced {
            self.above(|logs| logs.status(&short, "has been recreated"))?;
        }
        let more = match then {
            Afterwards::Restart => " (restarting)",
            Afterwards::Nothing | Afterwards::Replacement => "",
        };
        let message = format!("exited with code {code}{more}");
        self.above(|logs| logs.status(&short, &message))?;
        self.must_abort |= !is_replaced && self.cascade.ended(service, code);
        Ok(())
    }

    /// Looks at the machine: what runs is followed, what has ended since the beginning is shown.
    fn look(&mut self, report: Report) -> Result<()> {
        let observed = observe(&self.context.paths, Some(&self.what.project))?;
        let replicas = observed.containers.into_values();
        let mut still = BTreeMap::new();
        for container in replicas.filter(|container| !container.record.one_off) {
            let record = &container.record;
            if self.what.attached.contains(&record.service) {
                self.follow(&record.service, record.number, &record.name)?;
            }
            if !self.what.watched.contains(&record.service) {
                continue;
            }
            match &container.phase {
                Phase::Running { .. } | Phase::Paused { .. } => {
                    still.insert(record.name.clone(), record.service.clone());
                }
                Phase::Exited(exit) if report == Report::Ends => {
                    let restarts = self.will_restart(&container);
                    if restarts {
                        still.insert(record.name.clone(), record.service.clone());
                    } else if exit.finished_at >= self.began {
                        let name = (&record.service, record.name.as_str());
                        let then = Afterwards::Nothing;
                        self.ended(name, exit.finished_at, (exit.code, then))?;
                    }
                }
                Phase::Exited(_) | Phase::Created => {}
            }
        }
        self.running = still;
        self.replaced_at = None;
        self.pump()
    }

    /// Whether the container's restart policy will start it again.
    fn will_restart(&self, container: &ObservedContainer) -> bool {
        !matches!(self.stage, Stage::Stopping(_))
            && super::containers::restarts(self.context, &self.what.project, container)
    }

    fn pump(&mut self) -> Result<()> {
        match self.logs.has_more() {
            true => self.above(FollowedLogs::show_available),
            false => Ok(()),
        }
    }

    /// Writes among the output: what is drawn over steps aside.
    fn above<T>(&mut self, write: impl FnOnce(&mut FollowedLogs) -> T) -> T {
        if let Some(menu) = &mut self.menu {
            menu.hide();
        }
        let logs = &mut self.logs;
        let result = self.progress.above(|| write(logs));
        if let Some(menu) = self.menu.as_mut().filter(|_| !logs.is_in_line()) {
            menu.show();
        }
        result
    }

    fn open_menu(&mut self) {
        if !self.what.menu || self.running.is_empty() {
            return;
        }
        // Without a keyboard there is no menu; all else is as it is.
        self.menu = Menu::open(self.context.terminal.stdout).ok().flatten();
        let is_on = self.watching.is_on();
        if let Some(menu) = &mut self.menu {
            menu.set_watching(is_on);
            menu.show();
        }
    }

    /// Does what keys mean; whether the session is over.
    fn pressed(&mut self, keys: &[Key]) -> Result<bool> {
        for key in keys {
            match key {
                Key::Detach => return Ok(true),
                Key::Watch => self.toggle_watch()?,
                Key::Enter => {
                    // Room between what was and what comes; nobody misses it.
                    let _ = self.above(|_| std::io::stdout().write_all(b"\n"));
                }
            }
        }
        if let Some(menu) = &mut self.menu {
            menu.show();
        }
        Ok(false)
    }

    /// Begins to watch files, or ends it.
    fn toggle_watch(&mut self) -> Result<()> {
        let could = self.switch_watch()?;
        let is_on = self.watching.is_on();
        if let Some(menu) = &mut self.menu {
            menu.set_watching(is_on);
            if !could {
                menu.remark(
                    "Watch → watch is not yet configured: give services `develop: {watch: …}`",
                );
            }
        }
        Ok(())
    }

    fn say(&mut self, text: &str) {
        // From here on progress is drawn, and Ctrl-C is the only key.
        self.menu = None;
        // What cannot be written now will fail again, and be reported, with the next line.
        let _ = self.logs.flush();
        self.progress.stopping(text);
    }

    async fn interrupted(&mut self, answer: &mut Option<Events>) -> Result<()> {
        self.interrupts += 1;
        let command = match self.interrupts {
            1 => {
                self.say("Gracefully Stopping... press Ctrl+C again to force");
                self.stop_command()
            }
            2 => Command::Kill {
                services: self.what.stopped.clone(),
                signal: 9,
                remove_orphans: false,
            },
            _ => return Err(Error::interrupted()),
        };
        self.stage = Stage::Stopping(Reason::Interrupted);
        self.watching.stop();
        self.progress.begin("stop");
        *answer = Some(self.client.command(&command).await?);
        Ok(())
    }

    fn stop_command(&self) -> Command {
        Command::Stop {
            services: self.what.stopped.clone(),
            timeout: self.what.timeout,
        }
    }

    fn is_over(&self, answer_awaited: bool) -> bool {
        match self.stage {
            Stage::Creating | Stage::Starting => false,
            Stage::Running => self.running.is_empty() && !self.reloading && !self.watching.replaces,
            Stage::Stopping(_) => !answer_awaited,
        }
    }

    fn result(&mut self) -> Result<()> {
        if self.stage == Stage::Stopping(Reason::Interrupted) {
            return Err(Error::interrupted());
        }
        match self.cascade.code() {
            None => Ok(()),
            Some(code) => Err(Error::program_ended(code)),
        }
    }
}

/// What follows the end of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    /// Nothing.
    Nothing,
    /// Its restart policy starts it again.
    Restart,
    /// A new container takes its place.
    Replacement,
}

/// What a look at the machine shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Report {
    /// The ends that were missed.
    Ends,
    /// Nothing.
    Nothing,
}

/// The next keys; waits for ever without a menu.
async fn keys_of(menu: &mut Option<Menu>) -> Option<Vec<Key>> {
    match menu {
        Some(menu) => menu.keys().await,
        None => std::future::pending().await,
    }
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
        let both = Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        };
        crate::sys::signals::leave_interrupts();
        Ok(both)
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
