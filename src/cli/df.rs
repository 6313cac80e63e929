//! `stack df`: what everything takes of the disk, as `docker system df` shows it.

use std::collections::HashSet;
use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::choice::{Format, Written, json_line};
use super::containers::{Listed, listed};
use super::context::Context;
use super::error::Result;
use super::images::names;
use crate::build::{Cache, Entry};
use crate::engine::native::observe;
use crate::image::{Digest, Usage};
use crate::state::disk_usage;
use crate::ui::{Table, words};

/// Flags of `df`.
#[derive(Debug, Args)]
pub(crate) struct Df {
    /// List each thing.
    #[arg(short, long)]
    verbose: bool,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// A kind of thing, as `docker system df --format json` has it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    active: String,
    reclaimable: String,
    size: String,
    total_count: String,
    r#type: &'static str,
}

/// Everything there is.
struct Found {
    usage: Usage,
    containers: Vec<(Listed, u64)>,
    volumes: Vec<(String, usize, u64)>,
    cache: Vec<Entry>,
}

/// Sums of one kind of thing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Sum {
    total: usize,
    active: usize,
    size: u64,
    reclaimable: u64,
}

impl Df {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let found = Found::look(context)?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        if self.verbose && self.format == Format::Table {
            found.write_all(&mut out)?;
            return Ok(out.flush()?);
        }
        let rows = found.rows();
        if self.format == Format::Json {
            for row in &rows {
                writeln!(out, "{}", json_line(row)?)?;
            }
        } else if self
            .format
            .write_rows(&rows, &[("TotalCount", "TOTAL")], &mut out)?
            == Written::No
        {
            let mut table = Table::new(&["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
            for row in rows {
                table.row(vec![
                    row.r#type.to_owned(),
                    row.total_count,
                    row.active,
                    row.size,
                    row.reclaimable,
                ]);
            }
            table.write(&mut out)?;
        }
        Ok(out.flush()?)
    }
}

impl Found {
    fn look(context: &Context) -> Result<Self> {
        let usage = context.images()?.usage()?;
        let observed = observe(&context.paths, None)?;
        let containers: Vec<(Listed, u64)> = listed(&observed, None)
            .into_iter()
            .map(|container| {
                let id = &container.container.record.id;
                let bytes = disk_usage(&context.paths.container(id).join("upper"));
                (container, bytes)
            })
            .collect();
        let mut volumes = Vec::new();
        for name in observed.volumes.keys() {
            let uses = containers.iter().filter(|(container, _)| {
                let mounts = &container.container.record.mounts;
                mounts.iter().any(|mount| mount.name == *name)
            });
            let bytes = disk_usage(&context.paths.volume(name).join("data"));
            volumes.push((name.clone(), uses.count(), bytes));
        }
        let cache = Cache::open(context.paths.root())?;
        let cache = cache.entries(|layer| usage.layers.get(layer).copied().unwrap_or(0));
        Ok(Self {
            usage,
            containers,
            volumes,
            cache,
        })
    }

    /// IDs of images that containers were made of.
    fn used(&self) -> HashSet<Digest> {
        let ids = self.containers.iter().map(|(listed, _)| listed);
        ids.filter_map(|listed| listed.container.record.image_id.parse().ok())
            .collect()
    }

    fn images(&self) -> Sum {
        images(&self.usage, &self.used())
    }

    fn named_layers(&self) -> HashSet<Digest> {
        let images = &self.usage.images;
        images
            .iter()
            .flat_map(|(_, parts)| parts.layers.iter().copied())
            .collect()
    }

