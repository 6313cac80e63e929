//! `stack images`: the images that a project's containers are made of.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::choice::{Format, Written, json_line};
use super::containers;
use super::context::Context;
use super::error::Result;
use super::project::Project;
use crate::engine::native::observe;
use crate::image::{Digest, Image, ImageStore, InUse, Reference};
use crate::runtime::bundle::{Bundle, ShimConfig};
use crate::state::read_json;
use crate::ui::{Spacing, Table, words};

/// Flags of `images`.
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Services whose images are listed; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Print ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// One container's image, as Docker Compose's JSON has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "ID")]
    id: String,
    container_name: String,
    repository: String,
    tag: String,
    platform: String,
    size: u64,
    created: Option<Timestamp>,
}

impl Images {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let project = Project::find(context)?;
        let services = project.known(&self.services)?;
        let store = context.images()?;
        let mut images: HashMap<String, Option<Image>> = HashMap::new();
        let mut rows = Vec::new();
        for container in containers::of_services(context, &project.name, &services)? {
            let record = &container.record;
            if !images.contains_key(&record.image_id) {
                let image = match record.image_id.parse::<Digest>() {
                    Ok(id) => store.get_by_id(&id)?,
                    Err(_) => None,
                };
                images.insert(record.image_id.clone(), image);
            }
            let image = images.get(&record.image_id).and_then(Option::as_ref);
            rows.push(row(&record.name, (&record.image, &record.image_id), image));
        }
        rows.sort_by(|a, b| a.container_name.cmp(&b.container_name));
        self.print(&rows)
    }

    fn print(&self, rows: &[Row]) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if self.quiet {
            let ids: std::collections::BTreeSet<&str> = rows
                .iter()
                .map(|row| row.id.strip_prefix("sha256:").unwrap_or(&row.id))
                .collect();
            for id in ids {
                writeln!(out, "{id}")?;
            }
        } else if self.format == Format::Json {
            writeln!(out, "{}", json_line(&rows)?)?;
        } else if self
            .format
            .write_rows(rows, &[("ID", "IMAGE ID")], &mut out)?
            == Written::No
        {
            let now = Timestamp::now();
            let head = [
                "CONTAINER",
                "REPOSITORY",
                "TAG",
                "PLATFORM",
                "IMAGE ID",
                "SIZE",
                "CREATED",
            ];
            let mut table = Table::new(&head).spaced(Spacing::WIDE);
            for row in rows {
                table.row(vec![
                    row.container_name.clone(),
                    row.repository.clone(),
                    row.tag.clone(),
                    row.platform.clone(),
                    short(&row.id),
                    words::size(row.size),
                    row.created
                        .map_or("N/A".to_owned(), |created| words::ago(created, now)),
                ]);
            }
            table.write(&mut out)?;
        }
        Ok(out.flush()?)
    }
}

fn row(container: &str, (text, id): (&str, &str), image: Option<&Image>) -> Row {
    let (repository, tag) = repository_and_tag(text);
    let platform = image.map(|image| {
        let config = &image.config;
        format!("{}/{}", config.os(), config.architecture())
    });
    Row {
        id: id.to_owned(),
        container_name: container.to_owned(),
        repository,
        tag,
        platform: platform.unwrap_or_default(),
        size: image.map_or(0, |image| image.size),
        created: image.and_then(|image| image.created),
    }
}

/// The two columns of an image's name; `<none>` for what it does not have.
fn repository_and_tag(text: &str) -> (String, String) {
    match text.parse::<Reference>() {
        Ok(reference) => names(&reference),
        Err(_) => (text.to_owned(), "<none>".to_owned()),
    }
}

/// The two columns of a reference.
pub(super) fn names(reference: &Reference) -> (String, String) {
    let tag = reference.tag().unwrap_or("<none>").to_owned();
    (reference.familiar_name(), tag)
}

/// Twelve digits of an id.
pub(super) fn short(id: &str) -> String {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.chars().take(12).collect()
}

/// What containers of any project need of the store. To be asked for after the right to delete was got.
pub(super) fn in_use(context: &Context, store: &ImageStore) -> Result<InUse> {
    in_use_besides(context, store, &BTreeSet::new())
}

/// The same without these containers.
pub(super) fn in_use_besides(
    context: &Context,
    store: &ImageStore,
    gone: &BTreeSet<&String>,
) -> Result<InUse> {
    let mut in_use = InUse::default();
    let mut containers = observe(&context.paths, None)?.containers;
    containers.retain(|id, _| !gone.contains(id));
    for (id, container) in containers {
        let image = container.record.image_id.parse::<Digest>().ok();
        in_use.images.extend(image);
        let bundle = Bundle::new(context.paths.container(&id));
        match read_json::<ShimConfig>(&bundle.shim_config())? {
            Some(config) => in_use.layers.extend(config.rootfs.lower),
            // A container that is just being made: its image has them.
            None => {
                if let Some(id) = image
                    && let Some(image) = store.get_by_id(&id)?
                {
                    in_use.layers.extend(image.layers);
                }
            }
        }
    }
    Ok(in_use)
}
