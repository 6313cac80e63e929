//! Commands: taken in, carried out beside the plan where they are not about a state, and answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{Kind, Reconciler, Underway, desired_path};
use crate::compose::model::ServiceName;
use crate::control::chronicle::What;
use crate::control::command::with_dependencies;
use crate::control::found_ended::FoundEnded;
use crate::control::progress::{Dependencies, Scene};
use crate::control::turn;
use crate::control::verdict::{Goal, Verdict, verdict};
use crate::control::{Act, Command, Event, Progress, ProgressState, Single, event};
use crate::engine::{Engine, EngineError};
use crate::plan::{Cause, Desired, Op, Plan, Step};
use crate::state::records::ContainerRecord;
use crate::state::{StateError, remove_dir, write_json};

impl Underway {
    /// Says once what stands in the way and can be done without.
    fn warn(&mut self, plan: &Plan) {
        if self.kind != Kind::ConvergeUp {
            return;
        }
        let mild = plan.problems.iter().filter(|problem| !problem.fatal);
        for problem in mild.filter(|problem| self.goal.concerns(&problem.service)) {
            if self.warned.insert(problem.message.clone()) {
                let message = problem.message.clone();
                let _ = self.events.send(Event::Warning { message });
            }
        }
    }

    /// These errors and those of its time that nothing tells of any more.
    fn errors_with(&mut self, mut errors: Vec<String>) -> Vec<String> {
        let over = std::mem::take(&mut self.errors).into_iter();
        let over: Vec<String> = over.filter(|error| !errors.contains(error)).collect();
        errors.extend(over);
        errors
    }
}

impl Kind {
    fn of(command: &Command) -> Self {
        match command {
            Command::Up(_) => Self::ConvergeUp,
            Command::Edit(_) => Self::Edit,
            Command::Down { services, .. } if services.is_empty() => Self::Down,
            Command::Down { .. } => Self::PartDown,
            Command::Note { .. } => Self::Note,
            Command::Run(_) => Self::OneOff,
            Command::RemoveOneOff { .. } => Self::Removal,
            _ => Self::Converge,
        }
    }
}

/// Another name for a container: a person asks for it, and no plan does.
fn renaming(id: String, name: String, to: String) -> Step {
    Step {
        op: Op::RenameContainer { id, name, to },
        cause: Cause::RenameRequested,
        after: Vec::new(),
        not_before: None,
    }
}

