//! `stack events`: what happens to containers, and what happened.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::choice::json_line;
use super::context::Context;
use super::error::Result;
use super::project::Project;
use super::time;
use crate::compose::model::ServiceName;
use crate::runtime::log::LogWatch;
use crate::state::journal::{Entry, From, Journal};
use crate::ui::text::one_line;

/// Flags of `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Services whose events are shown; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Print a JSON document for each event.
    #[arg(long)]
    json: bool,
    /// Begin with what happened since this time (2026-01-02T15:04:05Z) or so long ago (42m).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End with what happened before this time, which may be to come.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Which entries of the journal are shown.
#[derive(Debug)]
struct Wanted {
    project: String,
    services: Vec<ServiceName>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Wanted {
    fn has(&self, entry: &Entry) -> bool {
        let named = |name: &ServiceName| name.as_str() == entry.service;
        entry.project == self.project
            && !entry.one_off
            && (self.services.is_empty() || self.services.iter().any(named))
            && self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time <= until)
    }

    /// What is left to wait; `None` = until somebody interrupts.
    fn left(&self, now: Timestamp) -> Option<Duration> {
        let until = self.until?;
        Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
    }
}

/// An event as Docker Compose's JSON has it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    action: &'a str,
    attributes: &'a BTreeMap<String, String>,
    id: &'a str,
    service: &'a str,
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Events {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let now = Timestamp::now();
        let point = |text: &Option<String>| match text {
            Some(text) => time::point(text, now).map(Some),
            None => Ok(None),
        };
        let (since, until) = (point(&self.since)?, point(&self.until)?);
        let project = Project::find(context)?;
        let wanted = Wanted {
            services: project.known(&self.services)?,
            project: project.name,
            since,
            until,
        };
        let from = match wanted.since {
            Some(_) => From::Beginning,
            None => From::Now,
        };
        self.follow(Journal::open(&context.paths, from)?, &wanted)
    }

    fn follow(&self, mut journal: Journal, wanted: &Wanted) -> Result<()> {
        let mut watch = LogWatch::new()?;
        watch.add(journal.dir())?;
        let zone = TimeZone::system();
        let mut out = std::io::stdout().lock();
        loop {
            // Asked first: what is written until then is still read.
            let left = wanted.left(Timestamp::now());
            let entries = journal.read()?;
            for entry in entries.iter().filter(|entry| wanted.has(entry)) {
                self.write(entry, &zone, &mut out)?;
            }
            out.flush()?;
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(());
            }
            watch.wait(left);
        }
    }

    fn write(&self, entry: &Entry, zone: &TimeZone, out: &mut dyn Write) -> Result<()> {
        if !self.json {
            writeln!(out, "{}", line(entry, zone))?;
            return Ok(());
        }
        let offset = zone.to_offset(entry.time);
        let row = Row {
            action: &entry.action,
            attributes: &entry.attributes,
            id: &entry.id,
            service: &entry.service,
            time: match offset.is_zero() {
                true => entry.time.to_string(),
                false => entry.time.display_with_offset(offset).to_string(),
            },
            kind: "container",
        };
        writeln!(out, "{}", json_line(&row)?)?;
        Ok(())
    }
}

/// Docker Compose's line: `2026-01-02 03:04:05.678901 container start <id> (image=…, name=…)`.
fn line(entry: &Entry, zone: &TimeZone) -> String {
    let time = entry.time.to_zoned(zone.clone());
    let attributes: Vec<String> = entry
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let text = format!(
        "{} container {} {} ({})",
        time.strftime("%Y-%m-%d %H:%M:%S%.6f"),
        entry.action,
        entry.id,
        attributes.join(", ")
    );
    one_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{at, container, running};

    fn entry() -> Entry {
        let mut container = container("web", 1, running());
        let record = std::sync::Arc::make_mut(&mut container.record);
        record.labels = [("mine", "yes"), ("com.docker.compose.service", "web")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Entry::of(record, "die").with("exitCode", 3).at(at(0))
    }

    fn written(json: bool, zone: &TimeZone) -> String {
        let events = Events {
            services: Vec::new(),
            json,
            since: None,
            until: None,
        };
        let mut out = Vec::new();
        events.write(&entry(), zone, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_and_documents_are_docker_compose_s() {
        insta::assert_snapshot!(written(false, &TimeZone::UTC), @"2023-11-14 22:13:20.000000 container die 0000000000000000000000000000000000000000000000000000000000000001 (exitCode=3, image=nginx:1, mine=yes, name=shop-web-1)");
        insta::assert_snapshot!(written(true, &TimeZone::UTC), @r#"{"action":"die","attributes":{"exitCode":"3","image":"nginx:1","mine":"yes","name":"shop-web-1"},"id":"0000000000000000000000000000000000000000000000000000000000000001","service":"web","time":"2023-11-14T22:13:20Z","type":"container"}"#);
        let east = TimeZone::fixed(jiff::tz::offset(2));
        assert!(written(true, &east).contains("\"time\":\"2023-11-15T00:13:20+02:00\""));
    }

    #[test]
    fn only_what_was_asked_for_is_shown() {
        let wanted = |change: fn(&mut Wanted)| {
            let mut wanted = Wanted {
                project: "shop".to_owned(),
                services: Vec::new(),
                since: None,
                until: None,
            };
            change(&mut wanted);
            wanted.has(&entry())
        };
        assert!(wanted(|_| {}));
        assert!(wanted(
            |wanted| wanted.services = vec![ServiceName::new("web")]
        ));
        assert!(wanted(|wanted| wanted.since = Some(at(0))));
        assert!(!wanted(|wanted| wanted.project = "other".to_owned()));
        assert!(!wanted(
            |wanted| wanted.services = vec![ServiceName::new("db")]
        ));
        assert!(!wanted(|wanted| wanted.since = Some(at(1))));
        assert!(!wanted(|wanted| wanted.until = Some(at(-1))));
        let mut one_off = entry();
        one_off.one_off = true;
        let all = Wanted {
            project: "shop".to_owned(),
            services: Vec::new(),
            since: None,
            until: None,
        };
        assert!(!all.has(&one_off));
    }
}
