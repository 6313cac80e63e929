//! A container's start with all that is around it: what comes before, what it is given, what follows.

use std::sync::Arc;

use super::start::Begin;
use super::{Native, blocking};
use crate::engine::{Applied, EngineError, Note};
use crate::plan::{Desired, ObservedContainer};
use crate::state::journal::{Entry, note};

impl Native {
    /// Starts a container of a service: what is to come before, the program, what is to follow.
    pub(super) async fn start_replica(
        self: &Arc<Self>,
        container: ObservedContainer,
        desired: &Arc<Desired>,
    ) -> Result<Applied, EngineError> {
        // One that `run` made is started again as it is (Docker's engine).
        if container.record.one_off {
            let started = self.start_and_watch(container, Begin::AtOnce).await?;
            return Ok(Applied::Container(Box::new(started)));
        }
        self.pre_start(&container, desired).await?;
        let by_policy = container.status.restart_count > 0;
        let container = self.renew_before_start(container, desired).await?;
        let started = self.start_and_watch(container, Begin::AtOnce).await?;
        if by_policy || started.record.template.post_start.is_empty() {
            return Ok(Applied::Container(Box::new(started)));
        }
        self.note(Note::Started(started.clone()));
        Ok(match self.post_start(&started).await {
            Ok(()) => Applied::Container(Box::new(started)),
            Err(error) => Applied::Unready(Box::new(started), error),
        })
    }

    /// Starts a container and takes charge of it.
    pub(super) async fn start_and_watch(
        self: &Arc<Self>,
        container: ObservedContainer,
        begin: Begin,
    ) -> Result<ObservedContainer, EngineError> {
        let engine = Arc::clone(self);
        let again = container.status.interrupted;
        let launched = blocking(move || engine.start(&container, begin)).await?;
        let record = Arc::clone(&launched.container.record);
        note(&self.paths, &Entry::of(&record, "start"));
        if again {
            note(&self.paths, &Entry::of(&record, "restart"));
        }
        self.take_charge(launched)
    }
}
