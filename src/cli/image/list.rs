//! `stack image ls`.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{no_such_image, short};
use crate::build::matches_path;
use crate::cli::choice::{Format, Written};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::filter::Filters;
use crate::cli::images::names;
use crate::image::{Digest, ImageSummary, Reference};
use crate::ui::{Table, words};

const FILTERS: [&str; 6] = [
    "before",
    "dangling",
    "label",
    "label!",
    "reference",
    "since",
];

/// Flags of `image ls`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only images of this name, with or without tag; `*` and `?` stand for what is between slashes.
    #[arg(value_name = "NAME[:TAG]")]
    name: Option<String>,
    /// Of Docker: also images that others are built on. Those have no entry of their own here.
    #[arg(short, long, hide = true)]
    all: bool,
    /// Only those that fit: `reference=PATTERN`, `dangling=BOOL`, `label=KEY[=VALUE]`, `before=IMAGE`,
    /// `since=IMAGE`.
    #[arg(short, long, value_name = "FILTER")]
    filter: Vec<String>,
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
        let store = context.images()?;
        let find = |text: &str| Ok(store.find(text)?.map(|image| image.id));
        let shown = shown(store.list()?, &self.filters()?, &find)?;
        let rows = self.rows(&shown, Timestamp::now());
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        self.print(&rows, &mut out)?;
        Ok(out.flush()?)
    }

    /// The filters; a name is one, too.
    fn filters(&self) -> Result<Filters> {
        let name = self.name.iter().map(|name| format!("reference={name}"));
        let texts: Vec<String> = self.filter.iter().cloned().chain(name).collect();
        Filters::parse(&texts, &FILTERS)
    }

    fn rows(&self, images: &[ImageSummary], now: Timestamp) -> Vec<Row> {
        let mut rows = Vec::new();
        for image in images {
            let named = image.references.iter().map(Some);
            let named: Vec<_> = match image.references.is_empty() {
                true => vec![None],
                false => named.collect(),
            };
            rows.extend(named.into_iter().map(|name| self.row(image, name, now)));
        }
        rows
    }

    fn row(&self, image: &ImageSummary, name: Option<&Reference>, now: Timestamp) -> Row {
        let none = || "<none>".to_owned();
        let (repository, tag) = name.map_or_else(|| (none(), none()), names);
        let mut digests = image.repo_digests.iter();
        let digest = digests.find(|digest| name.is_some_and(|name| name.shares_repository(digest)));
        let digest = digest.and_then(Reference::digest);
        let created = |text: fn(Timestamp, Timestamp) -> String| {
            image
                .created
                .map_or("N/A".to_owned(), |created| text(created, now))
        };
        Row {
            containers: "N/A",
            created_at: created(|created, _| words::time(created)),
            created_since: created(words::ago),
            digest: digest.map_or_else(none, Digest::to_string),
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

/// The images that the filters leave, each with the names that they leave. `find` knows which image is
/// meant by a name or an id.
fn shown(
    mut images: Vec<ImageSummary>,
    filters: &Filters,
    find: &dyn Fn(&str) -> Result<Option<Digest>>,
) -> Result<Vec<ImageSummary>> {
    let made = |text: &String| {
        let id = find(text)?.ok_or_else(|| no_such_image(text))?;
        let image = images.iter().find(|image| image.id == id);
        Ok(image.and_then(|image| image.created))
    };
    let before: Vec<Option<Timestamp>> = filters
        .values("before")
        .iter()
        .map(made)
        .collect::<Result<_>>()?;
    let since: Vec<Option<Timestamp>> = filters
        .values("since")
        .iter()
        .map(made)
        .collect::<Result<_>>()?;
    if let Some(dangling) = filters.truth("dangling")? {
        images.retain(|image| image.references.is_empty() == dangling);
    }
    images.retain(|image| {
        filters.labels(&image.labels)
            && before.iter().all(|before| image.created < *before)
            && since.iter().all(|since| image.created > *since)
    });
    let patterns = filters.values("reference");
    if patterns.is_empty() {
        return Ok(images);
    }
    for image in &mut images {
        let mut kept = Vec::new();
        for reference in std::mem::take(&mut image.references) {
            if matches_any(&reference, patterns)? {
                kept.push(reference);
            }
        }
        image.references = kept;
    }
    images.retain(|image| !image.references.is_empty());
    Ok(images)
}

/// Docker's rule: a pattern is held against the name with its tag, and against the name alone.
fn matches_any(reference: &Reference, patterns: &[String]) -> Result<bool> {
    let names = [reference.familiar(), reference.familiar_name()];
    for pattern in patterns {
        for name in &names {
            let matched = matches_path(pattern, name)
                .ok_or_else(|| Error::new(format!("syntax error in pattern `{pattern}`")))?;
            if matched {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            repo_digests: Vec::new(),
            size: 187_654_321,
            created: Some(Timestamp::from_second(1_699_900_000).unwrap()),
            labels: Default::default(),
        };
        let mut old = image(b"b", &["registry.example:5000/team/app:2"]);
        old.created = Some(Timestamp::from_second(1_600_000_000).unwrap());
        old.labels.insert("kind".to_owned(), "old".to_owned());
        let images = vec![image(b"", &["nginx:1", "nginx"]), image(b"a", &[]), old];
        let list = Wrapper::try_parse_from([&["ls"], flags].concat())
            .unwrap()
            .list;
        let find = |text: &str| Ok((text == "nginx").then(|| Digest::of(b"")));
        let shown = match shown(images, &list.filters().unwrap(), &find) {
            Ok(shown) => shown,
            Err(error) => return error.summary(),
        };
        let mut out = Vec::new();
        list.print(&list.rows(&shown, now), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn filters_leave_images_and_names() {
        let (nginx, none, app) = ("e3b0c44298fc\n", "ca978112ca1b\n", "3e23e8160039\n");
        for (filters, expected) in [
            (&["dangling=true"][..], none.to_owned()),
            (&["dangling=false"], [nginx, nginx, app].concat()),
            (&["label=kind"], app.to_owned()),
            (&["label=kind=new"], String::new()),
            (&["label!=kind"], [nginx, nginx, none].concat()),
            (&["before=nginx"], app.to_owned()),
            (&["since=nginx"], String::new()),
            (&["reference=ngi*"], [nginx, nginx].concat()),
            (&["reference=*:1"], nginx.to_owned()),
            (&["reference=*/app"], String::new()),
            (&["reference=*/*/app"], app.to_owned()),
            (
                &["reference=nginx:1", "reference=*/*/*:2"],
                [nginx, app].concat(),
            ),
            (&["dangling=true", "reference=*"], String::new()),
            (&["before=redis"], "no such image: redis".to_owned()),
            (&["reference=["], "syntax error in pattern `[`".to_owned()),
            (&["dangling=x"], "invalid filter 'dangling=x'".to_owned()),
        ] {
            let flags = filters.iter().flat_map(|text| ["--filter", *text]);
            let flags: Vec<&str> = ["-q"].into_iter().chain(flags).collect();
            assert_eq!(printed(&flags), expected, "{filters:?}");
        }
    }

    #[test]
    fn there_is_a_row_for_each_name_in_docker_s_columns() {
        insta::assert_snapshot!(printed(&["--filter", "label!=kind"]), @r"
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
        insta::assert_snapshot!(text, @r#"{"Containers":"N/A","CreatedAt":"2023-11-13 18:26:40 +0000 UTC","CreatedSince":"28 hours ago","Digest":"\u003cnone\u003e","ID":"e3b0c44298fc","Repository":"nginx","SharedSize":"N/A","Size":"188MB","Tag":"1","UniqueSize":"N/A","VirtualSize":"188MB"}"#);
    }
}
