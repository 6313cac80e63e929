//! `config --variables`: the variables that the files name, and `--environment`: those they are
//! filled with.

use std::collections::BTreeMap;

use super::Format;
use crate::compose::diagnostic::printable;
use crate::compose::load::Loaded;
use crate::compose::render::yaml_scalar;
use crate::compose::source::Source;
use crate::compose::template;
use crate::compose::tree::{Node, Value};

/// What the files say of a variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Variable {
    /// After `-` or `:-`.
    default: String,
    /// After `+` or `:+`.
    alternate: String,
    /// It stands before a `?` somewhere.
    required: bool,
}

type Variables = BTreeMap<String, Variable>;

/// The variables of a tree whose texts were not expanded.
pub(super) fn print(tree: &Node, format: Option<Format>) -> String {
    let mut variables = Variables::new();
    collect(tree, &mut variables);
    match format {
        Some(Format::Json) => json(&variables),
        Some(Format::Yaml) => yaml(&variables),
        Some(Format::Table) | None => table(&variables),
    }
}

fn collect(node: &Node, variables: &mut Variables) {
    match &node.value {
        Value::Text(text) => {
            for found in template::references(text) {
                add(variables, &found);
            }
        }
        Value::List(items) => items.iter().for_each(|item| collect(item, variables)),
        Value::Map(map) => map
            .values()
            .for_each(|entry| collect(&entry.node, variables)),
        _ => {}
    }
}

/// Required wherever it is required once; of several defaults the first counts.
fn add(variables: &mut Variables, found: &template::Reference<'_>) {
    let variable = variables.entry(found.name.to_owned()).or_default();
    let first = |kept: &mut String, argument: &str| {
        if kept.is_empty() {
            argument.clone_into(kept);
        }
    };
    match found.operator {
        Some('-') => first(&mut variable.default, found.argument),
        Some('+') => first(&mut variable.alternate, found.argument),
        Some('?') => variable.required = true,
        _ => {}
    }
}

fn table(variables: &Variables) -> String {
    const HEAD: [&str; 4] = ["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"];
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(variables.iter().map(|(name, variable)| {
        [
            name.clone(),
            variable.required.to_string(),
            printable(&variable.default),
            printable(&variable.alternate),
        ]
    }));
    // The last column is not filled up.
    let width = |column: usize| {
        let widest = rows.iter().map(|row| row[column].chars().count()).max();
        (widest.unwrap_or(0) + 3).max(20)
    };
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(&format!("{cell:width$}"));
        }
        text.push_str(&row[3]);
        text.push('\n');
    }
    text
}

/// Four spaces deep, with two line breaks at the end: so does Docker Compose.
fn json(variables: &Variables) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let members: Vec<String> = variables
        .iter()
        .map(|(name, variable)| {
            format!(
                "    {0}: {{\n        \"Name\": {0},\n        \"DefaultValue\": {1},\n        \"PresenceValue\": {2},\n        \"Required\": {3}\n    }}",
                text(name),
                text(&variable.default),
                text(&variable.alternate),
                variable.required
            )
        })
        .collect();
    match members.is_empty() {
        true => "{}\n\n".to_owned(),
        false => format!("{{\n{}\n}}\n\n", members.join(",\n")),
    }
}

fn yaml(variables: &Variables) -> String {
    let mut text = String::new();
    for (name, variable) in variables {
        text.push_str(&format!(
            "{}:\n    name: {}\n    defaultvalue: {}\n    presencevalue: {}\n    required: {}\n",
            yaml_scalar(name),
            yaml_scalar(name),
            yaml_scalar(&variable.default),
            yaml_scalar(&variable.alternate),
            variable.required
        ));
    }
    match text.is_empty() {
        true => "{}\n".to_owned(),
        false => text,
    }
}

/// `NAME=VALUE`, a line for each variable that a stack file can be filled with.
pub(super) fn environment(loaded: &Loaded, source: &dyn Source) -> String {
    let mut all: BTreeMap<String, String> = loaded.variables.clone().into_iter().collect();
    all.extend(source.variables());
    all.insert(
        "COMPOSE_PROJECT_NAME".to_owned(),
        loaded.stack.name.to_string(),
    );
    all.into_iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}
