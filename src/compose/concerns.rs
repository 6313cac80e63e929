//! What a stack says that cannot be run, or not as it is said, though its text is right.
//!
//! Loading never fails for these: `config` prints what was written. A command that runs a part of the
//! stack asks [`Loaded::review`] about it first. Some are found here, where texts become the typed
//! model; others come from the engine, which looks for what it cannot honour with [`Loaded::places`].

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Level, Problems, Span};
use super::load::Loaded;
use super::model::{NetworkKey, ServiceName, VolumeKey};
use super::tree::{Node, Value};

/// The part of a stack that something belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// A service.
    Service(ServiceName),
    /// A network.
    Network(NetworkKey),
    /// A volume.
    Volume(VolumeKey),
    /// A member of another key at the top, such as `secrets`.
    Other(String, String),
}

/// Something about a part of the stack that a command which runs it has to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Concern {
    /// What it is about: it only matters when all of these are run.
    pub parts: Vec<Part>,
    /// What is told: an error when the part cannot be run.
    pub diagnostic: Diagnostic,
}

/// A value that stands in the stack.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Its path: `services.web.volumes[0].type`.
    pub path: String,
    /// The part it is in.
    pub part: Part,
    /// The value as text, when it is a scalar.
    pub text: Option<String>,
    key: Span,
    node: &'a Node,
}

impl Place<'_> {
    /// A warning about it.
    pub fn warning(&self, message: impl Into<String>) -> Concern {
        self.concern(Level::Warning, message.into())
    }

    /// An error about it.
    pub fn error(&self, message: impl Into<String>) -> Concern {
        self.concern(Level::Error, message.into())
    }

    fn concern(&self, level: Level, message: String) -> Concern {
        let mut problems = Problems::default();
        let diagnostic = match level {
            Level::Warning => problems.warn(self.key, message),
            Level::Error => problems.error(self.key, message),
        };
        Concern {
            parts: vec![self.part.clone()],
            diagnostic: diagnostic.clone(),
        }
    }

    /// Whether it says anything: `false`, nothing and what is empty do not.
    pub fn says_something(&self) -> bool {
        match &self.node.value {
            Value::Null | Value::Bool(false) => false,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(map) => !map.is_empty(),
            _ => true,
        }
    }
}

impl Concern {
    /// The problems with one part.
    pub(super) fn all(part: &Part, problems: Problems) -> impl Iterator<Item = Self> {
        let items = problems.into_items().into_iter();
        items.map(|diagnostic| Self {
            parts: vec![part.clone()],
            diagnostic,
        })
    }

    /// Adds a few words under the caret.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.diagnostic.label(label);
        self
    }
}

impl Loaded {
    /// The values at the places of a pattern: keys parted by dots, `*` for any key, `[]` behind a key
    /// for all items of its list: `services.*.volumes[].type`.
    pub fn places(&self, pattern: &str) -> Vec<Place<'_>> {
        let mut found = Vec::new();
        let steps: Vec<&str> = pattern.split('.').collect();
        walk(
            &self.tree,
            &steps,
            &mut Vec::new(),
            &mut |path, key, node| {
                let (Some(kind), Some(name)) = (path.first(), path.get(1)) else {
                    return;
                };
                found.push(Place {
                    path: written(path),
                    part: part(kind, name),
                    text: node.scalar_text(),
                    key,
                    node,
                });
            },
        );
        found
    }

    /// What is to be told before the parts that are asked for are run, in the order of the files.
    /// `more` is what the caller found; what was found while loading comes with it.
    pub fn review(&self, more: Vec<Concern>, asked: &dyn Fn(&Part) -> bool) -> Diagnostics {
        let found = self.concerns.iter().cloned().chain(more);
        let items = found
            .filter(|concern| concern.parts.iter().all(asked))
            .map(|concern| concern.diagnostic);
        Diagnostics::of(items.collect(), Arc::clone(&self.warnings.sources))
    }
}

