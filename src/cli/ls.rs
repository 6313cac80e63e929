//! `stack ls`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::choice::{Format, Written, json_line};
use super::containers::{Listed, listed};
use super::context::Context;
use super::error::{Error, Result};
use crate::engine::native::{observe, projects};
use crate::instance::Record;
use crate::plan::Observed;
use crate::ui::{Spacing, Table};

/// Flags of `ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// List projects of which nothing runs, too.
    #[arg(short, long)]
    all: bool,
    /// Print names only.
    #[arg(short, long)]
    quiet: bool,
    /// Only projects whose name has this in it (`name=TEXT`).
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
    /// Form of the list: `table`, `json`, a Go template, or `table` and a Go template.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// A project as Docker Compose's JSON has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    name: String,
    status: String,
    config_files: String,
    /// Of one of several copies of a project.
    #[serde(flatten)]
    instance: Option<Copy>,
}

/// What a copy of a project is one of.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Copy {
    instance: String,
    instance_of: String,
    directory: String,
}

impl From<Record> for Copy {
    fn from(record: Record) -> Self {
        Self {
            instance: record.name,
            instance_of: record.of,
            directory: record.working_dir.display().to_string(),
        }
    }
}

impl Ls {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let wanted = self.wanted()?;
        let mut by_project: BTreeMap<String, Observed> = BTreeMap::new();
        for name in projects(&context.paths)? {
            by_project.insert(name, Observed::default());
        }
        for (id, container) in observe(&context.paths, None)?.containers {
            let project = by_project
                .entry(container.record.project.clone())
                .or_default();
            project.containers.insert(id, container);
        }
        let mut rows = Vec::new();
        for (name, observed) in by_project {
            if !wanted.iter().all(|part| matches(&name, part)) {
                continue;
            }
            let desired = context.desired(&name)?;
            let mut list = listed(&observed, desired.as_ref());
            // Docker Compose counts what it lists.
            list.retain(|listed| self.all || listed.state.is_active());
            if list.is_empty() {
                continue;
            }
            let files: Vec<String> = desired
                .iter()
                .flat_map(|desired| &desired.files)
                .map(|file| file.display().to_string())
                .collect();
            rows.push(Row {
                instance: Record::read(&context.paths, &name)?.map(Copy::from),
                name,
                status: status(&list),
                config_files: files.join(","),
            });
        }
        let mut out = std::io::stdout().lock();
        self.print(&rows, &mut out)?;
        Ok(out.flush()?)
    }

    fn wanted(&self) -> Result<Vec<&str>> {
        let parts = self
            .filter
            .iter()
            .map(|filter| match filter.split_once('=') {
                Some(("name", part)) => Ok(part),
                _ => Err(Error::new(format!("`{filter}` is no filter"))
                    .hint("the only one is `name=TEXT`")),
            });
        parts.collect()
    }

    fn print(&self, rows: &[Row], out: &mut dyn Write) -> Result<()> {
        if self.quiet {
            for row in rows {
                writeln!(out, "{}", row.name)?;
            }
        } else if self.format == Format::Json {
            writeln!(out, "{}", json_line(&rows)?)?;
        } else if self.format.write_rows(rows, &[], out)? == Written::No {
            // Where there is no instance the table is Docker Compose's.
            let instances = rows.iter().any(|row| row.instance.is_some());
            let mut head = vec!["NAME", "STATUS", "CONFIG FILES"];
            if instances {
                head.extend(["INSTANCE OF", "DIRECTORY"]);
            }
            let mut table = Table::new(&head).spaced(Spacing::WIDE);
            for row in rows {
                let mut cells = vec![
                    row.name.clone(),
                    row.status.clone(),
                    row.config_files.clone(),
                ];
                if instances {
                    let copy = row.instance.as_ref();
                    cells.push(
                        copy.map(|copy| copy.instance_of.clone())
                            .unwrap_or_default(),
                    );
                    cells.push(copy.map(|copy| copy.directory.clone()).unwrap_or_default());
                }
                table.row(cells);
            }
            table.write(out)?;
        }
        Ok(())
    }
}

/// Whether a name has this in it; `^` and `$` stand for its ends, since Docker Compose takes a regular
/// expression here.
fn matches(name: &str, part: &str) -> bool {
    let (begins, part) = match part.strip_prefix('^') {
        Some(part) => (true, part),
        None => (false, part),
    };
    let (ends, part) = match part.strip_suffix('$') {
        Some(part) => (true, part),
        None => (false, part),
    };
    match (begins, ends) {
        (true, true) => name == part,
        (true, false) => name.starts_with(part),
        (false, true) => name.ends_with(part),
        (false, false) => name.contains(part),
    }
}

/// `exited(1), running(3)`.
fn status(list: &[Listed]) -> String {
    let words: BTreeSet<&str> = list.iter().map(|listed| listed.state.word()).collect();
    let parts = words.into_iter().map(|word| {
        let count = list
            .iter()
            .filter(|listed| listed.state.word() == word)
            .count();
        format!("{word}({count})")
    });
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::State;
    use crate::cli::containers::tests::{container, exited, running};

    #[test]
    fn the_ends_of_a_name_can_be_asked_for() {
        for (part, found) in [("ho", true), ("^sh", true), ("op$", true), ("^shop$", true)] {
            assert_eq!(matches("shop", part), found, "{part}");
        }
        for part in ["^ho", "ho$", "^sho$", "x"] {
            assert!(!matches("shop", part), "{part}");
        }
    }

    #[test]
    fn the_status_counts_states_in_alphabetical_order() {
        let one = |number, phase, state| Listed {
            container: container("web", number, phase),
            state,
        };
        let list = [
            one(1, running(), State::Running),
            one(2, exited(0), State::Exited),
            one(3, running(), State::Running),
        ];
        assert_eq!(status(&list), "exited(1), running(2)");
    }
}
