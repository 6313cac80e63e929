//! How a project is, for programs. Pure.

use serde_json::{Value, json};

use crate::plan::{Desired, Observed, Phase, Plan, Run};

/// The services with their containers, the plan that is left, and what stands in its way.
pub(super) fn status(desired: &Desired, observed: &Observed, plan: &Plan) -> Value {
    let services: Vec<Value> = desired
        .services
        .iter()
        .map(|(name, service)| {
            let containers: Vec<Value> = observed
                .of_service(name)
                .map(|container| {
                    json!({
                        "id": container.record.id,
                        "name": container.record.name,
                        "number": container.record.number,
                        "state": state(&container.phase),
                        "pid": container.pid(),
                        "health": container.health(),
                        "restarts": container.status.restart_count,
                    })
                })
                .collect();
            json!({
                "service": name,
                "wanted": match service.run {
                    Run::Running => "running",
                    Run::Created => "created",
                    Run::Stopped => "stopped",
                },
                "replicas": service.replicas,
                "containers": containers,
            })
        })
        .collect();
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| json!({"do": step.op.to_string(), "because": step.cause.to_string(), "not_before": step.not_before}))
        .collect();
    let failures: Vec<&String> = observed
        .failures
        .values()
        .map(|failure| &failure.message)
        .collect();
    let problems: Vec<&String> = plan
        .problems
        .iter()
        .map(|problem| &problem.message)
        .collect();
    json!({
        "project": desired.project,
        "services": services,
        "plan": steps,
        "failures": failures,
        "problems": problems,
    })
}

fn state(phase: &Phase) -> &'static str {
    match phase {
        Phase::Created => "created",
        Phase::Running { .. } => "running",
        Phase::Paused { .. } => "paused",
        Phase::Exited(_) => "exited",
    }
}
