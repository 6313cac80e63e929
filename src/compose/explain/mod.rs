//! Where a value of the finished model comes from, and what it took the place of.
//!
//! The tree keeps the place of every value and what a merge replaced (`Node::earlier`); which
//! variables took part is read off the text at that place, and where those come from is asked of the
//! same places that the loader asks. Nothing is recorded in a load that nobody wants explained, but
//! the texts of environment files ([`LoadOptions::trace`]).
//!
//! [`LoadOptions::trace`]: super::load::LoadOptions::trace

use serde::Serialize;

use super::diagnostic::{Diagnostics, Sources, Span};
use super::load::{LoadOptions, Loaded, load};
use super::source::Source;

mod environment;
mod find;
mod origin;
#[cfg(test)]
mod tests;
mod text;
mod variables;

pub use environment::{
    EnvVariable, FromImage, ImageEnvironment, Looked, variable, variables as environment,
};
pub use text::table;
pub use variables::{VariableOrigin, VariableUse};

/// A value of the model and its history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Its path, as `services.web.ports[0]`.
    pub path: String,
    /// What it is, as YAML on one line; `None` of a mapping or list that is not empty.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// The variables that its text names, with their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<VariableUse>,
    /// What it took the place of, the nearest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shadowed: Vec<Shadowed>,
    /// The values in it, when it is a mapping or a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Explanation>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// It is written there.
    File(Place),
    /// It is written somewhere else, and came here by an anchor or a merge key.
    Anchor {
        /// Where it is written.
        #[serde(flatten)]
        place: Place,
        /// Where the mapping stands that it came into.
        used_at: Place,
    },
    /// It is a part of what is written in short there.
    ShortForm(Place),
    /// A file of `env_file` or `label_file` says it.
    EnvFile(Place),
    /// Only its name is written there; the value is the caller's, or of a file of variables.
    Inherited {
        /// Where it is named.
        #[serde(flatten)]
        place: Place,
        /// Whose value it is.
        value_of: VariableOrigin,
    },
    /// Nobody wrote it: Compose means it.
    Default,
    /// The project's name was not taken from a file.
    Project {
        /// What it was taken from.
        source: String,
    },
}

/// A place of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, relative to the caller's directory when it lies below it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line as it is written, without the spaces around it.
    pub source: String,
}

impl Place {
    fn new(sources: &Sources, span: Span) -> Option<Self> {
        let location = sources.locate(span)?;
        Some(Self {
            file: location.file.display().to_string(),
            line: location.line,
            column: location.column,
            source: sources.line(span).unwrap_or_default().trim().to_owned(),
        })
    }
}

/// A value that another one took the place of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shadowed {
    /// How it came to lie below: `file`, `extends`, `include`, `list`, `env_file`, `anchor`.
    pub layer: &'static str,
    /// Where it is written.
    #[serde(flatten)]
    pub place: Place,
}

/// Why a value cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The files have no meaning.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
    /// A service was named that the stack does not have.
    #[error("no such service: {name}")]
    NoSuchService {
        /// The name.
        name: String,
        /// A service that is called much the same.
        suggestion: Option<String>,
    },
    /// The path leads nowhere.
    #[error("there is no `{missing}` {place}", place = place_text(.parent))]
    NoSuchPath {
        /// The part that exists; empty for the top.
        parent: String,
        /// The step that does not.
        missing: String,
        /// A step that is called much the same.
        suggestion: Option<String>,
        /// The steps that there are.
        known: Vec<String>,
    },
}

fn place_text(parent: &str) -> String {
    match parent.is_empty() {
        true => "at the top of the model".to_owned(),
        false => format!("in `{parent}`"),
    }
}

/// Explains the value at a path of the model; `web.image` is short for `services.web.image`.
pub fn explain(
    source: &dyn Source,
    options: &LoadOptions,
    path: &str,
) -> Result<Explanation, ExplainError> {
    let loaded = traced(source, options)?;
    let found = find::find(&loaded.tree, path)?;
    let history = History {
        loaded: &loaded,
        source,
        options,
    };
    Ok(history.of(&found))
}

/// As JSON for programs, with a line break at the end.
pub fn json(value: &impl Serialize) -> String {
    // Maps with text keys, texts and numbers can always be written.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Loads with the texts of environment files kept.
pub(super) fn traced(source: &dyn Source, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let options = LoadOptions {
        trace: true,
        ..options.clone()
    };
    load(source, &options)
}

/// What is asked about the past of values.
pub(super) struct History<'a> {
    loaded: &'a Loaded,
    source: &'a dyn Source,
    options: &'a LoadOptions,
}
