//! Whether a case came out as it does in Docker Compose.

use std::collections::BTreeSet;
use std::path::Path;

use super::case::Case;
use crate::compose::config::{ConfigError, Format, Output, Subject};
use crate::compose::diagnostic::{Color, Diagnostics};

/// What is not as in Docker Compose; empty when all is.
pub(super) fn differences(case: &Case) -> Vec<String> {
    if let Err(argument) = case.command() {
        return vec![format!("the test cannot ask for it: {argument}")];
    }
    match (case.run(Some(Format::Json)), case.golden("expected.error")) {
        (Err(_), Some(_)) => Vec::new(),
        (Err(error), None) => vec![format!("rejected:\n{}", rejection(&error))],
        (Ok(_), Some(error)) => vec![format!("accepted, but Docker Compose says: {error}")],
        (Ok(output), None) => output_differences(case, &output),
    }
}

fn output_differences(case: &Case, json: &Output) -> Vec<String> {
    let mut found = Vec::new();
    let yaml = text(case.run(Some(Format::Yaml)));
    // It can fail at a hash or at JSON of what it prints as YAML.
    let outputs = [
        ("expected.json", json.stdout.clone()),
        ("expected.yaml", yaml),
        ("expected.hash", hashes(case)),
        ("expected.out", text(case.run(None))),
    ];
    for (golden, output) in outputs {
        let Some(expected) = case.golden(golden) else {
            continue;
        };
        let found_here = match golden {
            "expected.out" => difference(&sorted(&output), &sorted(&expected)),
            _ => difference(&output, &expected),
        };
        found.extend(found_here.map(|difference| format!("{golden}, {difference}")));
    }
    if case.golden("expected.yaml").is_none() && case.golden("expected.out").is_none() {
        found.push("has no goldens; run tests/compose/generate.sh".to_owned());
    }
    if let Some(expected) = case.golden("expected.warnings") {
        let ours = subjects(&shown(&json.warnings));
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

fn text(output: Result<Output, ConfigError>) -> String {
    output.map_or_else(|error| rejection(&error), |output| output.stdout)
}

fn hashes(case: &Case) -> String {
    let mut command = case.command().unwrap_or_default();
    command.subject = Subject::Hash("*".to_owned());
    text(command.run(&case.source()))
}

/// Docker Compose prints lists in another order at every run, and `--environment` also what the
/// machine had that it ran on.
fn sorted(text: &str) -> String {
    const MACHINE: [&str; 3] = ["DOCKER_HOST=", "PATH=", "PWD="];
    let of_machine = |line: &&str| MACHINE.iter().any(|name| line.starts_with(name));
    let mut lines: Vec<&str> = text.lines().filter(|line| !of_machine(line)).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Our words for a rejection.
pub(super) fn rejection(error: &ConfigError) -> String {
    match error {
        ConfigError::Invalid(problems) => shown(problems),
        other => format!("error: {other}\n"),
    }
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
        let line = line.replace('"', "`");
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
    let ours = "warning: The \"TAG\" variable is not set.\n --> compose.yaml:3:18\n\
                warning: the attribute `version` is obsolete\n";
    let found: Vec<String> = subjects(theirs).into_iter().collect();
    assert_eq!(found, ["TAG", "networks.out", "version"]);
    let found: Vec<String> = subjects(ours).into_iter().collect();
    assert_eq!(found, ["TAG", "version"]);
}
