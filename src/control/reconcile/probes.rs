//! What probes found: taken in, written down, told, acted on.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{Reconciler, Report};
use crate::compose::model::ReadyProbe;
use crate::control::chronicle::{What, shortened};
use crate::control::health::{self, Prober};
use crate::control::turn;
use crate::engine::Engine;
use crate::plan::ObservedContainer;
use crate::state::journal::{Entry, note};
use crate::state::records::{HealthState, HealthStatus, ProbeRecord};

/// The program of `on_unhealthy: exec` may take this long, or as long as a probe when that is longer.
const REACTION: Duration = Duration::from_secs(30);

/// What a prober has found.
pub(super) struct HealthReport {
    id: String,
    /// Which run of the program it is about.
    started_at: Option<Timestamp>,
    state: HealthState,
    /// Probes keep to the interval: worth writing down each.
    regular: bool,
}

impl<E: Engine> Reconciler<E> {
    pub(super) fn stop_probing(&mut self, id: &str) {
        if let Some(prober) = self.probers.remove(id) {
            prober.abort();
        }
    }

    pub(super) fn probed(&mut self, report: HealthReport) {
        let answer = |container: &ObservedContainer| {
            let last = container.status.health.as_ref()?.log.last()?;
            Some((last.exit_code, last.output.clone()))
        };
        let before = self.observed.containers.get(&report.id).and_then(answer);
        let news = (report.started_at, report.state);
        let state = (&*self.desired, &mut self.observed);
        let Some(probed) = turn::probed(&report.id, news, state, Timestamp::now()) else {
            return; // A run that is over.
        };
        let Some(container) = self.observed.containers.get(&report.id).cloned() else {
            return;
        };
        // Before it is to be seen: whoever sees it finds it in the journal.
        if let Some(status) = probed.changed {
            let entry = Entry::of(&container.record, health::action(status));
            note(&self.paths, &entry);
        }
        // Of early probes, which come by the dozen, what is new.
        let is_new = report.regular || before != answer(&container);
        if probed.changed.is_some() || probed.run.is_some() || is_new {
            self.save_status(&container);
        }
        if let Some(status) = probed.changed {
            tracing::info!(container = container.record.name, ?status, "health");
            let last = container.status.health.as_ref();
            let last = last.and_then(|health| health.log.last());
            let output = last.map_or_else(String::new, |probe| shortened(&probe.output));
            self.chronicle(Some(&container.record), What::Health { status, output });
        }
        if let Some(command) = probed.run {
            self.react(container, command);
        }
    }

    /// Runs the program of `on_unhealthy: exec`.
    fn react(&mut self, container: ObservedContainer, command: Vec<String>) {
        let timeout = container.record.health.as_ref();
        let timeout = timeout.map_or(REACTION, |health| health.timeout.max(REACTION));
        let running = Arc::clone(&self.engine).run(container.clone(), command, timeout);
        self.tasks
            .spawn(async move { Report::Reacted(container, running.await) });
    }

    pub(super) fn reacted(&mut self, container: &ObservedContainer, done: &ProbeRecord) {
        tracing::info!(
            container = container.record.name,
            exit_code = done.exit_code,
            output = done.output,
            "ran `on_unhealthy: exec`"
        );
        let what = What::Ran {
            exit_code: done.exit_code,
            output: shortened(&done.output),
        };
        self.chronicle(Some(&container.record), what);
    }

    pub(super) fn save_status(&self, container: &ObservedContainer) {
        let saved = self
            .engine
            .save_status(&container.record.id, &container.status);
        if let Err(error) = saved {
            tracing::warn!(
                container = container.record.name,
                error = error.story(),
                "cannot write down what is known of it"
            );
        }
    }
}

/// Whether readiness, once found, holds for the rest of the run.
fn is_for_good(container: &ObservedContainer) -> bool {
    let ready = &container.record.template.x_stack.ready;
    matches!(ready, Some(ready) if matches!(ready.probe, ReadyProbe::Log(_)))
}

/// Probes a container's health for as long as it runs.
pub(super) async fn probe_for_ever<E: Engine>(
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
