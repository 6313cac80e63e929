//! Programs that run in a container beside its own: probes, and what tells it something.

use std::sync::Arc;
use std::time::Duration;

use super::{Native, blocking, ready, template};
use crate::compose::go_duration;
use crate::engine::EngineError;
use crate::plan::ObservedContainer;
use crate::runtime::protocol::{ProbeRequest, ProbeResult};
use crate::state::read_json;

/// How a program in a container ended.
pub(super) enum Ended {
    InTime(ready::Outcome),
    /// It was killed; what it had written.
    Late(String),
}

/// The exit code of what took too long, or could not be run.
pub(super) const LATE: i32 = -1;

/// What Docker's health log says of a check that took too long.
pub(super) fn exceeded(timeout: Duration, output: &str) -> String {
    let timeout = go_duration(timeout);
    match output {
        "" => format!("Health check exceeded timeout ({timeout})"),
        output => format!("Health check exceeded timeout ({timeout}): {output}"),
    }
}

impl Native {
    /// Runs a program in a container.
    pub(super) async fn run_inside(
        self: Arc<Self>,
        container: ObservedContainer,
        command: Vec<String>,
        timeout: Duration,
    ) -> Ended {
        let result = blocking(move || self.probe_with(&container, command, timeout)).await;
        match result {
            Ok(ProbeResult {
                timed_out: true,
                output,
                ..
            }) => Ended::Late(output),
            Ok(done) => Ended::InTime((done.exit_code, done.output)),
            Err(error) => Ended::InTime((LATE, error.story())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_took_too_long_is_told_with_what_it_wrote() {
        let timeout = Duration::from_millis(200);
        assert_eq!(
            exceeded(timeout, ""),
            "Health check exceeded timeout (200ms)"
        );
        assert_eq!(
            exceeded(timeout, "half"),
            "Health check exceeded timeout (200ms): half"
        );
    }
}
