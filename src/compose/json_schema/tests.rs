//! The JSON Schema says what the loader says.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::json_schema;
use crate::compose::diagnostic::Problems;
use crate::compose::reader;
use crate::compose::tests::try_load;
use crate::compose::tree::{Directive, Node, Value};

fn validator() -> jsonschema::Validator {
    let schema: Json = serde_json::from_str(&json_schema()).unwrap();
    jsonschema::draft7::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}"));
    jsonschema::draft7::new(&schema).unwrap()
}

/// A tree as an editor sees it: `!reset` stands for nothing.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(*number as i64),
        Value::Float(number) => json!(number),
        Value::Moment(moment) => json!(moment.stamp),
        Value::Text(text) => json!(text),
        Value::List(items) => {
            let kept = items
                .iter()
                .filter(|item| item.directive != Directive::Reset);
            kept.map(json).collect()
        }
        Value::Map(map) => {
            let kept = map
                .iter()
                .filter(|(_, entry)| entry.node.directive != Directive::Reset);
            Json::Object(
                kept.map(|(key, entry)| (key.clone(), json(&entry.node)))
                    .collect(),
            )
        }
    }
}

fn documents(text: &str) -> Vec<Json> {
    let mut problems = Problems::default();
    let file = problems.sources.add("x".into(), Arc::from(text)).unwrap();
    let documents = reader::read(text, file, &mut problems);
    documents
        .iter()
        .filter(|node| node.value != Value::Null)
        .map(json)
        .collect()
}

fn loads(text: &str) -> Result<(), String> {
    try_load(&[("compose.yaml", text)])
        .map(|_| ())
        .map_err(|problems| problems.to_string())
}

/// All files below a directory.
fn below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => below(&path, found),
            false => found.push(path),
        }
    }
}

fn is_stack_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let starts = ["compose", "stack", "docker-compose"];
    (name.ends_with(".yaml") || name.ends_with(".yml"))
        && starts.iter().any(|start| name.starts_with(start))
}

#[test]
fn the_file_follows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/stack.schema.json");
    if std::env::var_os("STACK_UPDATE_SCHEMA").is_some() {
        fs::write(&path, json_schema()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == json_schema(),
        "STACK_UPDATE_SCHEMA=1 writes schemas/stack.schema.json"
    );
}

/// Files that are right only as what they are merged onto: an editor sees each by itself. A mapping
/// without a key that must be there, and nothing in the place of a value.
const ONLY_TOGETHER: [&str; 4] = [
    "merge_dep_partial",
    "merge_models",
    "merge_null_over_value",
    "merge_ulimit_over",
];

