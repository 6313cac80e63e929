//! The corpus in `tests/compose`: what Docker Compose itself prints for a set of stack files.
//!
//! `tests/compose/generate.sh` wrote the golden files. A case is loaded at `/srv/case`, from memory.

use std::fs;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostics;
use super::load::{LoadOptions, Loaded, load};
use super::render;
use super::source::MemorySource;

fn cases() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose");
    let mut cases: Vec<PathBuf> = fs::read_dir(corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(cases.len() > 30, "the corpus is not complete: {cases:?}");
    cases
}

fn load_case(case: &Path) -> Result<Loaded, Diagnostics> {
    let mut source = MemorySource::new().var("HOME", "/home/me");
    for entry in fs::read_dir(case).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        source = source.file(Path::new("/srv/case").join(name), fs::read(&path).unwrap());
    }
    let options = LoadOptions {
        working_dir: "/srv/case".into(),
        ..LoadOptions::default()
    };
    load(&source, &options)
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

/// Compares one output of every case with its golden file; tells all differences at once.
fn compare(golden: &str, output: impl Fn(&Loaded) -> String) {
    let mut failures = Vec::new();
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let expected = fs::read_to_string(case.join(golden)).unwrap();
        match load_case(&case) {
            Ok(loaded) => {
                let difference = difference(&output(&loaded), &expected);
                failures.extend(difference.map(|difference| format!("{name}: {difference}")));
            }
            Err(problems) => failures.push(format!("{name}: {problems}")),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn json_is_what_docker_compose_prints() {
    compare("expected.json", render::to_json);
}

#[test]
fn yaml_is_what_docker_compose_prints() {
    compare("expected.yaml", render::to_yaml);
}

/// A reader of its own, so that quoting is not only right for our own one.
#[test]
fn what_is_printed_as_yaml_says_the_same_to_another_reader() {
    for case in cases() {
        let loaded = load_case(&case).unwrap();
        let yaml: serde_json::Value = serde_yaml::from_str(&render::to_yaml(&loaded)).unwrap();
        let json: serde_json::Value = serde_json::from_str(&render::to_json(&loaded)).unwrap();
        agree(&yaml, &json, &case.display().to_string());
    }
}

/// Docker Compose's JSON form has empty values that its YAML form leaves out, and leaves out some
/// `x-` keys; all else is the same.
fn agree(yaml: &serde_json::Value, json: &serde_json::Value, place: &str) {
    match (yaml.as_object(), json.as_object()) {
        (Some(yaml), Some(json)) => {
            for (key, value) in yaml.iter().filter(|(key, _)| !key.starts_with("x-")) {
                agree(value, &json[key], &format!("{place}: {key}"));
            }
        }
        _ => assert_eq!(yaml, json, "{place}"),
    }
}

#[test]
fn hashes_are_those_of_docker_compose() {
    use sha2::{Digest, Sha256};
    compare("expected.hash", |loaded| {
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
    });
}

#[test]
fn what_is_printed_as_yaml_loads_to_the_same_stack() {
    for case in cases() {
        let loaded = load_case(&case).unwrap();
        let source = MemorySource::new()
            .file("/srv/case/compose.yaml", render::to_yaml(&loaded))
            .file("/srv/case/own.labels", "");
        let options = LoadOptions {
            working_dir: "/srv/case".into(),
            profiles: vec!["*".to_owned()],
            ..LoadOptions::default()
        };
        let again = load(&source, &options).unwrap_or_else(|error| panic!("{case:?}: {error}"));
        // A dollar sign in a key is doubled as in a value, though keys are not interpolated:
        // Docker Compose does so.
        let json = render::to_json(&again).replace("$$$$", "$$");
        assert_eq!(render::to_json(&loaded), json, "{case:?}");
        let typed = |loaded: &Loaded| (loaded.stack.networks.clone(), loaded.stack.volumes.clone());
        assert_eq!(typed(&loaded), typed(&again), "{case:?}");
    }
}
