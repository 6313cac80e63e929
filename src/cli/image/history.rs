//! `stack image history`.

use std::io::Write;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{no_such_image, short};
use crate::cli::choice::{Format, Written};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::image::HistoryEntry;
use crate::ui::{Table, words};

/// Flags of `image history`.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Name of the image, its id, or the first digits of it.
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Sizes and times in words (`--human=false`: in numbers).
    #[arg(
        short = 'H',
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    human: bool,
    /// Do not shorten ids and commands.
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only.
    #[arg(short, long)]
    quiet: bool,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// A step as `docker history --format json` has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    comment: String,
    created_at: String,
    created_by: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    size: String,
}

impl History {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let store = context.images()?;
        let image = store.find(&self.image)?;
        let image = image.ok_or_else(|| no_such_image(&self.image))?;
        let history = store.history(&image)?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        self.print(&history, Timestamp::now(), &mut out)?;
        Ok(out.flush()?)
    }

    fn row(&self, entry: &HistoryEntry, now: Timestamp) -> Row {
        let id = entry.id.as_ref();
        let since = entry.created.map(|created| match self.human {
            true => words::ago(created, now),
            false => seconds(created),
        });
        Row {
            comment: entry.comment.clone(),
            created_at: entry.created.map(seconds).unwrap_or_default(),
            created_by: self.created_by(&entry.created_by),
            created_since: since.unwrap_or_else(|| "N/A".to_owned()),
            id: id.map_or("<missing>".to_owned(), |id| match self.no_trunc {
                true => id.to_string(),
                false => short(id),
            }),
            size: match self.human {
                true => words::size(entry.size),
                false => entry.size.to_string(),
            },
        }
    }

    /// One line of at most 45 characters, unless asked for all.
    fn created_by(&self, text: &str) -> String {
        const SHOWN: usize = 45;
        let line = text.replace('\t', " ");
        match self.no_trunc || line.chars().count() <= SHOWN {
            true => line,
            false => line.chars().take(SHOWN - 1).chain(['…']).collect(),
        }
    }

    fn print(&self, history: &[HistoryEntry], now: Timestamp, out: &mut dyn Write) -> Result<()> {
        let rows: Vec<Row> = history.iter().map(|entry| self.row(entry, now)).collect();
        if self.quiet {
            for row in &rows {
                writeln!(out, "{}", row.id)?;
            }
            return Ok(());
        }
        let heads = [("ID", "IMAGE"), ("CreatedSince", "CREATED")];
        if self.format.write_rows(&rows, &heads, out)? == Written::Yes {
            return Ok(());
        }
        let mut table = Table::new(&["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
        for row in rows {
            let created = match self.human {
                true => row.created_since,
                false => row.created_at,
            };
            table.row(vec![row.id, created, row.created_by, row.size, row.comment]);
        }
        Ok(table.write(out)?)
    }
}

/// `2026-01-02T03:04:05Z`: whole seconds, as Docker has it here.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::image::Digest;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        history: History,
    }

    fn printed(flags: &[&str]) -> String {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let entry = |created_by: &str, size| HistoryEntry {
            id: None,
            created: Some(Timestamp::from_second(1_699_900_000).unwrap()),
            created_by: created_by.to_owned(),
            comment: String::new(),
            size,
            tags: Default::default(),
        };
        let newest = HistoryEntry {
            id: Some(Digest::of(b"")),
            comment: "buildkit.dockerfile.v0".to_owned(),
            ..entry("CMD [\"nginx\"]", 0)
        };
        let below = entry(
            "RUN /bin/sh -c apt-get update && apt-get install -y nginx",
            78_000_000,
        );
        let history = Wrapper::try_parse_from([&["history", "x"], flags].concat());
        let mut out = Vec::new();
        let history = history.unwrap().history;
        history.print(&[newest, below], now, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn there_is_a_row_for_each_step_in_docker_s_columns() {
        insta::assert_snapshot!(printed(&[]), @r#"
        IMAGE          CREATED        CREATED BY                                      SIZE      COMMENT
        e3b0c44298fc   28 hours ago   CMD ["nginx"]                                   0B        buildkit.dockerfile.v0
        <missing>      28 hours ago   RUN /bin/sh -c apt-get update && apt-get ins…   78MB      
        "#);
        assert_eq!(printed(&["-q"]), "e3b0c44298fc\n<missing>\n");
        let numbers = printed(&["--human=false", "--no-trunc"]);
        assert!(numbers.contains("2023-11-13T18:26:40Z"), "{numbers}");
        assert!(numbers.contains("install -y nginx") && numbers.contains("78000000"));
    }

    #[test]
    fn json_has_docker_s_fields() {
        let text = printed(&["--format", "json"]);
        insta::assert_snapshot!(text.lines().next().unwrap(), @r#"{"Comment":"buildkit.dockerfile.v0","CreatedAt":"2023-11-13T18:26:40Z","CreatedBy":"CMD [\"nginx\"]","CreatedSince":"28 hours ago","ID":"e3b0c44298fc","Size":"0B"}"#);
        assert_eq!(printed(&["--format", "{{.Size}}"]), "0B\n78MB\n");
    }
}
