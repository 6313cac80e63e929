//! The scenarios of `tests/scenarios`, played with `stack` and held against what Docker Compose and its engine answered.
//!
//! A scenario is a directory with stack files and a list of shell commands. Docker Compose's answers are recorded once
//! (`tests/scenarios/generate.sh`) and are part of the repository; here the same commands are run with `stack` under the names
//! `docker-compose` and `docker`. `tests/scenarios/README.md` says what such a directory is made of.

mod normal;
mod play;
mod script;
mod side;
mod tests;
mod transcript;
mod verdict;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A directory of `tests/scenarios`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Scenario {
    name: String,
    dir: PathBuf,
}

impl Scenario {
    /// The part of the name before the first `-`: what the scenario is about.
    fn family(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.dir.join(file)).ok()
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// All scenarios, or those that `SCENARIO=name,name` asks for (a name may end in `*`).
fn scenarios() -> Vec<Scenario> {
    let wanted = std::env::var("SCENARIO").unwrap_or_default();
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || wanted.split(',').any(|word| match word.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == word,
            })
    };
    let mut all: Vec<_> = fs::read_dir(directory())
        .expect("the scenarios")
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_wanted(name))
        .map(|name| Scenario {
            dir: directory().join(&name),
            name,
        })
        .collect();
    all.sort();
    all
}

/// Takes lines out of the list of what does not match.
fn forget(stale: &[String]) {
    // Other tests do the same.
    let lock = fs::File::open(directory()).expect("the scenarios");
    lock.lock().expect("the lock");
    let path = directory().join("NOT_YET");
    let text = fs::read_to_string(&path).expect("the list NOT_YET");
    let is_stale = |line: &&str| {
        stale
            .iter()
            .any(|place| line.starts_with(&format!("{place}: ")))
    };
    let left: String = text
        .lines()
        .filter(|line| !is_stale(line))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(path, left).expect("the list NOT_YET");
}

/// What is known not to match: `scenario:step:part`, and why.
fn not_yet() -> BTreeMap<String, String> {
    let text = fs::read_to_string(directory().join("NOT_YET")).expect("the list NOT_YET");
    let lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| match line.split_once(": ") {
            Some((place, reason)) => (place.trim().to_owned(), reason.to_owned()),
            None => panic!("NOT_YET: a line without a reason: {line}"),
        })
        .collect()
}