fn part(kind: &str, name: &str) -> Part {
    match kind {
        "services" => Part::Service(ServiceName::new(name)),
        "networks" => Part::Network(NetworkKey::new(name)),
        "volumes" => Part::Volume(VolumeKey::new(name)),
        _ => Part::Other(kind.to_owned(), name.to_owned()),
    }
}

fn written(path: &[String]) -> String {
    let mut text = String::new();
    for step in path {
        if !text.is_empty() && !step.starts_with('[') {
            text.push('.');
        }
        text.push_str(step);
    }
    text
}

fn walk<'a>(
    node: &'a Node,
    steps: &[&str],
    path: &mut Vec<String>,
    see: &mut dyn FnMut(&[String], Span, &'a Node),
) {
    let Some((step, rest)) = steps.split_first() else {
        return;
    };
    let (name, items) = match step.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (*step, false),
    };
    let Some(map) = node.as_map() else {
        return;
    };
    for (key, entry) in map {
        if name != "*" && name != key {
            continue;
        }
        path.push(key.clone());
        if items {
            for (index, item) in entry.node.as_list().unwrap_or_default().iter().enumerate() {
                path.push(format!("[{index}]"));
                arrive((item.span, item), rest, path, see);
                path.pop();
            }
        } else {
            arrive((entry.key, &entry.node), rest, path, see);
        }
        path.pop();
    }
}

fn arrive<'a>(
    (key, node): (Span, &'a Node),
    rest: &[&str],
    path: &mut Vec<String>,
    see: &mut dyn FnMut(&[String], Span, &'a Node),
) {
    match rest.is_empty() {
        true => see(path, key, node),
        false => walk(node, rest, path, see),
    }
}

/// Whether a stack can have a value at a pattern's places.
#[cfg(test)]
pub(crate) fn is_known(pattern: &str) -> bool {
    use super::schema::{Keys, Shape, TOP};
    fn step(shape: &'static Shape, name: &str) -> Option<&'static Shape> {
        let in_keys = |keys: &'static Keys| keys.field(name).map(|field| &field.shape);
        match shape {
            Shape::Keys(keys) | Shape::Shorthand(_, keys) | Shape::Gpus(keys) => in_keys(keys),
            Shape::Forms(form) => in_keys(form.keys()),
            Shape::Optional(inner) | Shape::List(inner) => step(inner, name),
            Shape::Names(inner) | Shape::NamesOrList(inner, _) => Some(inner),
            _ => None,
        }
    }
    static TOP_SHAPE: Shape = Shape::Keys(&TOP);
    let mut names = pattern.split('.').map(|name| name.trim_end_matches("[]"));
    names.try_fold(&TOP_SHAPE, step).is_some()
}

#[cfg(test)]
mod tests {
    use crate::compose::tests::loaded;

    #[test]
    fn places_are_found_by_their_pattern() {
        let text = "services:
  a: {image: a, volumes: [/x, {type: image, source: s, target: /t}], use_api_socket: false}
  b: {image: b, volumes: [/y]}
";
        let loaded = loaded(text);
        let found = |pattern: &str| -> Vec<String> {
            let places = loaded.places(pattern);
            places
                .iter()
                .map(|place| {
                    let text = place.text.as_deref().unwrap_or("…");
                    format!("{}={text} {}", place.path, place.says_something())
                })
                .collect()
        };
        assert_eq!(
            found("services.*.volumes[].target"),
            [
                "services.a.volumes[0].target=/x true",
                "services.a.volumes[1].target=/t true",
                "services.b.volumes[0].target=/y true"
            ]
        );
        assert_eq!(found("services.a.volumes").len(), 1);
        assert_eq!(
            found("services.*.use_api_socket"),
            ["services.a.use_api_socket=false false"]
        );
        assert!(found("services.*.nothing").is_empty());
    }
}
