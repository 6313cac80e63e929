//! `stack image ls`.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::short;
use crate::cli::choice::{Format, Written};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::images::names;
use crate::image::ImageSummary;
use crate::ui::{Table, words};

/// Flags of `image ls`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only images of this name, with or without tag.
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
    /// Print ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Do not shorten ids.
    #[arg(long)]
    no_trunc: bool,
    /// Show digests.
    #[arg(long)]
    digests: bool,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// An image as `docker image ls --format json` has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    containers: &'static str,
    created_at: String,
    created_since: String,
    digest: String,
    #[serde(rename = "ID")]
    id: String,
    repository: String,
    shared_size: &'static str,
    size: String,
    tag: String,
    unique_size: &'static str,
    virtual_size: String,
}

impl List {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let images = context.images()?.list()?;
        let rows = self.rows(&images, Timestamp::now());
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        self.print(&rows, &mut out)?;
        Ok(out.flush()?)
    }

    fn rows(&self, images: &[ImageSummary], now: Timestamp) -> Vec<Row> {
        let mut rows = Vec::new();
        for image in images {
            let none = || ("<none>".to_owned(), "<none>".to_owned());
            let mut named: Vec<_> = image.references.iter().map(names).collect();
            if named.is_empty() {
                named.push(none());
            }
            named.retain(|(repository, tag)| self.wants(repository, tag));
            rows.extend(named.into_iter().map(|name| self.row(image, name, now)));
        }
        rows
    }

    fn wants(&self, repository: &str, tag: &str) -> bool {
        let Some(wanted) = &self.name else {
            return true;
        };
        match wanted.rsplit_once(':') {
            // A colon before a slash is a registry's port.
            Some((name, wanted_tag)) if !wanted_tag.contains('/') => {
                name == repository && wanted_tag == tag
            }
            _ => wanted == repository,
        }
    }

    fn row(
        &self,
        image: &ImageSummary,
        (repository, tag): (String, String),
        now: Timestamp,
    ) -> Row {
        let created = |text: fn(Timestamp, Timestamp) -> String| {
            image
                .created
                .map_or("N/A".to_owned(), |created| text(created, now))
        };
        Row {
            containers: "N/A",
            created_at: created(|created, _| words::time(created)),
            created_since: created(words::ago),
            digest: image.manifest.to_string(),
            id: match self.no_trunc {
                true => image.id.to_string(),
                false => short(&image.id),
            },
            repository,
            shared_size: "N/A",
            size: words::size(image.size),
            tag,
            unique_size: "N/A",
            virtual_size: words::size(image.size),
        }
    }

    fn print(&self, rows: &[Row], out: &mut dyn Write) -> Result<()> {
        if self.quiet {
            for row in rows {
                writeln!(out, "{}", row.id)?;
            }
            return Ok(());
        }
        let heads = [("ID", "IMAGE ID"), ("CreatedSince", "CREATED")];
        if self.format.write_rows(rows, &heads, out)? == Written::Yes {
            return Ok(());
        }
        let head = match self.digests {
            true => vec!["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"],
            false => vec!["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"],
        };
        let mut table = Table::new(&head);
        for row in rows {
            let mut cells = vec![row.repository.clone(), row.tag.clone()];
            if self.digests {
                cells.push(row.digest.clone());
            }
            cells.extend([row.id.clone(), row.created_since.clone(), row.size.clone()]);
            table.row(cells);
        }
        Ok(table.write(out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;
    use clap::Parser;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        list: List,
    }

    fn printed(flags: &[&str]) -> String {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let image = |content: &[u8], names: &[&str]| ImageSummary {
            id: Digest::of(content),
            manifest: Digest::of(content),
            references: names.iter().map(|name| name.parse().unwrap()).collect(),
            size: 187_654_321,
            created: Some(Timestamp::from_second(1_699_900_000).unwrap()),
        };
        let images = [image(b"", &["nginx:1", "nginx"]), image(b"a", &[])];
        let list = Wrapper::try_parse_from([&["ls"], flags].concat())
            .unwrap()
            .list;
        let mut out = Vec::new();
        list.print(&list.rows(&images, now), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn there_is_a_row_for_each_name_in_docker_s_columns() {
        insta::assert_snapshot!(printed(&[]), @r"
        REPOSITORY   TAG       IMAGE ID       CREATED        SIZE
        nginx        1         e3b0c44298fc   28 hours ago   188MB
        nginx        latest    e3b0c44298fc   28 hours ago   188MB
        <none>       <none>    ca978112ca1b   28 hours ago   188MB
        ");
        assert_eq!(printed(&["-q", "nginx:1"]), "e3b0c44298fc\n");
        assert_eq!(printed(&["-q", "nginx"]).lines().count(), 2);
        assert_eq!(printed(&["-q", "redis"]), "");
    }

    #[test]
    fn json_has_docker_s_fields() {
        let text = printed(&["--format", "json", "nginx:1"]);
        insta::assert_snapshot!(text, @r#"{"Containers":"N/A","CreatedAt":"2023-11-13 18:26:40 +0000 UTC","CreatedSince":"28 hours ago","Digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","ID":"e3b0c44298fc","Repository":"nginx","SharedSize":"N/A","Size":"188MB","Tag":"1","UniqueSize":"N/A","VirtualSize":"188MB"}"#);
    }
}
