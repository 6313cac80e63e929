//! The loop itself.
//!
//! # Theory of operation
//!
//! One task owns the desired and the observed state. It plans, starts whatever is ready, and sleeps
//! until something happens: a command, the end of an operation, the end of a program, a probe, or
//! the time of a restart. Then it plans again. Operations, ends and probes run as tasks of their
//! own that report back; nothing else is remembered between two plans than which subjects are busy.

mod chronicle;
mod commands;
mod kills;
mod one_offs;
mod operations;
mod probes;
mod telling;
mod turns;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::api::{self, Inbox};
use super::chronicle::{Chronicle, What};
use super::follow::Follow;
use super::found_ended::FoundEnded;
use super::progress::{Audience, Dependencies};
use super::turn::{self, Busy};
use super::verdict::Goal;
use super::{Event, OneOff};
use crate::engine::{Applied, Engine, EngineError, Note};
use crate::plan::{Desired, Observed, ObservedContainer, Op, Plan, Step, plan};
use crate::state::records::ProbeRecord;
use crate::state::{Paths, StateError, read_json};
use probes::{HealthReport, probe_for_ever};

/// Commands that may wait in line.
const INBOX: usize = 64;
/// Whoever started the supervisor has a command for it, and this long to say it.
const FIRST_COMMAND: Duration = Duration::from_secs(2);
/// Time without anything to look after before it leaves: scripts give one command after the other.
const LINGER: Duration = Duration::from_millis(100);

/// The loop of one project.
pub(super) struct Reconciler<E> {
    paths: Paths,
    project: String,
    engine: Arc<E>,
    desired: Arc<Desired>,
    observed: Observed,
    /// Subjects of operations that are being done → the step.
    busy: Busy,
    tasks: JoinSet<Report>,
    probers: HashMap<String, AbortHandle>,
    health_sender: mpsc::UnboundedSender<HealthReport>,
    health: mpsc::UnboundedReceiver<HealthReport>,
    /// What the engine says of operations that are underway.
    notes: mpsc::UnboundedReceiver<Note>,
    commands: Vec<Underway>,
    /// One-off containers that have not all they need, and where their events go.
    waiting: Vec<(OneOff, mpsc::UnboundedSender<Event>)>,
    audience: Audience,
    follow: Follow,
    chronicle: Chronicle,
    sender: mpsc::Sender<Inbox>,
    inbox: mpsc::Receiver<Inbox>,
    api: tokio::task::JoinHandle<()>,
}

/// A command that is being carried out.
struct Underway {
    goal: Goal,
    kind: Kind,
    dependencies: Dependencies,
    /// The one-off container that is to go, for [`Kind::Removal`].
    one_off: Option<String>,
    /// Containers that it has killed, by id: it is done when they have ended.
    killed: Vec<String>,
    events: mpsc::UnboundedSender<Event>,
    /// What has failed since it was given, also what is over by now.
    errors: BTreeSet<String>,
    /// What it was warned of.
    warned: BTreeSet<String>,
    /// What it says of a container that it finds ended.
    ended: Option<FoundEnded>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Done when the plan is.
    Converge,
    /// The same, and says of containers that it did not touch that they run.
    ConvergeUp,
    /// The same, for an edit of the stack file: who watches is told of the end.
    Edit,
    /// Done when the project is gone.
    Down,
    /// Done when some services are gone; says what others still use.
    PartDown,
    /// Done at once.
    Note,
    /// Done when a one-off container has been started.
    OneOff,
    /// Done when a one-off container is gone, however the rest of the project is.
    Removal,
}

/// What a task reports.
enum Report {
    Applied(Box<Step>, Result<Applied, EngineError>),
    Ended(String, Result<ObservedContainer, EngineError>),
    /// A one-off container exists.
    Made(mpsc::UnboundedSender<Event>, ObservedContainer),
    /// Nothing came of it.
    Nothing,
    /// The program of `on_unhealthy: exec` has run in a container.
    Reacted(ObservedContainer, ProbeRecord),
    /// A one-off container was started, or not.
    OneOff(mpsc::UnboundedSender<Event>, Result<Applied, EngineError>),
}

