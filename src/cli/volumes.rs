//! `stack volumes`: the volumes of a project.

use std::collections::BTreeSet;
use std::io::Write as _;

use clap::Args;

use super::choice::Format;
use super::containers;
use super::context::Context;
use super::error::Result;
use super::project::Project;
use super::volume::Row;
use crate::compose::model::ServiceName;
use crate::engine::native::objects::volumes;

/// Flags of `volumes`.
#[derive(Debug, Args)]
pub(crate) struct Volumes {
    /// Services whose volumes are listed; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Print names only.
    #[arg(short, long)]
    quiet: bool,
}

impl Volumes {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let services = project.known(&self.services)?;
        let mut records = volumes(&context.paths)?;
        // Those without a name are their containers' own business.
        records.retain(|record| record.project == project.name && !record.key.is_empty());
        if !services.is_empty() {
            let used = used_by(context, &project.name, &services)?;
            records.retain(|record| used.contains(&record.name));
        }
        let rows: Vec<Row> = records
            .iter()
            .map(|record| Row::new(context, record))
            .collect();
        let mut out = std::io::stdout().lock();
        Row::write(&rows, (&self.format, self.quiet), &mut out)?;
        Ok(out.flush()?)
    }
}

fn used_by(context: &Context, project: &str, services: &[ServiceName]) -> Result<BTreeSet<String>> {
    let containers = containers::of_services(context, project, services)?;
    let mounts = containers
        .iter()
        .flat_map(|container| &container.record.mounts);
    Ok(mounts
        .filter(|mount| mount.kind == "volume")
        .map(|mount| mount.name.clone())
        .collect())
}
