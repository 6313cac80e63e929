//! `stack container ls`: what `docker ps` shows.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::choice::{Format, Written};
use crate::cli::containers::{Listed, listed, ports_text, short_id};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::{Filters, labels_text};
use crate::cli::inspect::size_of;
use crate::cli::ps::{command_text, mount_text};
use crate::engine::native::observe;
use crate::plan::Observed;
use crate::ui::{Table, words};

const FILTERS: [&str; 11] = [
    "ancestor", "exited", "health", "id", "label", "label!", "name", "network", "project",
    "status", "volume",
];

/// Heads of columns that are not the field's name.
const HEADS: [(&str, &str); 4] = [
    ("ID", "CONTAINER ID"),
    ("RunningFor", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("LocalVolumes", "LOCAL VOLUMES"),
];

/// Flags of `container ls`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// List containers that do not run, too.
    #[arg(short, long)]
    all: bool,
    /// Only those that fit: `name=…`, `label=KEY[=VALUE]`, `status=…`, `id=…`, `network=…`.
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// The last ones made, in whatever state.
    #[arg(
        short = 'n',
        long,
        value_name = "NUMBER",
        default_value_t = -1,
        allow_negative_numbers = true,
        hide_default_value = true
    )]
    last: i64,
    /// The last one made, in whatever state.
    #[arg(short, long)]
    latest: bool,
    /// Do not shorten ids and commands.
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Say how much they take on the disk.
    #[arg(short, long)]
    size: bool,
}

/// A container as `docker ps --format json` has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    command: String,
    created_at: String,
    #[serde(rename = "ID")]
    id: String,
    image: String,
    labels: String,
    local_volumes: String,
    mounts: String,
    names: String,
    networks: String,
    ports: String,
    running_for: String,
    size: String,
    state: &'static str,
    status: String,
}

impl List {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let filters = Filters::parse(&self.filter, &FILTERS)?;
        let mut list = everything(context)?;
        // Docker: the newest first.
        list.sort_by_key(|listed| std::cmp::Reverse(listed.record().created));
        let last = match (self.latest, usize::try_from(self.last)) {
            (true, _) => Some(1),
            (false, last) => last.ok(),
        };
        let any_state = self.all || last.is_some();
        let any_state = any_state || !filters.values("status").is_empty();
        list.retain(|listed| (any_state || listed.state.is_active()) && fits(listed, &filters));
        list.truncate(last.unwrap_or(usize::MAX));
        let now = Timestamp::now();
        let rows: Vec<Row> = list
            .iter()
            .map(|listed| self.row(context, listed, now))
            .collect();
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        self.print(&list, &rows, &mut out)?;
        Ok(out.flush()?)
    }

    fn row(&self, context: &Context, listed: &Listed, now: Timestamp) -> Row {
        let record = listed.record();
        let mounts: Vec<String> = record.mounts.iter().map(mount_text).collect();
        let networks: Vec<&str> = record
            .networks
            .iter()
            .map(|network| network.network.as_str())
            .collect();
        let volumes = record.mounts.iter().filter(|mount| mount.kind == "volume");
        let size = match self.size {
            true => size_of(&context.paths.container(&record.id).join("upper")),
            false => 0,
        };
        Row {
            command: command_text(&record.command, self.no_trunc),
            created_at: words::time(record.created),
            id: match self.no_trunc {
                true => record.id.clone(),
                false => short_id(&record.id).to_owned(),
            },
            image: record.image.clone(),
            labels: labels_text(&record.labels),
            local_volumes: volumes.count().to_string(),
            mounts: mounts.join(","),
            names: record.name.clone(),
            networks: networks.join(","),
            ports: ports_text(listed),
            running_for: words::ago(record.created, now),
            size: words::size(size),
            state: listed.state.word(),
            status: listed.status(now),
        }
    }

    fn print(&self, list: &[Listed], rows: &[Row], out: &mut dyn Write) -> Result<()> {
        if self.quiet {
            for row in rows {
                writeln!(out, "{}", row.id)?;
            }
            return Ok(());
        }
        let labels = |index: usize| list.get(index).map(|one: &Listed| &one.record().labels);
        let written = self.format.write_labelled(rows, (&HEADS, &labels), out)?;
        if written == Written::Yes {
            return Ok(());
        }
        let mut head = vec![
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES",
        ];
        if self.size {
            head.push("SIZE");
        }
        let mut table = Table::new(&head);
        for row in rows {
            let mut cells = vec![
                &row.id,
                &row.image,
                &row.command,
                &row.running_for,
                &row.status,
                &row.ports,
                &row.names,
            ];
            if self.size {
                cells.push(&row.size);
            }
            table.row(cells.into_iter().cloned().collect());
        }
        Ok(table.write(out)?)
    }
}

