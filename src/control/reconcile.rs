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
mod probes;
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
use super::health::{self, Prober};
use super::progress::{Audience, Dependencies, Scene, after, before, waits, waits_of};
use super::turn::{self, Busy};
use super::verdict::{Goal, service_of};
use super::{Event, OneOff, ProgressState};
use crate::compose::model::ReadyProbe;
use crate::engine::{Applied, Engine, EngineError, Note};
use crate::plan::{
    Cause, Desired, Observed, ObservedContainer, Op, Plan, RecordedFailure, Run, Step, plan,
};
use crate::state::records::{HealthState, HealthStatus, ProbeRecord};
use crate::state::{Paths, StateError, read_json};

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

/// What a prober has found.
struct HealthReport {
    id: String,
    /// Which run of the program it is about.
    started_at: Option<Timestamp>,
    state: HealthState,
    /// Probes keep to the interval: worth writing down each.
    regular: bool,
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

    /// Plans, and starts what is ready.
    fn advance(&mut self) -> Plan {
        let mut plan = plan(&self.desired, &self.observed, Timestamp::now());
        // What has become of an update is written down before anything follows from it.
        while !plan.turns.is_empty() && self.take_turns(&plan.turns) {
            plan = crate::plan::plan(&self.desired, &self.observed, Timestamp::now());
        }
        self.tell_waiting(&plan);
        let ready: Vec<Step> = turn::ready(&plan, (&self.observed, &self.busy))
            .cloned()
            .collect();
        for step in ready {
            // One of those before it may have the same subject.
            if !self.busy.contains_key(step.op.subject().1) {
                self.begin(step);
            }
        }
        plan
    }

