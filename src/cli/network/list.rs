//! `stack network ls`.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde::Serialize;

use crate::cli::choice::{Format, Written};
use crate::cli::containers::short_id;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::{Filters, labels_text};
use crate::cli::objects::users;
use crate::engine::native::networks;
use crate::state::records::NetworkRecord;
use crate::ui::{Table, words};

const FILTERS: [&str; 8] = [
    "dangling", "driver", "id", "label", "label!", "name", "scope", "type",
];

/// Flags of `network ls`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those that fit: `name=…`, `id=…`, `label=KEY[=VALUE]`, `driver=…`, `dangling=BOOL`.
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Do not shorten ids.
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only.
    #[arg(short, long)]
    quiet: bool,
}

/// A network as `docker network ls --format json` has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    created_at: String,
    driver: &'static str,
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "IPv4")]
    ipv4: String,
    #[serde(rename = "IPv6")]
    ipv6: String,
    internal: String,
    labels: String,
    #[serde(skip)]
    each_label: BTreeMap<String, String>,
    name: String,
    scope: &'static str,
}

impl List {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let filters = Filters::parse(&self.filter, &FILTERS)?;
        let mut records = networks(&context.paths)?;
        records.retain(|record| fits(record, &filters));
        if let Some(dangling) = filters.truth("dangling")? {
            let users = users(context)?;
            records.retain(|record| users.need_network(&record.name) != dangling);
        }
        records.sort_by(|a, b| a.name.cmp(&b.name));
        let rows: Vec<Row> = records.iter().map(|record| self.row(record)).collect();
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        self.print(&rows, &mut out)?;
        Ok(out.flush()?)
    }

    fn row(&self, record: &NetworkRecord) -> Row {
        let has = |v4: bool| {
            let mut subnets = record.subnets.iter();
            subnets.any(|subnet| subnet.subnet.is_ipv4() == v4)
        };
        Row {
            created_at: words::time(record.created),
            driver: "bridge",
            id: match self.no_trunc {
                true => record.id.clone(),
                false => short_id(&record.id).to_owned(),
            },
            ipv4: has(true).to_string(),
            ipv6: has(false).to_string(),
            internal: record.internal.to_string(),
            labels: labels_text(&record.labels),
            each_label: record.labels.clone(),
            name: record.name.clone(),
            scope: "local",
        }
    }

    fn print(&self, rows: &[Row], out: &mut dyn Write) -> Result<()> {
        if self.quiet {
            for row in rows {
                writeln!(out, "{}", row.id)?;
            }
            return Ok(());
        }
        let heads = [
            ("ID", "NETWORK ID"),
            ("IPv4", "IPV4"),
            ("IPv6", "IPV6"),
            ("CreatedAt", "CREATED"),
        ];
        let labels = |index: usize| rows.get(index).map(|row| &row.each_label);
        if self.format.write_labelled(rows, (&heads, &labels), out)? == Written::Yes {
            return Ok(());
        }
        let mut table = Table::new(&["NETWORK ID", "NAME", "DRIVER", "SCOPE"]);
        for row in rows {
            table.row(vec![
                row.id.clone(),
                row.name.clone(),
                row.driver.to_owned(),
                row.scope.to_owned(),
            ]);
        }
        Ok(table.write(out)?)
    }
}

fn fits(record: &NetworkRecord, filters: &Filters) -> bool {
    filters.any("name", |name| record.name.contains(name))
        && filters.any("id", |id| record.id.starts_with(id))
        && filters.any("driver", |driver| driver == "bridge")
        && filters.any("scope", |scope| scope == "local")
        && filters.any("type", |kind| kind == "custom")
        && filters.labels(&record.labels)
}