    fn rows(&self) -> Vec<Row> {
        let of_containers = self
            .containers
            .iter()
            .fold(Sum::default(), |sum, (one, bytes)| {
                sum.with(one.state.is_active(), *bytes)
            });
        let of_volumes = self
            .volumes
            .iter()
            .fold(Sum::default(), |sum, (_, uses, bytes)| {
                sum.with(*uses > 0, *bytes)
            });
        let named = self.named_layers();
        let of_cache = self.cache.iter().fold(Sum::default(), |sum, entry| {
            let shared = entry.layer.is_some_and(|layer| named.contains(&layer));
            // What an image has is counted there.
            sum.with(false, if shared { 0 } else { entry.bytes })
        });
        vec![
            row("Images", self.images()),
            row("Containers", of_containers),
            row("Local Volumes", of_volumes),
            row("Build Cache", of_cache),
        ]
    }

    fn write_all(&self, out: &mut dyn std::io::Write) -> Result<()> {
        let now = Timestamp::now();
        let tables = [
            ("Images space usage", self.image_table(now)),
            ("Containers space usage", self.container_table(now)),
            ("Local Volumes space usage", self.volume_table()),
            ("Build cache usage", self.cache_table(now)),
        ];
        for (index, (head, table)) in tables.into_iter().enumerate() {
            let between = if index == 0 { "" } else { "\n" };
            writeln!(out, "{between}{head}:\n")?;
            table.write(out)?;
        }
        Ok(())
    }

    fn image_table(&self, now: Timestamp) -> Table {
        let mut table = Table::new(&[
            "REPOSITORY",
            "TAG",
            "IMAGE ID",
            "CREATED",
            "SIZE",
            "SHARED SIZE",
            "UNIQUE SIZE",
            "CONTAINERS",
        ]);
        for (at, (image, _)) in self.usage.images.iter().enumerate() {
            let shared = self.shared_with_others(at);
            let id = image.id.to_string();
            let uses = self
                .containers
                .iter()
                .filter(|(listed, _)| listed.container.record.image_id == id);
            let uses = uses.count();
            let mut rows: Vec<_> = image.references.iter().map(names).collect();
            if rows.is_empty() {
                rows.push(("<none>".to_owned(), "<none>".to_owned()));
            }
            for (repository, tag) in rows {
                table.row(vec![
                    repository,
                    tag,
                    image.id.short(),
                    ago(image.created, now),
                    words::size(image.size),
                    words::size(shared),
                    words::size(image.size.saturating_sub(shared)),
                    uses.to_string(),
                ]);
            }
        }
        table
    }

    /// Bytes of the layers of an image that others have, too.
    fn shared_with_others(&self, at: usize) -> u64 {
        let others = self.usage.images.iter().enumerate();
        let elsewhere: HashSet<&Digest> = others
            .filter(|(other, _)| *other != at)
            .flat_map(|(_, (_, parts))| &parts.layers)
            .collect();
        let own = self.usage.images[at].1.layers.iter();
        own.filter(|layer| elsewhere.contains(layer))
            .filter_map(|layer| self.usage.layers.get(layer))
            .sum()
    }

    fn container_table(&self, now: Timestamp) -> Table {
        let mut table = Table::new(&[
            "CONTAINER ID",
            "IMAGE",
            "SIZE",
            "CREATED",
            "STATUS",
            "NAMES",
        ]);
        for (listed, bytes) in &self.containers {
            let record = &listed.container.record;
            table.row(vec![
                record.id.chars().take(12).collect(),
                record.image.clone(),
                words::size(*bytes),
                ago(Some(record.created), now),
                listed.state.word().to_owned(),
                record.name.clone(),
            ]);
        }
        table
    }

    fn volume_table(&self) -> Table {
        let mut table = Table::new(&["VOLUME NAME", "LINKS", "SIZE"]);
        for (name, uses, bytes) in &self.volumes {
            table.row(vec![name.clone(), uses.to_string(), words::size(*bytes)]);
        }
        table
    }

