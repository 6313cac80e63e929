//! Who is told what: the commands that are underway, and listeners.

mod waits;

use std::collections::HashSet;

use tokio::sync::mpsc::UnboundedSender;

use super::found_ended::FoundEnded;
use super::turn::Ended;
use super::verdict::Goal;
use super::{Event, Kind, Progress, ProgressState};
use crate::plan::{Cause, Observed, Op, Phase, Step, Then};
use crate::state::records::ContainerRecord;

use waits::Told;
pub(super) use waits::{Dependencies, Scene, Wait, waits, waits_of};

/// Everyone who hears what happens.
#[derive(Debug, Default)]
pub(super) struct Audience {
    commands: Vec<Member>,
    listeners: Vec<UnboundedSender<Event>>,
}

/// A command that hears of progress, and which objects it was told of.
#[derive(Debug)]
struct Member {
    events: UnboundedSender<Event>,
    told: HashSet<String>,
    /// It is an `up`, which says of what it leaves alone that it runs.
    of_up: bool,
    waits: Told,
}

impl Audience {
    /// A command is underway; `of_up`: it says of what it leaves alone that it runs.
    pub(super) fn join(&mut self, events: UnboundedSender<Event>, of_up: bool) {
        self.commands.push(Member {
            events,
            told: HashSet::new(),
            of_up,
            waits: Told::default(),
        });
    }

    /// A command is done.
    pub(super) fn leave(&mut self, events: &UnboundedSender<Event>) {
        self.commands
            .retain(|member| !member.events.same_channel(events));
    }

    /// Somebody wants to hear everything.
    pub(super) fn listen(&mut self, events: UnboundedSender<Event>) {
        self.listeners.push(events);
    }

    /// Says something to everyone.
    pub(super) fn announce(&mut self, event: &Event) {
        for member in &self.commands {
            let _ = member.events.send(event.clone());
        }
        self.listeners
            .retain(|listener| listener.send(event.clone()).is_ok());
    }

    /// An object is on its way.
    pub(super) fn tell(&mut self, progress: Progress) {
        for member in &mut self.commands {
            member.told.insert(progress.name.clone());
        }
        self.announce(&Event::Progress(progress));
    }

    fn tell_container(&mut self, name: &str, state: ProgressState, detail: Option<String>) {
        self.tell(Progress {
            kind: Kind::Container,
            name: name.to_owned(),
            state,
            detail,
        });
    }

    /// A container that does not run is about to go. Docker Compose asks its engine to stop all that have no
    /// place any more, and says so.
    pub(super) fn tell_stop_before(&mut self, step: &Step) {
        let Op::RemoveContainer { name, .. } = &step.op else {
            return;
        };
        let loses_place = matches!(step.cause, Cause::Orphan | Cause::ScaledDown { .. });
        let was_told = self
            .commands
            .iter()
            .all(|member| member.told.contains(name));
        if loses_place && !was_told {
            for state in [ProgressState::Stopping, ProgressState::Stopped] {
                self.tell_container(name, state, None);
            }
        }
    }

    /// An operation failed.
    pub(super) fn fail(&mut self, step: &Step, message: &str) {
        let (kind, name) = (kind(&step.op), step.op.subject().1.to_owned());
        self.tell(Progress {
            kind,
            name,
            state: ProgressState::Error,
            detail: Some(message.to_owned()),
        });
    }

    /// A signal is being sent.
    pub(super) fn killing(&mut self, name: &str) {
        self.tell_container(name, ProgressState::Killing, None);
    }

    /// A signal was sent.
    pub(super) fn killed(&mut self, name: &str) {
        self.tell_container(name, ProgressState::Killed, None);
    }

    /// A command finds a container ended.
    pub(super) fn found_ended(&mut self, name: &str, ended: FoundEnded) {
        for state in ended.states() {
            self.tell_container(name, *state, None);
        }
    }