#[test]
fn every_file_that_loads_is_valid() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    below(&root.join("tests/compose"), &mut files);
    below(&root.join("examples"), &mut files);
    let mut failures = Vec::new();
    let mut count = 0;
    for path in files.iter().filter(|path| is_stack_file(path)) {
        let Ok(text) = fs::read_to_string(path) else {
            continue;
        };
        let rejected = path
            .ancestors()
            .any(|above| above.join("expected.error").exists());
        let part = ONLY_TOGETHER
            .iter()
            .any(|case| path.iter().any(|step| step == *case));
        if rejected || part {
            continue;
        }
        count += 1;
        for document in documents(&text) {
            let errors = validator.iter_errors(&document);
            failures
                .extend(errors.map(|error| {
                    format!("{}: {}: {error}", path.display(), error.instance_path())
                }));
        }
    }
    assert!(count > 100, "{count}");
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn what_is_printed_is_valid() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose");
    let mut files = Vec::new();
    below(&root, &mut files);
    let mut failures = Vec::new();
    let mut count = 0;
    // Docker Compose prints `networks` in a step and does not read it there, and what two files have
    // in common twice.
    let unreadable = [
        "service_pre_start",
        "service_pre_start_command",
        "merge_group_add",
    ];
    let readable = |path: &&PathBuf| {
        !path
            .iter()
            .any(|step| unreadable.iter().any(|case| step == *case))
    };
    let printed = files.iter().filter(|path| path.ends_with("expected.yaml"));
    for path in printed.filter(readable) {
        let text = fs::read_to_string(path).unwrap();
        for document in documents(&text) {
            // Other forms than the whole model: names, variables.
            if document.get("services").is_none() {
                continue;
            }
            count += 1;
            let errors = validator.iter_errors(&document);
            failures
                .extend(errors.map(|error| {
                    format!("{}: {}: {error}", path.display(), error.instance_path())
                }));
        }
    }
    assert!(count > 100, "{count}");
    assert!(
        failures.is_empty(),
        "{} of {count}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Unknown keys and wrong types are mistakes to both, and what is right is right to both.
#[test]
fn the_loader_and_the_schema_agree() {
    let validator = validator();
    let wrong = [
        "enviroment: {A: b}",
        "ports: 80:80",
        "ports: [[80]]",
        "ports: [{target: x}]",
        "privileged: maybe",
        "image: [a]",
        "image: 5",
        "environment: [1]",
        "environment: x",
        "environment: {A: [b]}",
        "depends_on: b",
        "depends_on: {b: {condition: ready}}",
        "healthcheck: {tests: a}",
        "healthcheck: [a]",
        "command: {a: b}",
        "command: [1]",
        "volumes: {a: b}",
        "volumes: [{type: bin, target: /x}]",
        "volumes: [{target: /x}]",
        "deploy: {replica: 2}",
        "deploy: {replicas: x}",
        "ulimits: {nofile: x}",
        "ulimits: {nofile: {soft: 1, medium: 2}}",
        "build: [a]",
        "build: {contxt: .}",
        "labels: 5",
        "init: 5",
        "mem_limit: [1]",
        "stop_grace_period: {a: b}",
        "networks: a",
        "networks: {a: {alias: [b]}}",
        "logging: json",
        "cap_add: NET_ADMIN",
        "extra_hosts: 5",
        "env_file: {path: a}",
        "scale: -1",
        "oom_score_adj: 2000",
        "cgroup: both",
        "secrets: [5]",
        "restart: 5",
    ];
    let right = [
        "ports: [80, '80:80', {target: 80}, '${P:-80}']",
        "privileged: '${P:-true}'",
        "scale: '${N:-2}'",
        "cpus: '0.5'",
        "cpus: 1.5",
        "environment: [A=b, C]",
        "environment: {A: 1, B: true, C: }",
        "depends_on: [a2]",
        "depends_on: {a2: {condition: '${C:-service_started}'}}",
        "command: ",
        "command: [a, '1']",
        "command: a b",
        "mem_limit: 64m",
        "mem_limit: 1000",
        "stop_grace_period: 1m",
        "networks: {default: }",
        "x-own: [1]",
        "build: .",
        "build: {context: ., x-own: 1}",
        "healthcheck: {test: a, retries: '3'}",
        "dns: 1.1.1.1",
        "dns: [1.1.1.1]",
        "tmpfs: /x",
        "extra_hosts: {a: 1.1.1.1, b: ['1.1.1.2']}",
        "env_file: []",
        "ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}",
        "volumes: [/x, {type: tmpfs, target: /y}]",
        "read_only: 'yes'",
        "deploy: {resources: {limits: {cpus: '1', memory: 1g}}}",
    ];
    let cases = wrong
        .iter()
        .map(|part| (part, false))
        .chain(right.iter().map(|part| (part, true)));
    let mut failures = Vec::new();
    for (part, expected) in cases {
        let text = format!("services:\n  a:\n    image: a\n    {part}\n  a2: {{image: a}}\n");
        let text = if part.starts_with("image") {
            text.replace("    image: a\n", "")
        } else {
            text
        };
        let loaded = loads(&text);
        if loaded.is_ok() != expected {
            failures.push(format!("loader: {part}: {loaded:?}"));
        }
        if documents(&text)
            .iter()
            .all(|document| validator.is_valid(document))
            != expected
        {
            failures.push(format!("schema: {part}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
