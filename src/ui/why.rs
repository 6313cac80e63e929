//! Why a service is as it is, in sentences.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::words;
use crate::control::why::{Container, Ended, Health, Why, said};
use crate::state::records::HealthStatus;

impl Why {
    /// The explanation in sentences; times of day are those of `zone`.
    pub fn text(&self, now: Timestamp, zone: &TimeZone) -> String {
        let mut text = format!("{}\n", self.summary());
        for container in &self.containers {
            let _ = writeln!(text, "\n{}", container.sentence(now));
        }
        if !self.problems.is_empty() {
            text.push_str("\nIn the way:\n");
            for problem in &self.problems {
                let _ = writeln!(text, "  {problem}");
            }
        }
        self.steps_text(&mut text, now);
        if !self.history.is_empty() {
            text.push_str("\nWhat happened, the latest last:\n");
            for entry in &self.history {
                let at = entry.at.to_zoned(zone.clone()).strftime("%H:%M:%S%.3f");
                let _ = writeln!(text, "  {at}  {}", entry.what);
            }
        }
        for container in self.containers.iter().filter(|c| !c.log.is_empty()) {
            let _ = writeln!(text, "\nThe last lines of {}:", container.name);
            for line in &container.log {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    fn summary(&self) -> String {
        let service = &self.service;
        let up = self.containers.iter().filter(|c| c.is_up()).count();
        let count = match self.replicas {
            1 => "1 container is".to_owned(),
            many => format!("{many} containers are"),
        };
        match self.wanted {
            "running" => format!("{service}: {count} to run, {up} {}.", verb(up)),
            "created" => format!(
                "{service}: {count} to exist, not to run; {up} {}.",
                verb(up)
            ),
            "stopped" => format!("{service} was stopped by a command; {up} {}.", verb(up)),
            "gone" => format!("{service} is to go; {up} {}.", verb(up)),
            _ => format!("{service} has not been brought up."),
        }
    }

    fn steps_text(&self, text: &mut String, now: Timestamp) {
        if self.steps.is_empty() {
            return;
        }
        text.push_str("\nTo be done:\n");
        for step in &self.steps {
            let _ = writeln!(text, "  {}, because {}", step.what, step.because);
            if let Some(due) = step.not_before {
                let _ = writeln!(text, "    not before {}", in_time(due, now));
            }
            for wait in &step.waits_for {
                let _ = writeln!(text, "    waits for {wait}");
            }
            if let Some(failed) = &step.failed {
                let _ = writeln!(
                    text,
                    "    failed, and is tried again by the next command: {failed}"
                );
            }
        }
        if !self.supervisor {
            text.push_str("  Nobody does it now: no supervisor runs. `stack up -d` starts one.\n");
        }
    }
}

fn verb(count: usize) -> &'static str {
    match count {
        1 => "runs",
        _ => "run",
    }
}

/// A time that is to come, from now.
fn in_time(due: Timestamp, now: Timestamp) -> String {
    let left = words::between(now, due);
    match left.as_secs() {
        0 => format!("{} ms from now", left.as_millis()),
        1..60 => format!("{:.1} s from now", left.as_secs_f64()),
        _ => format!("{} from now", words::duration(left)),
    }
}

impl Container {
    fn is_up(&self) -> bool {
        matches!(self.state, "running" | "paused")
    }

    fn sentence(&self, now: Timestamp) -> String {
        let name = &self.name;
        let restarts = match self.restarts {
            0 => String::new(),
            1 => " It was started again once since the last command.".to_owned(),
            many => format!(" It was started again {many} times since the last command."),
        };
        let since = self.started_at.map_or_else(String::new, |started| {
            format!(
                " for {}",
                lower(&words::duration(words::between(started, now)))
            )
        });
        match (self.state, &self.exit) {
            ("created", _) => format!("{name} was made and has not been started."),
            ("paused", _) => format!(
                "{name} is paused; it was started {} ago.{restarts}",
                since.trim_start_matches(" for ")
            ),
            (_, Some(exit)) => format!("{name} {}{restarts}", self.end(exit, now)),
            _ => {
                let health = self
                    .health
                    .as_ref()
                    .map_or_else(String::new, Health::sentence);
                format!("{name} has run{since}.{health}{restarts}")
            }
        }
    }

    fn end(&self, exit: &Ended, now: Timestamp) -> String {
        let ago = lower(&words::ago(exit.at, now));
        let signal = exit
            .signal
            .and_then(|signal| nix::sys::signal::Signal::try_from(signal).ok())
            .map_or_else(String::new, |signal| format!(" ({signal})"));
        let then = match (self.next_start, self.starts_again) {
            (Some(due), _) => format!(" It is started again {}.", in_time(due, now)),
            (None, true) => " It is about to be started again.".to_owned(),
            (None, false) if self.by_hand == Some("stopped") => {
                " It was stopped alone, and stays so until it or its service is started.".to_owned()
            }
            (None, false) if self.policy.is_empty() => String::new(),
            (None, false) if self.by_hand == Some("killed") => format!(
                " It was killed: `restart: {}` does not start it again then.",
                self.policy
            ),
            (None, false) => format!(" `restart: {}` leaves it as it is.", self.policy),
        };
        let words = exit.words.trim_end_matches('.');
        format!("{words}{signal} {ago}.{then}")
    }
}

impl Health {
    fn sentence(&self) -> String {
        let failures = match self.failing_streak {
            0 => String::new(),
            1 => " after a failure".to_owned(),
            many => format!(" after {many} failures in a row"),
        };
        match self.status {
            HealthStatus::Healthy => " It is healthy.".to_owned(),
            HealthStatus::Starting => format!(" It is not healthy yet{}.", said(&self.output)),
            HealthStatus::Unhealthy => {
                format!(" It is unhealthy{failures}{}.", said(&self.output))
            }
        }
    }
}

/// A phrase in the middle of a sentence.
fn lower(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
