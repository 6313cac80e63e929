//! Programs that run in a container beside its own: probes, and what tells it something.

use std::sync::Arc;
use std::time::Duration;

use super::{Native, blocking, ready, template};
use crate::engine::EngineError;
use crate::plan::ObservedContainer;
use crate::runtime::protocol::{ProbeRequest, ProbeResult};
use crate::state::read_json;

impl Native {
    /// Runs a program in a container: its exit code, -1 when it took too long, and its output.
    pub(super) async fn run_inside(
        self: Arc<Self>,
        container: ObservedContainer,
        command: Vec<String>,
        timeout: Duration,
    ) -> ready::Outcome {
        let result = blocking(move || self.probe_with(&container, command, timeout)).await;
        match result {
            Ok(ProbeResult {
                timed_out: true,
                output,
                ..
            }) => (-1, output),
            Ok(done) => (done.exit_code, done.output),
            Err(error) => (-1, error.story()),
        }
    }

    fn probe_with(
        &self,
        container: &ObservedContainer,
        command: Vec<String>,
        timeout: Duration,
    ) -> Result<ProbeResult, EngineError> {
        let record = &container.record;
        let path = self.paths.container(&record.id).join("config.json");
        let spec: oci_spec::runtime::Spec = read_json(&path)?.ok_or(EngineError::CutShort)?;
        let mut process = spec.process().clone().ok_or(EngineError::CutShort)?;
        process.set_args(Some(command)).set_terminal(Some(false));
        let image = self.image_by_id(&record.image_id, &record.image)?;
        let request = ProbeRequest {
            process,
            user: template::user(&record.template, &image),
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        };
        Ok(crate::runtime::client::probe(
            &self.paths.shim_socket(&record.id),
            request,
        )?)
    }
}
