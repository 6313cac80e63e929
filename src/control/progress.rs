//! Who is told what: the commands that are underway, and listeners.

use std::collections::HashMap;

use tokio::sync::mpsc::UnboundedSender;

use super::verdict::Goal;
use super::{Event, Kind, Progress, ProgressState};
use crate::compose::model::Condition;
use crate::plan::{After, Cause, Exit, Observed, ObservedContainer, Op, Phase, Plan, Step, Then};
use crate::state::records::{ContainerRecord, HealthStatus};

/// Everyone who hears what happens.
#[derive(Debug, Default)]
pub(super) struct Audience {
    commands: Vec<Member>,
    listeners: Vec<UnboundedSender<Event>>,
}

/// A command that hears of progress, and what it was told of each object last.
#[derive(Debug)]
struct Member {
    events: UnboundedSender<Event>,
    told: HashMap<String, ProgressState>,
}

impl Audience {
    /// A command is underway.
    pub(super) fn join(&mut self, events: UnboundedSender<Event>) {
        self.commands.push(Member {
            events,
            told: HashMap::new(),
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
            member.told.insert(progress.name.clone(), progress.state);
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

    /// A container is to be restarted that does not run: only its start is a step.
    pub(super) fn restarting(&mut self, name: &str) {
        self.tell_container(name, ProgressState::Restarting, None);
    }

    /// A container is to stop that does not run.
    pub(super) fn ended_already(&mut self, name: &str) {
        self.tell_container(name, ProgressState::Stopping, None);
        self.tell_container(name, ProgressState::Stopped, None);
    }

    /// A program ended: by itself, or because it was `asked` to.
    pub(super) fn exited(
        &mut self,
        record: &ContainerRecord,
        exit: &Exit,
        (restarts, asked): (bool, bool),
    ) {
        if self.waits_for(&record.name) && !restarts && !asked {
            let state = if exit.code == 0 {
                ProgressState::Exited
            } else {
                ProgressState::Error
            };
            self.tell_container(&record.name, state, Some(exit.to_string()));
        }
        self.announce(&Event::Exited {
            service: record.service.clone(),
            name: record.name.clone(),
            code: exit.code,
            restarts,
            one_off: record.one_off,
        });
    }

    /// A container's health changed.
    pub(super) fn health(&mut self, record: &ContainerRecord, status: HealthStatus) {
        if !self.waits_for(&record.name) {
            return;
        }
        match status {
            HealthStatus::Healthy => {
                self.tell_container(&record.name, ProgressState::Healthy, None)
            }
            HealthStatus::Unhealthy => {
                self.tell_container(
                    &record.name,
                    ProgressState::Error,
                    Some("is unhealthy".to_owned()),
                );
            }
            HealthStatus::Starting => {}
        }
    }

    fn waits_for(&self, name: &str) -> bool {
        self.commands
            .iter()
            .any(|member| member.told.get(name) == Some(&ProgressState::Waiting))
    }

    /// Says of containers that others wait for them.
    pub(super) fn tell_waiting(&mut self, plan: &Plan, observed: &Observed) {
        if self.commands.is_empty() {
            return;
        }
        for step in &plan.steps {
            for after in &step.after {
                let After::Condition { service, condition } = after else {
                    continue;
                };
                if *condition != Condition::ServiceStarted {
                    for container in observed
                        .of_service(service)
                        .filter(|container| container.is_up())
                    {
                        self.tell_waiting_for(container, &format!("for {}", step.op.subject().1));
                    }
                }
            }
        }
    }

    /// Says of the containers of a goal that wait for their health, that they do.
    pub(super) fn tell_waiting_health(&mut self, goal: &Goal, observed: &Observed) {
        for container in observed.containers.values() {
            let starting = container.health() == Some(HealthStatus::Starting);
            if starting && container.is_up() && goal.concerns(&container.record.service) {
                self.tell_waiting_for(container, "to become healthy");
            }
        }
    }

    fn tell_waiting_for(&mut self, container: &ObservedContainer, what: &str) {
        let name = &container.record.name;
        let told = self.commands.iter().all(|member| {
            matches!(
                member.told.get(name),
                Some(ProgressState::Waiting | ProgressState::Healthy)
            )
        });
        if !told {
            self.tell_container(name, ProgressState::Waiting, Some(what.to_owned()));
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
            let untouched = !member.told.contains_key(&record.name) && !record.one_off;
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
        | Op::RenameContainer { .. }
        | Op::RemoveContainer { .. } => Kind::Container,
    }
}

/// What would be said if a plan were carried out.
pub fn rehearse(plan: &Plan) -> Vec<Progress> {
    let said = plan.steps.iter().map(|step| {
        let begins = before(step).map(|progress| match &step.cause {
            Cause::Replaces(reason) => Progress {
                detail: Some(reason.clone()),
                ..progress
            },
            _ => progress,
        });
        (begins, after(step))
    });
    said.flat_map(|(before, after)| before.into_iter().chain(after))
        .collect()
}

/// What is said when an operation begins.
pub(super) fn before(step: &Step) -> Option<Progress> {
    let state = match &step.op {
        Op::PullImage { .. } | Op::BuildImage { .. } => ProgressState::Pulling,
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
        Op::PullImage { .. } | Op::BuildImage { .. } => ProgressState::Pulled,
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
