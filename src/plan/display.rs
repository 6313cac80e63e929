//! The plan as text: what `stack plan` and `--dry-run` print and what tests compare.

use std::fmt;

use crate::compose::model::Condition;

use super::{After, Op, Plan, Step, Then};

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullImage { reference } => write!(f, "pull image {reference}"),
            Self::BuildImage { reference } => write!(f, "build image {reference}"),
            Self::CreateNetwork { name, .. } => write!(f, "create network {name}"),
            Self::RemoveNetwork { name, .. } => write!(f, "remove network {name}"),
            Self::CreateVolume { name, .. } => write!(f, "create volume {name}"),
            Self::RemoveVolume { name, .. } => write!(f, "remove volume {name}"),
            Self::CreateContainer { name, .. } => write!(f, "create container {name}"),
            Self::StartContainer { name, .. } => write!(f, "start container {name}"),
            Self::StopContainer {
                name,
                then: Then::StartAgain,
                ..
            } => write!(f, "stop container {name} to start it again"),
            Self::StopContainer { name, .. } => write!(f, "stop container {name}"),
            Self::RenewFiles {
                name, files, then, ..
            } => {
                let then: Vec<String> = then.iter().map(ToString::to_string).collect();
                let (files, then) = (files.join(", "), then.join(", "));
                write!(f, "renew {files} of container {name} and {then}")
            }
            Self::RenameContainer { name, to, .. } => write!(f, "rename container {name} to {to}"),
            Self::RemoveContainer { name, .. } => write!(f, "remove container {name}"),
        }
    }
}

impl Step {
    /// The step as one line: operation, cause, and what it waits for.
    fn line(&self) -> String {
        let mut line = format!("{}: {}", self.op, self.cause);
        let waits: Vec<String> = self
            .after
            .iter()
            .map(|after| match after {
                After::Step(step) => format!("{}", step + 1),
                After::Earlier { service } => format!("earlier replicas of {service}"),
                After::Ready { name } => format!("{name} ready"),
                After::Condition { service, condition } => {
                    let state = match condition {
                        Condition::ServiceStarted => "started",
                        Condition::ServiceHealthy => "healthy",
                        Condition::ServiceCompletedSuccessfully => "completed",
                    };
                    format!("{service} {state}")
                }
            })
            .collect();
        if !waits.is_empty() {
            line.push_str(&format!(" [after {}]", waits.join(", ")));
        }
        line
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:>3}. {}", index + 1, step.line())?;
        }
        for problem in &self.problems {
            writeln!(f, "  ! {}: {}", problem.service, problem.message)?;
        }
        Ok(())
    }
}
