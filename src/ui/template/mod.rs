//! Go templates for `--format`: the part of `text/template` that people write at the command line,
//! over JSON, with Docker's functions.
//!
//! Owns reading (`parse.rs`) and evaluation (`eval.rs`, `functions.rs`); pure, knows no command.
//!
//! Invariant: a template that was read never fails for its form; what fails while it is evaluated
//! says where. A field that the document itself does not have is an error, and so is a field of
//! nothing; one further down is nothing (`<no value>`), as what Docker leaves out is nothing there.
//! What Docker's types make of JSON (`[]` of a list that is `null`, `{80 8080}`) is in `go.rs`.

mod eval;
mod functions;
mod go;
mod lex;
mod parse;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use parse::Node;

/// Where in a template, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub(crate) struct TemplateError {
    /// Line, from 1.
    pub(crate) line: usize,
    /// Character in the line, from 1.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) reason: String,
}

impl TemplateError {
    fn at(text: &str, offset: usize, reason: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line,
            column: before[start..].chars().count() + 1,
            reason: reason.into(),
        }
    }
}

/// A template that was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Template {
    text: String,
    nodes: Vec<Node>,
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let nodes = parse::parse(text)?;
        Ok(Self {
            text: text.to_owned(),
            nodes,
        })
    }

    /// Whether it is `{{json .}}`: the whole document, as it is.
    pub(crate) fn is_whole(&self) -> bool {
        let inner = self.text.trim().strip_prefix("{{");
        let inner = inner.and_then(|text| text.strip_suffix("}}"));
        inner.is_some_and(|text| text.split_whitespace().eq(["json", "."]))
    }

    /// The text that it makes of a document.
    pub(crate) fn render(&self, document: &Value) -> Result<String, TemplateError> {
        eval::render(&self.text, &self.nodes, document)
    }

    /// The heads of the columns that it shows of a row: each field is replaced by its name in
    /// capitals, or by the name that is given for it.
    pub(crate) fn heads(&self, row: &Value, known: &[(&str, &str)]) -> String {
        let fields = row.as_object().into_iter().flat_map(Map::keys);
        let heads = fields.map(|field| {
            if let ("Label", Some(labels)) = (field.as_str(), row["Label"].as_object()) {
                let heads = labels.keys().map(|name| (name.clone(), label_head(name)));
                return (field.clone(), Value::Object(heads.collect()));
            }
            let found = known.iter().find(|(name, _)| name == field);
            let head = found.map_or_else(|| capitals(field), |(_, head)| (*head).to_owned());
            (field.clone(), Value::String(head))
        });
        let heads = Value::Object(heads.collect());
        // A template may do things to a field that a head cannot stand.
        self.render(&heads).unwrap_or_default()
    }
}

/// `com.docker.compose.config-hash` → `CONFIG HASH` (Docker's rule).
fn label_head(name: &str) -> Value {
    let last = name.rsplit('.').next().unwrap_or(name);
    Value::String(last.replace(['-', '_'], " ").to_uppercase())
}

/// `CreatedAt` → `CREATED AT`.
fn capitals(field: &str) -> String {
    let mut out = String::new();
    let mut was_lower = false;
    for char in field.chars() {
        if char.is_uppercase() && was_lower {
            out.push(' ');
        }
        was_lower = char.is_lowercase();
        out.extend(char.to_uppercase());
    }
    out
}