    /// A program ended; `cause` is why it was stopped.
    pub(super) fn exited(
        &mut self,
        record: &ContainerRecord,
        ended: &Ended,
        cause: Option<&Cause>,
    ) {
        self.announce(&Event::Exited {
            service: record.service.clone(),
            name: record.name.clone(),
            code: ended.exit.code,
            finished_at: ended.exit.finished_at,
            restarts: ended.restarts,
            replaced: matches!(cause, Some(Cause::ReplacedBy(_))),
            one_off: record.one_off,
        });
    }

    /// Tells a command of the dependencies that it waits for: of these, and of those before.
    pub(super) fn tell_waits(
        &mut self,
        events: &UnboundedSender<Event>,
        waits: Vec<Wait>,
        scene: &Scene<'_>,
    ) {
        if let Some(member) = self.member(events) {
            let said = member.waits.of_waits(waits, scene);
            self.say_waits(events, said, scene.observed);
        }
    }

    /// Tells a command of the containers that it waits for to become healthy.
    pub(super) fn tell_goal(
        &mut self,
        events: &UnboundedSender<Event>,
        goal: &Goal,
        scene: &Scene<'_>,
    ) {
        if let Some(member) = self.member(events) {
            let said = member.waits.of_goal(goal, scene);
            self.say_waits(events, said, scene.observed);
        }
    }

    /// What a command has waited for in vain; `None` while it waits.
    pub(super) fn outcome_of_waits(
        &mut self,
        events: &UnboundedSender<Event>,
        scene: &Scene<'_>,
    ) -> Option<Vec<String>> {
        match self.member(events) {
            Some(member) => Some(member.waits.outcome(scene)?.to_vec()),
            None => Some(Vec::new()),
        }
    }

    fn member(&mut self, events: &UnboundedSender<Event>) -> Option<&mut Member> {
        let mut members = self.commands.iter_mut();
        members.find(|member| member.events.same_channel(events))
    }

    /// Says of containers that are waited for, having run before, that they do.
    fn say_waits(
        &mut self,
        events: &UnboundedSender<Event>,
        said: Vec<Progress>,
        observed: &Observed,
    ) {
        let mut all = Vec::with_capacity(said.len());
        if let Some(member) = self.member(events) {
            for progress in said {
                let runs = observed.containers.values().any(|container| {
                    let is_it = container.record.name == progress.name;
                    is_it && matches!(container.phase, Phase::Running { .. })
                });
                if member.of_up && runs && member.told.insert(progress.name.clone()) {
                    all.push(Progress {
                        state: ProgressState::Running,
                        detail: None,
                        ..progress.clone()
                    });
                }
                all.push(progress);
            }
        }
        for progress in all {
            let event = Event::Progress(progress);
            let _ = events.send(event.clone());
            self.listeners
                .retain(|listener| listener.send(event.clone()).is_ok());
        }
    }

    /// Says of containers that a command did not need to touch that they run.
    pub(super) fn tell_untouched(
        &self,
        events: &UnboundedSender<Event>,
        goal: &Goal,
        observed: &Observed,
    ) {
        let Some(member) = self
            .commands
            .iter()
            .find(|member| member.events.same_channel(events))
        else {
            return;
        };
        for container in observed.containers.values() {
            let record = &container.record;
            let untouched = member.of_up && !member.told.contains(&record.name) && !record.one_off;
            if untouched
                && goal.concerns(&record.service)
                && matches!(container.phase, Phase::Running { .. })
            {
                let _ = events.send(Event::Progress(Progress {
                    kind: Kind::Container,
                    name: record.name.clone(),
                    state: ProgressState::Running,
                    detail: None,
                }));
            }
        }
    }
}

