//! What becomes of updates: written down, and said.

use std::sync::Arc;

use jiff::Timestamp;

use super::Reconciler;
use crate::compose::model::ServiceName;
use crate::control::Event;
use crate::engine::Engine;
use crate::plan::{Outcome, Turn};

impl<E: Engine> Reconciler<E> {
    /// Writes turns down; `false` when that cannot be done, and then nothing follows from them yet.
    pub(super) fn take_turns(&mut self, turns: &[Turn]) -> bool {
        let now = Timestamp::now();
        let mut desired = (*self.desired).clone();
        for turn in turns {
            desired.turn(turn, now);
        }
        if let Err(error) = self.save(&desired) {
            tracing::error!(error = error.story(), "cannot write an update's turn down");
            return false;
        }
        self.engine.heed(&desired);
        self.desired = Arc::new(desired);
        for turn in turns {
            self.tell_turn(turn);
        }
        true
    }

    fn tell_turn(&mut self, turn: &Turn) {
        let service = &turn.service;
        let message = match &turn.outcome {
            Outcome::Complete => return,
            Outcome::Pause(reason) => format!("the update of {service} is paused: {reason}"),
            Outcome::RollBack(reason) => {
                self.forget_failures(service);
                format!("the update of {service} is rolled back: {reason}")
            }
        };
        tracing::warn!("{message}");
        self.audience.announce(&Event::Warning { message });
    }

    /// What failed is not what is tried next.
    fn forget_failures(&mut self, service: &ServiceName) {
        let Some(desired) = self.desired.services.get(service) else {
            return;
        };
        let name = |number| {
            self.desired
                .container_name(service, &desired.service, number)
        };
        let names: Vec<String> = (1..=desired.replicas).map(name).collect();
        self.observed.failures.retain(|subject, _| {
            // A container that stands beside another one has something before the name.
            let own = subject.split_once('_').map_or(&**subject, |(_, own)| own);
            !names.iter().any(|name| name == subject || name == own)
        });
    }
}