impl<E: Engine> Reconciler<E> {
    /// Answers on the project's socket, observes, and takes up what was desired. `ready` is called
    /// as soon as commands can be sent.
    pub(super) fn start(
        paths: &Paths,
        project: &str,
        engine: Arc<E>,
        ready: impl FnOnce(),
    ) -> Result<Self, EngineError> {
        let (sender, inbox) = mpsc::channel(INBOX);
        let (health_sender, health) = mpsc::unbounded_channel();
        let socket = paths.api_socket(project);
        let api = api::serve(&socket, sender.clone())
            .map_err(|error| StateError::io("listen on", &socket, error))?;
        ready();
        let (note_sender, notes) = mpsc::unbounded_channel();
        engine.report_to(note_sender);
        let desired =
            read_json(&desired_path(paths, project))?.unwrap_or_else(|| Desired::new(project));
        engine.heed(&desired);
        let mut reconciler = Self {
            paths: paths.clone(),
            project: project.to_owned(),
            observed: engine.observe()?,
            engine,
            desired: Arc::new(desired),
            busy: Busy::new(),
            tasks: JoinSet::new(),
            probers: HashMap::new(),
            health_sender,
            health,
            notes,
            commands: Vec::new(),
            waiting: Vec::new(),
            audience: Audience::default(),
            follow: Follow::resume(paths, project, sender.clone()),
            chronicle: Chronicle::new(paths, project),
            sender,
            inbox,
            api,
        };
        reconciler.look_up_images()?;
        for container in reconciler.observed.containers.clone().into_values() {
            if container.is_up() {
                reconciler.look_after(container);
            }
        }
        Ok(reconciler)
    }

    /// Runs until there is nothing left to look after.
    pub(super) async fn run(mut self) -> Result<(), EngineError> {
        let mut linger = FIRST_COMMAND;
        self.hear_first_command().await;
        loop {
            let plan = self.advance();
            self.begin_one_offs(&plan);
            self.finish_commands(&plan).await?;
            let watched = plan.watches.iter().filter_map(|watch| watch.until);
            let due = plan.steps.iter().filter_map(|step| step.not_before);
            let due = due.chain(watched).min();
            if self.is_idle(&plan) {
                let waited = tokio::time::timeout(linger, self.next_event(None)).await;
                if waited.is_err() && !self.leave().await? {
                    return Ok(());
                }
            } else {
                self.next_event(due).await;
            }
            linger = LINGER;
            // All that has happened meanwhile is taken in before the next plan.
            while let Ok(message) = self.inbox.try_recv() {
                self.receive(message);
            }
            // Before the operation's end: what it has said of itself on the way.
            while let Ok(note) = self.notes.try_recv() {
                self.note(note);
            }
            while let Some(report) = self.tasks.try_join_next() {
                self.take(report);
            }
            while let Ok(report) = self.health.try_recv() {
                self.probed(report);
            }
        }
    }

    /// Where nothing runs, nothing is urgent, and whoever started the supervisor may want another
    /// thing than what was wanted last: starting what is to be stopped would run its commands, too.
    async fn hear_first_command(&mut self) {
        let mut containers = self.observed.containers.values();
        if !containers.any(ObservedContainer::is_up)
            && let Ok(Some(message)) = tokio::time::timeout(FIRST_COMMAND, self.inbox.recv()).await
        {
            self.receive(message);
        }
    }

