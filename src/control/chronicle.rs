//! What was done to a project and what happened to it, for people who ask why.
//!
//! One JSON document a line in `chronicle.jsonl` of the project's directory. When that file is full it
//! becomes `chronicle.1.jsonl`, and the one before it goes: the chronicle is bounded. The loop itself
//! never reads it: what it must remember is elsewhere. It goes with the project.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::compose::model::ServiceName;
use crate::plan::RecordedFailure;
use crate::state::Paths;
use crate::state::records::HealthStatus;

/// Bytes after which a new file is begun.
const FULL: u64 = 128 << 10;
/// Of an output, no more is kept.
const OUTPUT: usize = 500;

/// One line of the chronicle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// The service it is about; `None` = the whole project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Full name of the container, network, volume or image it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// A command was taken in; what failed before it is tried again.
    Command {
        /// Its name: `up`.
        command: String,
    },
    /// An operation was done.
    Did {
        /// The operation, as a plan shows it.
        op: String,
        /// Why.
        because: String,
    },
    /// An operation failed.
    Failed {
        /// The operation, as a plan shows it.
        op: String,
        /// Why it was tried.
        because: String,
        /// The whole story in one sentence.
        error: String,
    },
    /// A program ended that nobody stopped.
    Ended {
        /// How.
        exit: String,
        /// Its restart policy starts it again.
        restarts: bool,
    },
    /// A container's health is another one now.
    Health {
        /// The verdict.
        status: HealthStatus,
        /// What the probe said.
        output: String,
    },
    /// The program of `on_unhealthy: exec` was run.
    Ran {
        /// Its exit code; -1 = it took too long.
        exit_code: i32,
        /// What it said.
        output: String,
    },
}

/// The chronicle of one project, to be written to.
#[derive(Debug)]
pub(super) struct Chronicle {
    dir: PathBuf,
    /// The file and its size, once there was something to write.
    file: Option<(File, u64)>,
}

impl Chronicle {
    pub(super) fn new(paths: &Paths, project: &str) -> Self {
        Self {
            dir: paths.project(project),
            file: None,
        }
    }

