//! Operations: begun when they are ready, and what their ends mean.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Reconciler, Report};
use crate::control::ProgressState;
use crate::control::progress::{after, before};
use crate::control::turn;
use crate::control::verdict::service_of;
use crate::engine::{Applied, Engine, EngineError};
use crate::plan::{Cause, Op, Plan, RecordedFailure, Run, Step, plan};

impl<E: Engine> Reconciler<E> {
    /// Plans, and starts what is ready.
    pub(super) fn advance(&mut self) -> Plan {
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

    pub(super) fn begin(&mut self, step: Step) {
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

    pub(super) fn applied(&mut self, step: Step, result: Result<Applied, EngineError>) {
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