    async fn next_event(&mut self, due: Option<Timestamp>) {
        let until_due = due.map(|due| {
            Duration::try_from(due.duration_since(Timestamp::now())).unwrap_or_default()
        });
        let timer = async {
            match until_due {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(message) = self.inbox.recv() => self.receive(message),
            Some(report) = self.tasks.join_next(), if !self.tasks.is_empty() => self.take(report),
            Some(report) = self.health.recv() => self.probed(report),
            Some(note) = self.notes.recv() => self.note(note),
            () = timer => {}
        }
    }

    fn take(&mut self, report: Result<Report, tokio::task::JoinError>) {
        match report {
            Ok(Report::Applied(step, result)) => self.applied(*step, result),
            Ok(Report::Ended(id, result)) => self.ended(&id, result),
            Ok(Report::Reacted(container, done)) => self.reacted(&container, &done),
            Ok(Report::Nothing) => {}
            Ok(Report::Made(events, container)) => self.one_off_made(&events, container),
            Ok(Report::OneOff(events, result)) => self.one_off_started(&events, result),
            Err(error) if error.is_cancelled() => {}
            // A bug. Nothing is known of the task's subject: start anew from what can be seen.
            Err(error) => {
                tracing::error!(%error, "a task broke");
                std::process::abort();
            }
        }
    }

    /// Waits for a container's end and probes its health.
    fn look_after(&mut self, container: ObservedContainer) {
        let id = container.record.id.clone();
        let ended = Arc::clone(&self.engine).ended(container.clone());
        self.tasks.spawn({
            let id = id.clone();
            async move { Report::Ended(id, ended.await) }
        });
        self.stop_probing(&id);
        if container.record.health.is_none() {
            return;
        }
        let prober = probe_for_ever(
            Arc::clone(&self.engine),
            container,
            self.health_sender.clone(),
        );
        self.probers.insert(id, tokio::spawn(prober).abort_handle());
    }

    fn ended(&mut self, id: &str, result: Result<ObservedContainer, EngineError>) {
        // What was said of it while it ran must not come after its end.
        while let Ok(note) = self.notes.try_recv() {
            self.note(note);
        }
        self.stop_probing(id);
        let container = match result {
            Ok(container) => container,
            Err(error) => {
                tracing::error!(
                    container = id,
                    error = error.story(),
                    "cannot clean up behind it"
                );
                match self.engine.look(id) {
                    Ok(Some(container)) => container,
                    _ => return,
                }
            }
        };
        let record = Arc::clone(&container.record);
        if let Some(ended) = turn::ended(container, (&self.desired, &mut self.observed)) {
            tracing::info!(container = record.name, "{}", ended.exit);
            let doing = self.busy.get(&record.name);
            let stop = doing.filter(|step| matches!(step.op, Op::StopContainer { .. }));
            let asked = stop.is_some();
            let cause = stop.map(|step| &step.cause);
            self.audience.exited(&record, &ended, cause);
            if !asked {
                self.tell_found_ended(&record);
            }
            let what = What::Ended {
                exit: ended.exit.to_string(),
                // What is being stopped is replaced or started again by the plan, not by its policy.
                restarts: ended.restarts && !asked,
            };
            self.chronicle(Some(&record), what);
        }
    }

    fn receive(&mut self, message: Inbox) {
        match message {
            Inbox::Listen(events) => self.audience.listen(events),
            Inbox::Announce(event) => self.audience.announce(&event),
            Inbox::Wake => {}
            Inbox::Follow(start, reply) => {
                let result = match start {
                    Some(start) => self.follow.start(*start),
                    None => self.follow.end(),
                };
                let _ = reply.send(result.err().map(|error| EngineError::from(error).story()));
            }
            Inbox::Status(reply) => {
                let plan = plan(&self.desired, &self.observed, Timestamp::now());
                let mut status = super::status::status(&self.desired, &self.observed, &plan);
                status["follow"] = self.follow.status();
                let _ = reply.send(status);
            }
            Inbox::Command(command, events) => {
                if let Err(error) = self.command(*command, &events) {
                    let errors = vec![error.story()];
                    let _ = events.send(Event::Done { errors });
                }
            }
        }
    }

    fn is_idle(&self, plan: &Plan) -> bool {
        let can_move = |step: &Step| {
            !turn::is_blocked(step, &self.observed)
                && (step.not_before.is_some() || (step.after.is_empty()))
        };
        !self.follow.is_on()
            && self.commands.is_empty()
            && self.busy.is_empty()
            && !self
                .observed
                .containers
                .values()
                .any(ObservedContainer::is_up)
            && !plan.steps.iter().any(can_move)
            && self.tasks.is_empty()
    }

    /// Leaves, unless a command has come in at the last moment: then the loop goes on (`true`).
    async fn leave(&mut self) -> Result<bool, EngineError> {
        let socket = self.paths.api_socket(&self.project);
        let _ = std::fs::remove_file(&socket);
        self.api.abort();
        // A request that was being read reaches the inbox now or never.
        tokio::task::yield_now().await;
        if self.inbox.is_empty() {
            self.inbox.close();
            return Ok(false);
        }
        self.api = api::serve(&socket, self.sender.clone())
            .map_err(|error| StateError::io("listen on", &socket, error))?;
        while let Ok(message) = self.inbox.try_recv() {
            self.receive(message);
        }
        Ok(true)
    }
}

/// Where a project's desired state is kept.
pub(super) fn desired_path(paths: &Paths, project: &str) -> std::path::PathBuf {
    paths.project(project).join("desired.json")
}