    /// Adds a line. What cannot be written is told in the supervisor's log: nothing depends on it.
    pub(super) fn note(&mut self, entry: &Entry) {
        if let Err(error) = self.write(entry) {
            self.file = None;
            // Before the first command, and after the last, the project has no directory.
            if error.kind() != std::io::ErrorKind::NotFound {
                tracing::warn!(%error, "cannot write the chronicle");
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let full = |(_, size): &(File, u64)| *size + line.len() as u64 > FULL;
        if self.file.as_ref().is_some_and(full) {
            self.file = None;
            std::fs::rename(current(&self.dir), before(&self.dir))?;
        }
        let (file, size) = match self.file.take() {
            Some(open) => self.file.insert(open),
            None => {
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(current(&self.dir))?;
                let size = file.metadata()?.len();
                self.file.insert((file, size))
            }
        };
        // One write for the line: a reader sees all of it or nothing.
        file.write_all(&line)?;
        *size += line.len() as u64;
        Ok(())
    }

    /// The project's directory is gone, and the chronicle with it.
    pub(super) fn forget(&mut self) {
        self.file = None;
    }
}

fn current(dir: &Path) -> PathBuf {
    dir.join("chronicle.jsonl")
}

fn before(dir: &Path) -> PathBuf {
    dir.join("chronicle.1.jsonl")
}

/// The chronicle of a project, oldest first. Lines that are damaged are left out.
pub fn read(paths: &Paths, project: &str) -> Vec<Entry> {
    let dir = paths.project(project);
    let mut entries = Vec::new();
    for path in [before(&dir), current(&dir)] {
        let text = std::fs::read(path).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        entries.extend(lines.filter_map(|line| serde_json::from_slice::<Entry>(line).ok()));
    }
    entries
}

/// What failed since the last command, by subject: it is not tried again before the next.
pub fn failures(entries: &[Entry]) -> BTreeMap<String, RecordedFailure> {
    let mut failures = BTreeMap::new();
    for entry in entries {
        match &entry.what {
            What::Command { .. } => failures.clear(),
            What::Failed { error, .. } => {
                let failure = RecordedFailure {
                    at: entry.at,
                    message: error.clone(),
                };
                failures.insert(entry.subject.clone(), failure);
            }
            What::Did { .. } => drop(failures.remove(&entry.subject)),
            _ => {}
        }
    }
    failures
}

/// The end of an output, which is where programs say what went wrong, in one line.
pub(super) fn shortened(output: &str) -> String {
    let text = output.trim();
    let mut start = text.len().saturating_sub(OUTPUT);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text[start..].to_owned()
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let said = |output: &str| match output.is_empty() {
            true => String::new(),
            false => format!(": {}", output.lines().last().unwrap_or_default()),
        };
        match self {
            Self::Command { command } => write!(f, "`{command}` was asked for"),
            Self::Did { op, because } => write!(f, "{op}: {because}"),
            Self::Failed { op, error, .. } => write!(f, "{op} failed: {error}"),
            Self::Ended { exit, restarts } => {
                let then = match restarts {
                    true => ", and is started again",
                    false => "",
                };
                write!(f, "it {exit}{then}")
            }
            Self::Health { status, output } => {
                let word = match status {
                    HealthStatus::Starting => "starting",
                    HealthStatus::Healthy => "healthy",
                    HealthStatus::Unhealthy => "unhealthy",
                };
                match status {
                    HealthStatus::Unhealthy => write!(f, "it turned {word}{}", said(output)),
                    _ => write!(f, "it turned {word}"),
                }
            }
            Self::Ran { exit_code, output } => {
                write!(
                    f,
                    "the program of `on_unhealthy` ended with {exit_code}{}",
                    said(output)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(second: i64, subject: &str, what: What) -> Entry {
        Entry {
            at: Timestamp::from_second(second).unwrap(),
            service: Some(ServiceName::new("web")),
            subject: subject.to_owned(),
            what,
        }
    }

    fn failed() -> What {
        What::Failed {
            op: "create container a".to_owned(),
            because: "it does not exist".to_owned(),
            error: "no".to_owned(),
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_the_oldest_goes() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::at(root.path());
        std::fs::create_dir_all(paths.project("p")).unwrap();
        let mut chronicle = Chronicle::new(&paths, "p");
        let long = "x".repeat(1000);
        for number in 0..600 {
            let what = What::Ended {
                exit: format!("{number} {long}"),
                restarts: true,
            };
            chronicle.note(&entry(number, "a", what));
        }
        let entries = read(&paths, "p");
        assert!((120..=250).contains(&entries.len()), "{}", entries.len());
        let last = entries.last().unwrap();
        assert_eq!(last.at.as_second(), 599);
        let size = |path: PathBuf| std::fs::metadata(path).unwrap().len();
        let dir = paths.project("p");
        assert!(size(current(&dir)) <= FULL && size(before(&dir)) <= FULL);
        assert!(entries.windows(2).all(|pair| pair[0].at < pair[1].at));
    }

    #[test]
    fn damaged_lines_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::at(root.path());
        std::fs::create_dir_all(paths.project("p")).unwrap();
        let mut chronicle = Chronicle::new(&paths, "p");
        chronicle.note(&entry(1, "a", failed()));
        let path = current(&paths.project("p"));
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], b"{\"at\":", b"\n", &whole[..]].concat()).unwrap();
        assert_eq!(read(&paths, "p").len(), 2);
        assert_eq!(read(&paths, "other"), []);
    }

    #[test]
    fn failures_last_until_the_next_command_or_success() {
        let command = || What::Command {
            command: "up".to_owned(),
        };
        let did = || What::Did {
            op: "create container a".to_owned(),
            because: String::new(),
        };
        let names = |entries: &[Entry]| -> Vec<String> { failures(entries).into_keys().collect() };
        let failure = entry(1, "a", failed());
        assert_eq!(names(std::slice::from_ref(&failure)), ["a"]);
        assert!(names(&[failure.clone(), entry(2, "", command())]).is_empty());
        assert!(names(&[failure.clone(), entry(2, "a", did())]).is_empty());
        assert_eq!(names(&[failure, entry(2, "b", did())]), ["a"]);
    }
}