impl<E: Engine> Reconciler<E> {
    /// Writes down what a command asks for. From then on it happens.
    pub(super) fn command(
        &mut self,
        command: Command,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Result<(), EngineError> {
        let now = Timestamp::now();
        if let Command::Single(Single {
            name,
            act: Act::Rename { .. },
            ..
        }) = &command
            && self.busy.contains_key(name)
        {
            let message = format!("container {name} is being worked on: try again");
            return Err(EngineError::Value(message));
        }
        match &command {
            // What is to go away is not brought back by an edit.
            Command::Down { services, .. } if services.is_empty() => self.follow.end()?,
            Command::Edit(edit) => self.audience.announce(&Event::Reloading {
                services: edit.up.services.clone(),
                attachable: edit.attachable(),
            }),
            _ => {}
        }
        let mut desired = (*self.desired).clone();
        command.apply(&mut desired, now);
        if desired != *self.desired {
            self.save(&desired)?;
            self.engine.heed(&desired);
            self.desired = Arc::new(desired);
        }
        if !matches!(command, Command::Note { .. }) {
            turn::asked(&self.busy, &mut self.observed);
            self.engine.look_at_objects(&mut self.observed)?;
        }
        self.look_up_images()?;
        if !matches!(command, Command::Note { .. }) {
            let what = What::Command {
                command: command.name().to_owned(),
            };
            self.chronicle(None, what);
        }
        let _ = events.send(Event::Accepted);
        // One without a service only removes what the stack file has no more.
        let of_up = matches!(&command, Command::Up(up) if !up.services.is_empty());
        self.audience.join(events.clone(), of_up);
        let goal = self.goal(&command, now);
        let kind = Kind::of(&command);
        let one_off = match &command {
            Command::RemoveOneOff { id } => Some(id.clone()),
            _ => None,
        };
        let ended = FoundEnded::of(&command);
        let dependencies = Dependencies::of(&command);
        let mut killed = Vec::new();
        match command {
            Command::Kill {
                signal,
                remove_orphans,
                ..
            } => killed = self.kill(&goal, signal, remove_orphans),
            Command::Single(Single {
                id,
                act: Act::Kill { signal },
                ..
            }) => killed = self.kill_named(&id, signal),
            Command::Single(Single {
                id,
                name,
                act: Act::Rename { to },
                ..
            }) => self.begin(renaming(id, name, to)),
            Command::Run(one_off) => self.wait_one_off(*one_off, events.clone()),
            Command::RemoveOneOff { id } => self.remove_one_off(&id),
            _ => {}
        }
        self.commands.push(Underway {
            goal,
            kind,
            dependencies,
            one_off,
            killed,
            events: events.clone(),
            errors: BTreeSet::new(),
            warned: BTreeSet::new(),
            ended,
        });
        if ended.is_some() {
            self.tell_all_found_ended();
        }
        Ok(())
    }

    /// What a command that was given now waits for.
    fn goal(&self, command: &Command, now: Timestamp) -> Goal {
        Goal {
            services: match command {
                // Those that follow are restarted for it, too.
                Command::Restart { .. } => self.restarted(now),
                Command::Start { services, .. } => {
                    let services = with_dependencies(&self.desired, services);
                    services.into_iter().collect()
                }
                other => other.services().iter().cloned().collect(),
            },
            container: match command {
                Command::Single(single) => Some(single.name.clone()),
                _ => None,
            },
            at: now,
            healthy: match command {
                Command::Up(up) => up.wait,
                Command::Start { wait, .. } => *wait,
                _ => false,
            },
        }
    }

    /// Says of a container that has ended what the commands that are underway say of such: it may have
    /// ended before they came, or since, by itself.
    pub(super) fn tell_found_ended(&mut self, record: &ContainerRecord) {
        let mut said = self.commands.iter().filter_map(|command| {
            let ended = command.ended?;
            let concerned = command.goal.concerns(&record.service) && ended.concerns(record);
            concerned.then_some(ended)
        });
        if let Some(ended) = said.next_back() {
            self.audience.found_ended(&record.name, ended);
        }
    }

    fn tell_all_found_ended(&mut self) {
        let ended = self.observed.containers.values();
        let ended = ended.filter(|container| !container.is_up());
        let ended: Vec<_> = ended
            .map(|container| Arc::clone(&container.record))
            .collect();
        for record in ended {
            self.tell_found_ended(&record);
        }
    }

    /// The services that are restarted since this time.
    fn restarted(&self, since: Timestamp) -> BTreeSet<ServiceName> {
        let services = self.desired.services.iter();
        services
            .filter(|(_, service)| service.restart_before == Some(since))
            .map(|(name, _)| name.clone())
            .collect()
    }

    pub(super) fn save(&self, desired: &Desired) -> Result<(), EngineError> {
        let path = desired_path(&self.paths, &self.project);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|error| StateError::io("make", dir, error))?;
        }
        Ok(write_json(&path, desired)?)
    }

    /// Which images the services' references mean.
    pub(super) fn look_up_images(&mut self) -> Result<(), EngineError> {
        let mut unknown = Vec::new();
        for service in self.desired.services.values() {
            let reference = service.service.image.clone().unwrap_or_default();
            match &service.image_id {
                Some(id) => drop(self.observed.images.insert(reference, id.clone())),
                None => unknown.push(reference),
            }
        }
        self.observed.images.extend(self.engine.images(&unknown)?);
        Ok(())
    }

    /// Answers the commands that have been carried out.
    pub(super) async fn finish_commands(&mut self, plan: &Plan) -> Result<(), EngineError> {
        let busy: BTreeSet<String> = self.busy.keys().cloned().collect();
        let mut left = Vec::new();
        for mut command in std::mem::take(&mut self.commands) {
            // Who gave it has gone, as after `--wait-timeout`: what it asks for is written down, and nobody
            // hears the answer.
            let converges = matches!(command.kind, Kind::Converge | Kind::ConvergeUp);
            if converges && command.events.is_closed() {
                self.audience.leave(&command.events);
                continue;
            }
            command.warn(plan);
            let errors = match command.kind {
                Kind::Note => Some(Vec::new()),
                Kind::OneOff => None,
                Kind::Removal => self.removal(command.one_off.as_deref()),
                Kind::Down if !self.busy.is_empty() => None,
                _ if self.is_killing(&command.killed) => None,
                _ => match verdict(&command.goal, plan, (&self.desired, &self.observed), &busy) {
                    Verdict::Underway => None,
                    Verdict::Done(errors) => {
                        let errors = command.errors_with(errors);
                        self.outcome_of_waits(&command, errors, plan)
                    }
                },
            };
            match errors {
                None if command.events.is_closed() && command.kind != Kind::Edit => {
                    self.audience.leave(&command.events);
                }
                None => left.push(command),
                Some(errors) => {
                    if command.kind == Kind::Down && errors.is_empty() {
                        self.forget_project()?;
                    }
                    if command.kind == Kind::ConvergeUp {
                        self.audience.tell_untouched(
                            &command.events,
                            &command.goal,
                            &self.observed,
                        );
                    }
                    if command.kind == Kind::PartDown && errors.is_empty() {
                        self.tell_still_used(&command.events);
                    }
                    if command.kind == Kind::Edit {
                        self.audience.announce(&Event::Reloaded);
                    }
                    let _ = command.events.send(Event::Done { errors });
                    self.audience.leave(&command.events);
                }
            }
        }
        self.commands = left;
        Ok(())
    }

    /// Says of the networks and volumes that a `down` of some services has left that others use them.
    fn tell_still_used(&self, events: &mpsc::UnboundedSender<Event>) {
        let tell = |kind, name: &str| {
            for state in [ProgressState::Removing, ProgressState::InUse] {
                let progress = Progress {
                    kind,
                    name: name.to_owned(),
                    state,
                    detail: None,
                };
                let _ = events.send(Event::Progress(progress));
            }
        };
        let own = |project: &str| project == self.project;
        let networks = self.desired.networks.values().filter(|one| !one.external);
        for network in networks {
            let found = self.observed.networks.get(&network.name);
            if found.is_some_and(|found| own(&found.project)) {
                tell(event::Kind::Network, &network.name);
            }
        }
        if self.desired.sweep.is_none_or(|sweep| !sweep.volumes) {
            return;
        }
        let volumes = self.desired.volumes.values().filter(|one| !one.external);
        for volume in volumes {
            let found = self.observed.volumes.get(&volume.name);
            if found.is_some_and(|found| own(&found.project)) {
                tell(event::Kind::Volume, &volume.name);
            }
        }
    }

    /// These errors and those of dependencies; `None` while one is waited for and nothing has failed.
    fn outcome_of_waits(
        &mut self,
        command: &Underway,
        mut errors: Vec<String>,
        plan: &Plan,
    ) -> Option<Vec<String>> {
        if command.dependencies != Dependencies::Awaited {
            return Some(errors);
        }
        let scene = Scene {
            plan,
            desired: &self.desired,
            observed: &self.observed,
            busy: &self.busy,
        };
        match self.audience.outcome_of_waits(&command.events, &scene) {
            None if errors.is_empty() => None,
            None => Some(errors),
            Some(failures) => {
                let new = failures.into_iter().filter(|new| !errors.contains(new));
                let new: Vec<String> = new.collect();
                errors.extend(new);
                Some(errors)
            }
        }
    }

    /// The project is gone: so is what was written about it.
    pub(super) fn forget_project(&mut self) -> Result<(), EngineError> {
        self.desired = Arc::new(Desired::new(&self.project));
        self.chronicle.forget();
        Ok(remove_dir(&self.paths.project(&self.project))?)
    }
}
