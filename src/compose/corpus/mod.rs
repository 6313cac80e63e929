//! The corpus in `tests/compose`: what Docker Compose itself makes of a set of stack files.
//!
//! `tests/compose/README.md` says what a case is made of. With `STACK_UPDATE_CORPUS=1` the tests write
//! the diagnostics of rejected cases, take the cases that match from the list of those that do not,
//! and write the score.

mod attributes;
mod case;
mod verdict;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::config::Format;
use super::load::{LoadOptions, Loaded, load};
use super::render;
use super::source::MemorySource;
use case::{Case, cases, corpus};
use verdict::{differences, listed, rejection};

fn updating() -> bool {
    std::env::var_os("STACK_UPDATE_CORPUS").is_some()
}

/// Cases that are known not to match, each with the reason.
fn not_yet() -> PathBuf {
    corpus().join("NOT_YET")
}

#[test]
fn every_case_comes_out_as_in_docker_compose() {
    let cases = cases();
    let known = listed(&not_yet());
    let mut matching = Vec::new();
    let mut failures = Vec::new();
    for case in &cases {
        let found = differences(case);
        if found.is_empty() {
            matching.push(case.name.as_str());
        } else if !known.iter().any(|(name, _)| *name == case.name) {
            failures.push(format!("{}: {}", case.name, found.join("\n")));
        }
    }
    let score = format!("{}/{}\n", matching.len(), cases.len());
    println!("corpus: {score}");
    if updating() {
        fs::write(corpus().join("SCORE"), &score).unwrap();
        write_readme(&score);
        write_not_yet(&matching, &cases);
    }
    for (name, reason) in listed(&not_yet()) {
        if matching.contains(&name.as_str()) {
            failures.push(format!("{name}: matches; take it from NOT_YET"));
        }
        if !cases.iter().any(|case| case.name == name) || reason.is_empty() {
            failures.push(format!("{name}: in NOT_YET without a case or a reason"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let written = fs::read_to_string(corpus().join("SCORE")).unwrap();
    assert!(
        at_least(&score, &written),
        "the score is {score}, in the file {written}; STACK_UPDATE_CORPUS=1 writes it"
    );
}

/// Whether a score, `matching/total`, leaves no more cases unmatched than another one says, with
/// no fewer cases: several people add cases at once, and the file is brought up to date afterwards.
fn at_least(score: &str, written: &str) -> bool {
    let parts = |score: &str| -> Option<(usize, usize)> {
        let (matching, total) = score.trim().split_once('/')?;
        Some((matching.parse().ok()?, total.parse().ok()?))
    };
    let Some(((matching, total), (written, of))) = parts(score).zip(parts(written)) else {
        return false;
    };
    total >= of && total - matching <= of - written
}

/// The list without what matches now.
/// What the README says of the score, between these.
const README_SCORE: (&str, &str) = (
    "### As Docker Compose does\n\n",
    " stack files in [tests/compose]",
);

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// The README with its score in three parts: before, the score, after.
fn readme_parts(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find(README_SCORE.0)? + README_SCORE.0.len();
    let length = text[start..].find(README_SCORE.1)?;
    let (before, rest) = text.split_at(start);
    let (score, after) = rest.split_at(length);
    Some((before, score, after))
}

fn write_readme(score: &str) {
    let text = fs::read_to_string(readme()).unwrap();
    let (before, _, after) = readme_parts(&text).unwrap();
    let score = score.trim().replace('/', " of ");
    fs::write(readme(), format!("{before}{score}{after}")).unwrap();
}

#[test]
fn the_readme_says_the_score() {
    let text = fs::read_to_string(readme()).unwrap();
    let (_, said, _) = readme_parts(&text).unwrap();
    let score = fs::read_to_string(corpus().join("SCORE")).unwrap();
    assert_eq!(said.replace(" of ", "/"), score.trim());
}

fn write_not_yet(matching: &[&str], cases: &[Case]) {
    let text = fs::read_to_string(not_yet()).unwrap_or_default();
    let stays = |line: &&str| {
        let name = line.split(": ").next().unwrap_or_default();
        let exists = cases.iter().any(|case| case.name == name);
        line.starts_with('#') || (exists && !matching.contains(&name))
    };
    let mut kept = String::new();
    for line in text.lines().filter(stays) {
        writeln!(kept, "{line}").unwrap();
    }
    fs::write(not_yet(), kept).unwrap();
}

#[test]
fn the_diagnostic_of_every_rejection_was_read_by_a_person() {
    let mut failures = Vec::new();
    for case in cases() {
        let golden = case.directory.join("expected.diagnostic");
        let rejects = case.golden("expected.error").is_some() && case.command().is_ok();
        let answer = rejects.then(|| case.run(Some(Format::Json)));
        let rejected = answer.and_then(Result::err).map(|error| rejection(&error));
        if updating() {
            match &rejected {
                Some(diagnostic) => fs::write(&golden, diagnostic).unwrap(),
                None => drop(fs::remove_file(&golden)),
            }
        }
        let expected = case.golden("expected.diagnostic");
        if rejected != expected {
            let [ours, written] = [rejected, expected].map(Option::unwrap_or_default);
            failures.push(format!("{}:\n{ours}\nin the file:\n{written}", case.name));
        }
    }
    assert!(
        failures.is_empty(),
        "{}\nSTACK_UPDATE_CORPUS=1 writes the files",
        failures.join("\n\n")
    );
}

/// The cases that load and are not known to differ.
fn loaded_cases() -> Vec<(Case, Loaded)> {
    let known = listed(&not_yet());
    let loaded = |case: Case| case.load().map(|loaded| (case, loaded));
    cases()
        .into_iter()
        .filter(|case| !known.iter().any(|(name, _)| *name == case.name))
        .filter_map(loaded)
        .collect()
}

/// A reader of its own, so that quoting is not only right for our own one.
#[test]
fn what_is_printed_as_yaml_says_the_same_to_another_reader() {
    for (case, loaded) in loaded_cases() {
        let yaml: serde_json::Value = serde_yaml::from_str(&render::to_yaml(&loaded)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&render::to_json(&loaded)).unwrap();
        agree(&yaml, &json, &case.name);
    }
}

#[test]
fn readers_of_yaml_1_1_and_1_2_read_what_is_printed_as_the_same() {
    let cases = loaded_cases();
    let documents: Vec<String> = cases
        .iter()
        .map(|(_, loaded)| render::to_yaml(loaded))
        .collect();
    let Some(by_1_1) = render::readers::read_by_pyyaml(&documents) else {
        return;
    };
    assert!(by_1_1.len() > 200, "{}", by_1_1.len());
    // They are printed as Docker Compose prints them, and PyYAML reads them otherwise: a lone `=`, dates and
    // numbers of extensions.
    const READ_OTHERWISE: [&str; 3] = ["extensions_everywhere", "values_dates", "yaml_layout"];
    let is_readable = |case: &Case| !READ_OTHERWISE.contains(&case.name.as_str());
    for (((case, _), document), by_1_1) in cases.iter().zip(&documents).zip(&by_1_1) {
        if !is_readable(case) {
            continue;
        }
        let by_1_2: serde_json::Value = serde_yaml::from_str(document).unwrap();
        assert_eq!(*by_1_1, by_1_2, "{}", case.name);
    }
}

/// Docker Compose's JSON form has empty values that its YAML form leaves out, and leaves out models and
/// some `x-` keys; all else is the same.
fn agree(yaml: &serde_json::Value, json: &serde_json::Value, place: &str) {
    if let (Some(yaml), Some(json)) = (yaml.as_object(), json.as_object()) {
        let in_both = |key: &str| !key.starts_with("x-") && key != "models";
        for (key, value) in yaml.iter().filter(|(key, _)| in_both(key)) {
            // `Path` of a device's limits is the one key that JSON has in capitals.
            let other = json
                .iter()
                .find(|(other, _)| other.eq_ignore_ascii_case(key));
            // A limit of 0 stands in YAML alone.
            let Some((_, other)) = other else {
                assert_eq!(*value, 0, "{place}: {key}");
                continue;
            };
            agree(value, other, &format!("{place}: {key}"));
        }
    } else if let (Some(yaml), Some(json)) = (yaml.as_array(), json.as_array()) {
        assert_eq!(yaml.len(), json.len(), "{place}");
        for (yaml, json) in yaml.iter().zip(json) {
            agree(yaml, json, place);
        }
    } else if !is_misprinted(json) {
        assert_eq!(yaml, json, "{place}");
    }
}

/// Docker Compose's writer leaves the indentation out that a block of lines needs when an empty line
/// comes before one that starts with a space; ours is equal to it to the byte.
fn is_misprinted(value: &serde_json::Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.starts_with('\n') && text.trim_start_matches('\n').starts_with(' ')
    })
}

/// What Docker Compose prints of these it rejects itself, so ours is no stack either: steps before the
/// start have keys that they cannot be given, an SSH key is printed as `ID: PATH` and read as `ID=PATH`,
/// an optional dependency on a service that is off is kept, and the service is left out, a variable
/// without a name may stand in a list and not in a mapping. Or it reads something else: a port or group that was given in both forms stands there twice, and some texts it
/// does not print right ([`is_misprinted`]).
const PRINTED_AS_ANOTHER_STACK: &[&str] = &[
    "build_ssh",
    "merge_group_add",
    "merge_ports",
    "merge_ports_int",
    "merge_ports_onefile",
    "odd_values",
    "profiles_optional_dependency",
    "service_pre_start",
    "service_pre_start_command",
    "stack_elastic",
    "yaml_layout",
];

#[test]
fn what_is_printed_as_yaml_loads_to_the_same_stack() {
    let is_stack = |case: &Case| !PRINTED_AS_ANOTHER_STACK.contains(&case.name.as_str());
    for (case, loaded) in loaded_cases()
        .into_iter()
        .filter(|(case, _)| is_stack(case))
    {
        let printed = "/srv/case/printed.yaml";
        let source: MemorySource = case.source().file(printed, render::to_yaml(&loaded));
        let options = LoadOptions {
            files: vec![printed.into()],
            working_dir: "/srv/case".into(),
            profiles: vec!["*".to_owned()],
            project_name: Some(loaded.stack.name.to_string()),
            ..LoadOptions::default()
        };
        let again =
            load(&source, &options).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        // A dollar sign in a key is doubled as in a value, though keys are not interpolated:
        // Docker Compose does so.
        let json = |loaded: &Loaded| {
            render::to_json(loaded)
                .replace("$$", "$")
                .replace("$$", "$")
        };
        assert_eq!(json(&loaded), json(&again), "{}", case.name);
        let typed = |loaded: &Loaded| (loaded.stack.networks.clone(), loaded.stack.volumes.clone());
        assert_eq!(typed(&loaded), typed(&again), "{}", case.name);
    }
}