    fn begin(&mut self, step: Step) {
        tracing::info!(op = %step.op, cause = %step.cause, "doing");
        let container = turn::begin(&step, (&self.desired, &mut self.observed));
        if let (Op::StopContainer { id, .. }, Some(container)) = (&step.op, &container) {
            // The engine writes it down; what we write from now on must not take it back.
            self.stop_probing(id);
            if step.cause == Cause::Unhealthy {
                self.save_status(container);
            }
        }
        self.audience.tell_stop_before(&step);
        if let Some(progress) = before(&step) {
            self.audience.tell(progress);
        }
        self.busy
            .insert(step.op.subject().1.to_owned(), step.clone());
        let operation =
            Arc::clone(&self.engine).apply(step.op.clone(), container, Arc::clone(&self.desired));
        self.tasks
            .spawn(async move { Report::Applied(Box::new(step), operation.await) });
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

    /// Takes in what an operation says on its way.
    fn note(&mut self, note: Note) {
        match note {
            Note::Started(container) => self.announce_start(&container),
            Note::Container(container) => {
                let id = container.record.id.clone();
                self.observed.containers.insert(id, container);
            }
            Note::ContainerGone(id) => drop(self.observed.containers.remove(&id)),
            Note::Output {
                service,
                name,
                line,
            } => self.audience.announce(&Event::Output {
                service,
                name,
                line,
            }),
        }
    }

    fn announce_start(&mut self, container: &ObservedContainer) {
        let record = &container.record;
        self.audience.announce(&Event::Started {
            service: record.service.clone(),
            number: record.number,
            name: record.name.clone(),
            id: record.id.clone(),
        });
    }

    /// An operation on a subject failed: it is not tried again before the next command.
    fn failed(&mut self, step: &Step, error: &EngineError) {
        let subject = step.op.subject().1;
        let message = format!("{} {subject}: {}", failed_verb(&step.op), error.story());
        tracing::warn!(op = %step.op, error = message, "failed");
        self.chronicle_step(step, Some(&message));
        self.audience.fail(step, &message);
        let service = service_of(step, &self.observed);
        for command in &mut self.commands {
            let reaches = |service| command.goal.reaches(service, &self.desired);
            if !service.as_ref().is_none_or(reaches) {
                continue;
            }
            command.errors.insert(message.clone());
        }
        let at = Timestamp::now();
        turn::failed(step, RecordedFailure { at, message }, &mut self.observed);
    }

    fn applied(&mut self, step: Step, result: Result<Applied, EngineError>) {
        let subject = step.op.subject().1.to_owned();
        self.busy.remove(&subject);
        while let Ok(note) = self.notes.try_recv() {
            self.note(note);
        }
        match result {
            Ok(Applied::Unready(container, error)) => {
                self.failed(&step, &error);
                self.observe(Applied::Container(container), &step);
            }
            Ok(applied) => {
                turn::succeeded(&step, &mut self.observed);
                self.chronicle_step(&step, None);
                let mut progress = after(&step);
                let left = matches!(applied, Applied::NetworkLeft(_) | Applied::VolumeLeft(_));
                if let (true, Some(progress)) = (left, &mut progress) {
                    progress.state = ProgressState::InUse;
                }
                if let Some(progress) = progress {
                    self.audience.tell(progress);
                }
                self.observe(applied, &step);
            }
            Err(EngineError::CutShort) => self.look_again(&step),
            Err(error) if !self.is_wanted(&step) => {
                tracing::info!(op = %step.op, error = error.story(), "failed, and is not wanted any more");
                self.look_again(&step);
            }
            Err(error) => {
                self.failed(&step, &error);
                self.look_again(&step);
            }
        }
    }

    /// Whether what the operation was to bring about is still to be: a command may have come meanwhile
    /// that takes the service away or stops it.
    fn is_wanted(&self, step: &Step) -> bool {
        let run = match &step.op {
            Op::StartContainer { id: Some(id), .. } | Op::RenewFiles { id, .. } => {
                let found = self.observed.containers.get(id);
                found.and_then(|found| self.desired.run_of(&found.record))
            }
            Op::CreateContainer { service, .. } | Op::StartContainer { service, .. } => {
                let found = self.desired.services.get(service);
                found.map(|found| found.run)
            }
            _ => return true,
        };
        self.desired.down.is_none() && run.is_some_and(|run| run != Run::Stopped)
    }

    /// Takes in what an operation has made of its subject.
    fn observe(&mut self, applied: Applied, step: &Step) {
        let started = match (&step.op, &applied) {
            (Op::StartContainer { .. }, Applied::Container(container)) => Some(container.clone()),
            _ => None,
        };
        if let Applied::ContainerGone(id) = &applied
            && self.desired.knows(id)
        {
            Arc::make_mut(&mut self.desired).forget(id);
        }
        turn::done(applied, &mut self.observed);
        if let Some(container) = started {
            self.announce_start(&container);
            self.look_after(*container);
        }
    }

    /// After a failure: what is the subject like now?
    fn look_again(&mut self, step: &Step) {
        let id = match &step.op {
            Op::StartContainer { id: Some(id), .. }
            | Op::StopContainer { id, .. }
            | Op::RenewFiles { id, .. }
            | Op::RenameContainer { id, .. }
            | Op::RemoveContainer { id, .. } => id,
            _ => return,
        };
        match self.engine.look(id) {
            Ok(Some(container)) => drop(self.observed.containers.insert(id.clone(), container)),
            Ok(None) => drop(self.observed.containers.remove(id)),
            Err(error) => tracing::warn!(error = error.story(), "cannot look at a container"),
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

    fn stop_probing(&mut self, id: &str) {
        if let Some(prober) = self.probers.remove(id) {
            prober.abort();
        }
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

    /// Tells commands of what they wait for.
    fn tell_waiting(&mut self, plan: &Plan) {
        let scene = Scene {
            plan,
            desired: &self.desired,
            observed: &self.observed,
            busy: &self.busy,
        };
        for command in &self.commands {
            let mut one_offs = self.waiting.iter();
            let one_off = one_offs.find(|(_, events)| events.same_channel(&command.events));
            let waits = match one_off {
                Some((one_off, _)) => one_off
                    .model()
                    .map(|model| waits_of(&one_off.service, model))
                    .unwrap_or_default(),
                None => waits(command.dependencies, &command.goal, &self.desired),
            };
            self.audience.tell_waits(&command.events, waits, &scene);
            if command.goal.healthy {
                self.audience
                    .tell_goal(&command.events, &command.goal, &scene);
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

fn failed_verb(op: &Op) -> &'static str {
    match op {
        Op::PullImage { .. } => "cannot fetch image",
        Op::BuildImage { .. } => "cannot build image",
        Op::CreateNetwork { .. } => "cannot create network",
        Op::RemoveNetwork { .. } => "cannot remove network",
        Op::CreateVolume { .. } => "cannot create volume",
        Op::RemoveVolume { .. } => "cannot remove volume",
        Op::CreateContainer { .. } => "cannot create container",
        Op::StartContainer { .. } => "cannot start container",
        Op::StopContainer { .. } => "cannot stop container",
        Op::RenewFiles { .. } => "cannot renew the configs and secrets of container",
        Op::RenameContainer { .. } => "cannot rename container",
        Op::RemoveContainer { .. } => "cannot remove container",
    }
}

/// Whether readiness, once found, holds for the rest of the run.
fn is_for_good(container: &ObservedContainer) -> bool {
    let ready = &container.record.template.x_stack.ready;
    matches!(ready, Some(ready) if matches!(ready.probe, ReadyProbe::Log(_)))
}

/// Probes a container's health for as long as it runs.
async fn probe_for_ever<E: Engine>(
    engine: Arc<E>,
    container: ObservedContainer,
    reports: mpsc::UnboundedSender<HealthReport>,
) {
    let Some(check) = container.record.health.clone() else {
        return;
    };
    let started_at = container.started_at();
    let since_start = || {
        let started = started_at.unwrap_or_default();
        Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or_default()
    };
    let mut prober = Prober::default();
    let mut state = container
        .status
        .health
        .clone()
        .unwrap_or_else(health::initial);
    loop {
        if let Some(probe) = Arc::clone(&engine).probe(container.clone()).await {
            let regular = prober.is_regular();
            state = prober.judge(&check, (&state, probe), since_start());
            let report = HealthReport {
                id: container.record.id.clone(),
                started_at,
                state: state.clone(),
                regular,
            };
            if reports.send(report).is_err() {
                return;
            }
            if is_for_good(&container) && state.status == HealthStatus::Healthy {
                return;
            }
        }
        tokio::time::sleep(prober.delay(&check, since_start())).await;
    }
}
