//! Signals that a person sends (`kill`).

use jiff::Timestamp;

use super::Reconciler;
use crate::control::turn;
use crate::control::verdict::Goal;
use crate::engine::{Engine, EngineError};
use crate::plan::{ObservedContainer, RecordedFailure};

impl<E: Engine> Reconciler<E> {
    /// Signals what runs, one-off containers too, and what is about to be started again. What the stack
    /// file has no more is left out unless it is named or `orphans` are wanted. Returns the ids of
    /// those that end for it.
    pub(super) fn kill(&mut self, goal: &Goal, signal: i32, orphans: bool) -> Vec<String> {
        self.look_at_one_offs();
        let spared = |container: &ObservedContainer| {
            let service = self.desired.services.get(&container.record.service);
            let orphan = service.is_some_and(|service| service.orphan);
            orphan && goal.services.is_empty() && !orphans
        };
        let concerned = |container: &&ObservedContainer| {
            let is_there = container.is_up() || turn::is_restarted(container, &self.desired);
            is_there && !spared(container) && goal.concerns(&container.record.service)
        };
        let containers = self.observed.containers.values().filter(concerned);
        let ids: Vec<String> = containers.map(|c| c.record.id.clone()).collect();
        ids.into_iter()
            .flat_map(|id| self.kill_one(&id, signal))
            .collect()
    }

    /// Signals the container that somebody named; its id when it ends for it.
    pub(super) fn kill_named(&mut self, id: &str, signal: i32) -> Vec<String> {
        self.look_at_one_offs();
        self.kill_one(id, signal)
    }

    /// Whoever is attached to a one-off container has started it, and said nothing.
    fn look_at_one_offs(&mut self) {
        for container in self.observed.containers.values_mut() {
            if container.record.one_off
                && !container.is_up()
                && let Ok(Some(seen)) = self.engine.look(&container.record.id)
            {
                *container = seen;
            }
        }
    }

    /// Signals one container; its id when it ends for it.
    fn kill_one(&mut self, id: &str, signal: i32) -> Vec<String> {
        let Some(container) = self.observed.containers.get_mut(id) else {
            return Vec::new();
        };
        turn::signalled(container, signal, Timestamp::now());
        let container = container.clone();
        let name = &container.record.name;
        if !self.busy.contains_key(name) {
            // Before it is sent: nobody starts again what it ends.
            self.save_status(&container);
        }
        self.audience.killing(name);
        if !container.is_up() {
            self.audience.killed(name);
            return Vec::new();
        }
        match self.engine.signal(&container, signal) {
            Ok(()) => self.audience.killed(name),
            Err(error) => return self.not_signalled(name, &error),
        }
        match signal {
            nix::libc::SIGKILL => vec![id.to_owned()],
            _ => Vec::new(),
        }
    }

    fn not_signalled(&mut self, name: &str, error: &EngineError) -> Vec<String> {
        let failure = RecordedFailure {
            at: Timestamp::now(),
            message: error.story(),
        };
        self.observed.failures.insert(name.to_owned(), failure);
        Vec::new()
    }

    /// Whether one of these containers has not ended yet.
    pub(super) fn is_killing(&self, ids: &[String]) -> bool {
        let containers = &self.observed.containers;
        let is_up = |id: &String| containers.get(id).is_some_and(ObservedContainer::is_up);
        ids.iter().any(is_up)
    }
}