fn kind(op: &Op) -> Kind {
    match op {
        Op::PullImage { .. } | Op::BuildImage { .. } => Kind::Image,
        Op::CreateNetwork { .. } | Op::RemoveNetwork { .. } => Kind::Network,
        Op::CreateVolume { .. } | Op::RemoveVolume { .. } => Kind::Volume,
        Op::CreateContainer { .. }
        | Op::StartContainer { .. }
        | Op::StopContainer { .. }
        | Op::RenewFiles { .. }
        | Op::RenameContainer { .. }
        | Op::RemoveContainer { .. } => Kind::Container,
    }
}

/// What is said when an operation begins.
pub(super) fn before(step: &Step) -> Option<Progress> {
    let state = match &step.op {
        Op::PullImage { .. } => ProgressState::Pulling,
        Op::BuildImage { .. } => ProgressState::Building,
        Op::CreateNetwork { .. } | Op::CreateVolume { .. } => ProgressState::Creating,
        Op::CreateContainer {
            replaces: Some(_), ..
        } => ProgressState::Recreate,
        Op::CreateContainer { .. } => ProgressState::Creating,
        // That it is being restarted has been said.
        Op::StartContainer { .. } if step.cause == Cause::RestartRequested => return None,
        Op::StartContainer { .. } => ProgressState::Starting,
        Op::StopContainer { .. } if is_stop(step) => ProgressState::Stopping,
        Op::StopContainer {
            then: Then::StartAgain,
            ..
        } if !is_stop(step) => ProgressState::Restarting,
        Op::StopContainer { .. } => ProgressState::Stopping,
        Op::RenewFiles { .. } => ProgressState::Reloading,
        Op::RenameContainer { .. } => return None,
        Op::RemoveNetwork { .. } | Op::RemoveVolume { .. } | Op::RemoveContainer { .. } => {
            ProgressState::Removing
        }
    };
    progress(step, state)
}

/// What is said when an operation has succeeded.
pub(super) fn after(step: &Step) -> Option<Progress> {
    let state = match &step.op {
        Op::PullImage { .. } => ProgressState::Pulled,
        Op::BuildImage { .. } => ProgressState::Built,
        Op::CreateNetwork { .. } | Op::CreateVolume { .. } => ProgressState::Created,
        Op::CreateContainer {
            replaces: Some(_), ..
        } => ProgressState::Recreated,
        Op::CreateContainer { .. } => ProgressState::Created,
        Op::StartContainer { .. } => ProgressState::Started,
        Op::StopContainer {
            then: Then::StartAgain,
            ..
        } if !is_stop(step) => return None,
        Op::StopContainer { .. } => ProgressState::Stopped,
        Op::RenewFiles { .. } => ProgressState::Reloaded,
        Op::RenameContainer { .. } => return None,
        Op::RemoveNetwork { .. } | Op::RemoveVolume { .. } | Op::RemoveContainer { .. } => {
            ProgressState::Removed
        }
    };
    progress(step, state)
}

/// Docker Compose tells of the stop of what depends on a container that it replaces or restarts, or is on a
/// network that it makes anew, and of its start.
fn is_stop(step: &Step) -> bool {
    matches!(
        step.cause,
        Cause::DependencyReplaced(_) | Cause::DependencyRestarted(_) | Cause::NetworkChanged(_)
    )
}

/// Docker Compose says nothing of volumes without a name.
fn is_anonymous(op: &Op) -> bool {
    matches!(op, Op::RemoveVolume { name, .. }
        if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The end of a container that another one takes the place of is not news: the other one is.
fn progress(step: &Step, state: ProgressState) -> Option<Progress> {
    if matches!(step.cause, Cause::ReplacedBy(_) | Cause::OneOffEnded) || is_anonymous(&step.op) {
        return None;
    }
    let detail = match &step.cause {
        Cause::Missing
        | Cause::NotStarted
        | Cause::Down
        | Cause::StopRequested
        | Cause::RemoveRequested
        | Cause::Resumed
        | Cause::Replaces(_) => None,
        cause => Some(cause.to_string()),
    };
    Some(Progress {
        kind: kind(&step.op),
        name: step.op.subject().1.to_owned(),
        state,
        detail,
    })
}
