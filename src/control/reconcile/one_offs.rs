//! One-off containers: what they need is waited for, then they are made, and at last removed.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Reconciler, Report};
use crate::control::{Event, OneOff};
use crate::engine::{Applied, Engine, EngineError};
use crate::plan::{DependencyState, ObservedContainer, Phase, Plan, readiness};

impl<E: Engine> Reconciler<E> {
    /// Notes a one-off container: what it needs becomes part of the plan.
    pub(super) fn wait_one_off(
        &mut self,
        mut one_off: OneOff,
        events: mpsc::UnboundedSender<Event>,
    ) {
        if one_off.no_deps
            && let Some(model) = one_off.stack.services.get_mut(&one_off.service)
        {
            model.depends_on.clear();
        }
        self.waiting.push((one_off, events));
        self.want_one_offs();
    }

    pub(super) fn want_one_offs(&mut self) {
        let models = self
            .waiting
            .iter()
            .filter_map(|(one_off, _)| one_off.model());
        let models: Vec<_> = models.cloned().collect();
        if models != self.desired.one_offs {
            Arc::make_mut(&mut self.desired).one_offs = models;
        }
    }

    /// Starts the one-off containers that have all they need; ends the wait of those that never will.
    pub(super) fn begin_one_offs(&mut self, plan: &Plan) {
        if self.waiting.is_empty() {
            return;
        }
        for (one_off, events) in std::mem::take(&mut self.waiting) {
            let state = match one_off.model() {
                Some(model) => readiness(model, plan, (&self.desired, &self.observed)),
                None => DependencyState::Met,
            };
            match state {
                _ if events.is_closed() => {}
                DependencyState::Met => self.run_one_off(one_off, events),
                DependencyState::Pending => self.waiting.push((one_off, events)),
                DependencyState::Failed(reason) => {
                    self.end_one_off(&events, vec![reason]);
                }
            }
        }
        self.want_one_offs();
    }

    pub(super) fn run_one_off(&mut self, one_off: OneOff, events: mpsc::UnboundedSender<Event>) {
        let (made, container) = oneshot::channel::<ObservedContainer>();
        let starting =
            Arc::clone(&self.engine).run_one_off(one_off, Arc::clone(&self.desired), made);
        let early = events.clone();
        self.tasks.spawn(async move {
            match container.await {
                Ok(container) => Report::Made(early, container),
                Err(_) => Report::Nothing,
            }
        });
        self.tasks
            .spawn(async move { Report::OneOff(events, starting.await) });
    }

    pub(super) fn one_off_made(
        &mut self,
        events: &mpsc::UnboundedSender<Event>,
        container: ObservedContainer,
    ) {
        let _ = events.send(Event::OneOff {
            id: container.record.id.clone(),
            name: container.record.name.clone(),
        });
        self.observed
            .containers
            .entry(container.record.id.clone())
            .or_insert(container);
    }

    pub(super) fn one_off_started(
        &mut self,
        events: &mpsc::UnboundedSender<Event>,
        result: Result<Applied, EngineError>,
    ) {
        let mut errors = Vec::new();
        match result {
            Ok(Applied::Container(container)) => {
                self.observed
                    .containers
                    .insert(container.record.id.clone(), (*container).clone());
                self.look_after(*container);
            }
            Ok(_) => {}
            Err(error) => {
                errors.push(error.story());
                let made: Vec<String> = self
                    .observed
                    .containers
                    .values()
                    .filter(|container| {
                        container.record.one_off && container.phase == Phase::Created
                    })
                    .map(|container| container.record.id.clone())
                    .collect();
                for id in made {
                    if let Ok(Some(container)) = self.engine.look(&id) {
                        self.observed.containers.insert(id, container);
                    }
                }
            }
        }
        self.end_one_off(events, errors);
    }

    pub(super) fn end_one_off(
        &mut self,
        events: &mpsc::UnboundedSender<Event>,
        errors: Vec<String>,
    ) {
        let _ = events.send(Event::Done { errors });
        self.commands
            .retain(|command| !command.events.same_channel(events));
        self.audience.leave(events);
    }

    pub(super) fn remove_one_off(&mut self, id: &str) {
        if let Some(container) = self.observed.containers.get_mut(id)
            && container.record.one_off
        {
            Arc::make_mut(&mut container.record).auto_remove = true;
            if container.is_up()
                && let Err(error) = self.engine.signal(container, nix::libc::SIGKILL)
            {
                tracing::warn!(error = error.story(), "cannot end a one-off container");
            }
        }
    }

    /// The errors of a removal that is over.
    pub(super) fn removal(&self, id: Option<&str>) -> Option<Vec<String>> {
        let Some(container) = id.and_then(|id| self.observed.containers.get(id)) else {
            return Some(Vec::new());
        };
        let failure = self.observed.failures.get(&container.record.name)?;
        Some(vec![failure.message.clone()])
    }
}