    fn cache_table(&self, now: Timestamp) -> Table {
        let named = self.named_layers();
        let mut table = Table::new(&["CACHE ID", "STEP", "SIZE", "LAST USED", "SHARED"]);
        for entry in &self.cache {
            let shared = entry.layer.is_some_and(|layer| named.contains(&layer));
            table.row(vec![
                entry.id.chars().take(12).collect(),
                entry.text.clone(),
                words::size(entry.bytes),
                words::ago(entry.used, now),
                shared.to_string(),
            ]);
        }
        table
    }
}

fn ago(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or("N/A".to_owned(), |time| words::ago(time, now))
}

/// What images take, unpacked layers and blobs together; reclaimable is what no image with a container
/// needs.
fn images(usage: &Usage, used: &HashSet<Digest>) -> Sum {
    let mut all = (HashSet::new(), HashSet::new());
    let mut needed = (HashSet::new(), HashSet::new());
    let mut sum = Sum::default();
    for (image, parts) in &usage.images {
        sum.total += 1;
        all.0.extend(&parts.layers);
        all.1.extend(&parts.blobs);
        if used.contains(&image.id) {
            sum.active += 1;
            needed.0.extend(&parts.layers);
            needed.1.extend(&parts.blobs);
        }
    }
    let bytes = |(layers, blobs): &(HashSet<&Digest>, HashSet<&Digest>)| -> u64 {
        let layers = layers.iter().filter_map(|layer| usage.layers.get(*layer));
        let blobs = blobs.iter().filter_map(|blob| usage.blobs.get(*blob));
        layers.chain(blobs).sum()
    };
    sum.size = bytes(&all);
    sum.reclaimable = sum.size - bytes(&needed);
    sum
}

impl Sum {
    /// One thing more.
    fn with(self, active: bool, bytes: u64) -> Self {
        Self {
            total: self.total + 1,
            active: self.active + usize::from(active),
            size: self.size + bytes,
            reclaimable: self.reclaimable + if active { 0 } else { bytes },
        }
    }
}

fn row(name: &'static str, sum: Sum) -> Row {
    let share = (sum.reclaimable * 100).checked_div(sum.size);
    let reclaimable = words::size(sum.reclaimable);
    Row {
        active: sum.active.to_string(),
        reclaimable: match share.filter(|_| name != "Build Cache") {
            Some(share) => format!("{reclaimable} ({share}%)"),
            None => reclaimable,
        },
        size: words::size(sum.size),
        total_count: sum.total.to_string(),
        r#type: name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageSummary, Parts};

    #[test]
    fn layers_that_images_share_are_counted_once_and_stay_as_long_as_one_is_used() {
        let digest = |text: &str| Digest::of(text.as_bytes());
        let image = |name: &str, layers: &[&str]| {
            let summary = ImageSummary {
                id: digest(name),
                manifest: digest(name),
                references: Vec::new(),
                repo_digests: Vec::new(),
                size: 0,
                created: None,
                labels: Default::default(),
            };
            let parts = Parts {
                layers: layers.iter().map(|layer| digest(layer)).collect(),
                blobs: vec![digest(name)],
            };
            (summary, parts)
        };
        let usage = Usage {
            images: vec![image("a", &["base", "x"]), image("b", &["base", "y"])],
            layers: [("base", 1000), ("x", 100), ("y", 10), ("nobody", 5000)]
                .map(|(name, bytes)| (digest(name), bytes))
                .into(),
            blobs: [("a", 1), ("b", 2)]
                .map(|(name, bytes)| (digest(name), bytes))
                .into(),
        };
        for (used, active, reclaimable) in [
            (vec![], 0, 1113),
            (vec![digest("a")], 1, 12),
            (vec![digest("a"), digest("b")], 2, 0),
        ] {
            let sum = images(&usage, &used.into_iter().collect());
            assert_eq!((sum.total, sum.active), (2, active));
            assert_eq!((sum.size, sum.reclaimable), (1113, reclaimable));
        }
        let text = row(
            "Images",
            Sum {
                total: 2,
                active: 1,
                size: 2000,
                reclaimable: 500,
            },
        );
        assert_eq!(text.reclaimable, "500B (25%)");
        assert_eq!(row("Containers", Sum::default()).reclaimable, "0B");
    }
}
