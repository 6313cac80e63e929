//! Whether a case came out as it does in Docker Compose.

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::case::{Case, Outcome};
use crate::compose::diagnostic::{Color, Diagnostics};
use crate::compose::load::Loaded;
use crate::compose::render;

/// What is not as in Docker Compose; empty when all is.
pub(super) fn differences(case: &Case, outcome: &Outcome) -> Vec<String> {
    let rejection = case.golden("expected.error");
    match (outcome, rejection) {
        (Outcome::Unasked(argument), _) => vec![format!("the test cannot ask for {argument}")],
        (Outcome::Rejected(_), Some(_)) => Vec::new(),
        (Outcome::Rejected(problems), None) => vec![format!("rejected:\n{}", shown(problems))],
        (Outcome::Loaded(_), Some(error)) => {
            vec![format!("accepted, but Docker Compose says: {error}")]
        }
        (Outcome::Loaded(loaded), None) => output_differences(case, loaded),
    }
}

fn output_differences(case: &Case, loaded: &Loaded) -> Vec<String> {
    let outputs: [(&str, fn(&Loaded) -> String); 3] = [
        ("expected.json", render::to_json),
        ("expected.yaml", render::to_yaml),
        ("expected.hash", hashes),
    ];
    let mut found = Vec::new();
    for (golden, output) in outputs {
        match case.golden(golden) {
            Some(expected) => {
                let difference = difference(&output(loaded), &expected);
                found.extend(difference.map(|difference| format!("{golden}, {difference}")));
            }
            // Docker Compose can fail at a hash or at YAML of what it prints as JSON.
            None if golden != "expected.json" => {}
            None => found.push("has no goldens; run tests/compose/generate.sh".to_owned()),
        }
    }
    if let Some(expected) = case.golden("expected.warnings") {
        let ours: BTreeSet<String> = subjects(&shown(&loaded.warnings));
        let missing: Vec<String> = subjects(&expected)
            .into_iter()
            .filter(|subject| !ours.iter().any(|ours| ours.starts_with(subject)))
            .collect();
        if !missing.is_empty() {
            found.push(format!("no warning about {}", missing.join(", ")));
        }
    }
    found
}

/// A diagnostic as its snapshot has it.
pub(super) fn shown(problems: &Diagnostics) -> String {
    problems.render(Color::Never, 100)
}

/// What warnings are about: the first quoted word or the path that each starts with.
///
/// What an engine does not honour is no subject: that depends on the engine, and ours says it when
/// it is going to run the stack.
fn subjects(warnings: &str) -> BTreeSet<String> {
    let of_the_engine = |line: &&str| {
        ["Swarm", "not honored", "msg=\"service "]
            .iter()
            .any(|word| line.contains(word))
    };
    let about = |line: &str| {
        let line = line.replace("\\\"", "`");
        let line = match line.split_once("msg=\"") {
            Some((_, message)) => message,
            None => line.strip_prefix("warning: ")?,
        };
        let path = line.split_once(": ").map(|(path, _)| path);
        let path = path.filter(|path| path.contains('.') && !path.contains(['/', ' ', '`']));
        let quoted = || Some(line.split_once('`')?.1.split_once('`')?.0);
        path.or_else(quoted).map(str::to_owned)
    };
    warnings
        .lines()
        .filter(|line| !of_the_engine(line))
        .filter_map(about)
        .collect()
}

/// `config --hash '*'`.
fn hashes(loaded: &Loaded) -> String {
    let mut lines: Vec<String> = loaded
        .stack
        .services
        .iter()
        .map(|(name, service)| {
            let digest = Sha256::digest(&service.hash_input);
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{name} {hex}\n")
        })
        .collect();
    lines.sort();
    lines.concat()
}

/// The first lines that differ, with one line before them.
fn difference(ours: &str, theirs: &str) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let at = ours
        .lines()
        .zip(theirs.lines())
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| ours.lines().count().min(theirs.lines().count()));
    let part = |text: &str| {
        let lines: Vec<&str> = text.lines().skip(at.saturating_sub(1)).take(5).collect();
        lines.join("\n")
    };
    Some(format!(
        "line {}:\nours:\n{}\nDocker Compose:\n{}",
        at + 1,
        part(ours),
        part(theirs)
    ))
}

/// `name: reason` lines of a list of cases.
pub(super) fn listed(path: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, reason) = line.split_once(": ").unwrap_or((line, ""));
            (name.to_owned(), reason.to_owned())
        })
        .collect()
}

#[test]
fn the_subject_of_a_warning_is_what_it_names_first() {
    let theirs = r#"
level=warning msg="The \"TAG\" variable is not set."
level=warning msg="/srv/case/compose.yaml: the attribute `version` is obsolete"
level=warning msg="networks.out: external.name is deprecated."
level=warning msg="service \"a\": deploy.mode: deploy.mode is only honored in Swarm mode"
"#;
    let ours = "warning: the variable `TAG` is not set\n --> compose.yaml:3:18\n\
                warning: `version` is ignored: it is obsolete\n";
    let found: Vec<String> = subjects(theirs).into_iter().collect();
    assert_eq!(found, ["TAG", "networks.out", "version"]);
    let found: Vec<String> = subjects(ours).into_iter().collect();
    assert_eq!(found, ["TAG", "version"]);
}
