//! `stack volume ls`.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde::Serialize;

use crate::cli::choice::{Format, Written};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::filter::{Filters, labels_text};
use crate::cli::objects::users;
use crate::engine::native::objects::{mountpoint, volumes};
use crate::state::records::VolumeRecord;
use crate::ui::Table;

const FILTERS: [&str; 6] = ["dangling", "driver", "label", "label!", "name", "scope"];

/// Heads of the table.
pub(in crate::cli) const HEAD: [&str; 2] = ["DRIVER", "VOLUME NAME"];
/// Heads of columns that are not the field's name.
pub(in crate::cli) const HEADS: [(&str, &str); 1] = [("Name", "VOLUME NAME")];

/// Flags of `volume ls`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those that fit: `name=…`, `label=KEY[=VALUE]`, `driver=…`, `dangling=BOOL`.
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Print names only.
    #[arg(short, long)]
    quiet: bool,
}

/// A volume as `docker volume ls --format json` has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::cli) struct Row {
    availability: &'static str,
    driver: &'static str,
    group: &'static str,
    labels: String,
    #[serde(skip)]
    each_label: BTreeMap<String, String>,
    links: &'static str,
    mountpoint: String,
    name: String,
    scope: &'static str,
    size: &'static str,
    status: &'static str,
}

impl Row {
    /// The row of a volume.
    pub(in crate::cli) fn new(context: &Context, record: &VolumeRecord) -> Self {
        Self {
            availability: "N/A",
            driver: "local",
            group: "N/A",
            labels: labels_text(&record.labels),
            each_label: record.labels.clone(),
            links: "N/A",
            mountpoint: mountpoint(&context.paths, &record.name)
                .display()
                .to_string(),
            name: record.name.clone(),
            scope: "local",
            size: "N/A",
            status: "N/A",
        }
    }

    /// Writes a list in one of the forms.
    pub(in crate::cli) fn write(
        rows: &[Self],
        (format, quiet): (&Format, bool),
        out: &mut dyn Write,
    ) -> Result<()> {
        if quiet {
            for row in rows {
                writeln!(out, "{}", row.name)?;
            }
            return Ok(());
        }
        let labels = |index: usize| rows.get(index).map(|row| &row.each_label);
        if format.write_labelled(rows, (&HEADS, &labels), out)? == Written::Yes {
            return Ok(());
        }
        let mut table = Table::new(&HEAD);
        for row in rows {
            table.row(vec![row.driver.to_owned(), row.name.clone()]);
        }
        Ok(table.write(out)?)
    }
}

impl List {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let filters = Filters::parse(&self.filter, &FILTERS)?;
        let mut records = volumes(&context.paths)?;
        records.retain(|record| fits(record, &filters));
        if let Some(dangling) = filters.truth("dangling")? {
            let users = users(context)?;
            records.retain(|record| users.of_volume(&record.name).next().is_none() == dangling);
        }
        let rows: Vec<Row> = records
            .iter()
            .map(|record| Row::new(context, record))
            .collect();
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        Row::write(&rows, (&self.format, self.quiet), &mut out)?;
        Ok(out.flush()?)
    }
}

fn fits(record: &VolumeRecord, filters: &Filters) -> bool {
    filters.any("name", |name| record.name.contains(name))
        && filters.any("driver", |driver| driver == "local")
        && filters.any("scope", |scope| scope == "local")
        && filters.labels(&record.labels)
}