/// All containers with their states: what a project is going to restart, its desired state says.
fn everything(context: &Context) -> Result<Vec<Listed>> {
    let mut by_project: BTreeMap<String, Observed> = BTreeMap::new();
    for (id, container) in observe(&context.paths, None)?.containers {
        let project = container.record.project.clone();
        let observed = by_project.entry(project).or_default();
        observed.containers.insert(id, container);
    }
    let mut all = Vec::new();
    for (project, observed) in by_project {
        all.extend(listed(&observed, context.desired(&project)?.as_ref()));
    }
    Ok(all)
}

fn fits(listed: &Listed, filters: &Filters) -> bool {
    let record = listed.record();
    let health = match listed.health() {
        "" => "none",
        health => health,
    };
    let exited = |code: &str| {
        let ended = listed.container.started_at().is_some() && !listed.container.is_up();
        ended && code.parse() == Ok(listed.exit_code())
    };
    let image = |image: &str| {
        let digits = record.image_id.trim_start_matches("sha256:");
        record.image == image
            || record.image.split(':').next() == Some(image)
            || (image.len() >= 6 && digits.starts_with(image.trim_start_matches("sha256:")))
    };
    let mounts = |text: &str| {
        let mut mounts = record.mounts.iter();
        mounts.any(|mount| mount.name == text || mount.destination == text)
    };
    filters.any("name", |name| {
        name_fits(&record.name, name.trim_start_matches('/'))
    }) && filters.any("id", |id| record.id.starts_with(id))
        && filters.any("status", |state| listed.state.word() == state)
        && filters.any("health", |wanted| wanted == health)
        && filters.any("exited", exited)
        && filters.any("ancestor", image)
        && filters.any("volume", mounts)
        && filters.any("project", |project| record.project == project)
        && filters.any("network", |network| {
            let mut networks = record.networks.iter();
            networks.any(|request| request.network == network)
        })
        && filters.labels(&record.labels)
}

/// A part of the name; `^` and `$` are its ends, as in Docker's patterns.
fn name_fits(name: &str, pattern: &str) -> bool {
    let start = pattern.strip_prefix('^');
    let rest = start.unwrap_or(pattern).trim_start_matches('/');
    let end = rest.strip_suffix('$');
    let text = end.unwrap_or(rest);
    match (start.is_some(), end.is_some()) {
        (true, true) => name == text,
        (true, false) => name.starts_with(text),
        (false, true) => name.ends_with(text),
        (false, false) => name.contains(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::State;
    use crate::cli::containers::tests::{container, exited};

    #[test]
    fn filters_are_docker_s() {
        let listed = Listed {
            container: container("web", 1, exited(3)),
            state: State::Exited,
        };
        for (filter, fit) in [
            ("name=web", true),
            ("name=^shop-web-1$", true),
            ("name=^web", false),
            ("name=^/shop", true),
            ("id=0000", true),
            ("status=exited", true),
            ("status=running", false),
            ("exited=3", true),
            ("exited=0", false),
            ("health=none", true),
            ("ancestor=nginx", true),
            ("ancestor=nginx:2", false),
            ("project=shop", true),
            ("network=x", false),
            ("volume=x", false),
            ("label=x", false),
        ] {
            let filters = Filters::parse(&[filter.to_owned()], &FILTERS).unwrap();
            assert_eq!(fits(&listed, &filters), fit, "{filter}");
        }
    }
}
