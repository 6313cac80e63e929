//! What is put into the project's journal.

use jiff::Timestamp;

use super::Reconciler;
use crate::control::chronicle::{Entry, What};
use crate::control::verdict::service_of;
use crate::engine::Engine;
use crate::plan::Step;
use crate::state::records::ContainerRecord;

impl<E: Engine> Reconciler<E> {
    /// Writes what has happened to a container, or to the project, into the journal.
    pub(super) fn chronicle(&mut self, container: Option<&ContainerRecord>, what: What) {
        self.chronicle.note(&Entry {
            at: Timestamp::now(),
            service: container.map(|record| record.service.clone()),
            subject: container.map_or_else(String::new, |record| record.name.clone()),
            what,
        });
    }

    /// The same of an operation, and how it failed.
    pub(super) fn chronicle_step(&mut self, step: &Step, failure: Option<&str>) {
        let (op, because) = (step.op.to_string(), step.cause.to_string());
        let what = match failure {
            None => What::Did { op, because },
            Some(error) => What::Failed {
                op,
                because,
                error: error.to_owned(),
            },
        };
        self.chronicle.note(&Entry {
            at: Timestamp::now(),
            service: service_of(step, &self.observed),
            subject: step.op.subject().1.to_owned(),
            what,
        });
    }
}
