//! Where a value comes from, read off its place.

use super::find::{Found, Step};
use super::{Explanation, History, Origin, Place, Shadowed};
use crate::compose::diagnostic::Span;
use crate::compose::render;
use crate::compose::tree::{Earlier, Layer, Node, Value};

impl History<'_> {
    /// The value and everything below it.
    pub(super) fn of(&self, found: &Found<'_>) -> Explanation {
        let parts: Vec<Explanation> = found.parts().iter().map(|part| self.of(part)).collect();
        let origin = self.origin(found);
        let is_template = matches!(
            origin,
            Origin::File(_) | Origin::Anchor { .. } | Origin::ShortForm(_)
        );
        let variables = match self.text(found.node.span) {
            Some(text) if parts.is_empty() && is_template => self.variables_of(text),
            _ => Vec::new(),
        };
        Explanation {
            path: found.path.clone(),
            value: parts.is_empty().then(|| shown(found.node)),
            variables,
            shadowed: self.shadowed(found.node),
            origin,
            parts,
        }
    }

    pub(super) fn text(&self, span: Span) -> Option<&str> {
        self.loaded.warnings.sources.text(span)
    }

    /// A place with its line.
    pub(super) fn place(&self, span: Span) -> Option<Place> {
        Place::new(&self.loaded.warnings.sources, span)
    }

    /// What a value took the place of, the nearest first.
    pub(super) fn shadowed(&self, node: &Node) -> Vec<Shadowed> {
        let earlier = node.earlier.as_deref().unwrap_or_default();
        earlier
            .iter()
            .rev()
            .filter_map(|Earlier { span, layer }| {
                Some(Shadowed {
                    layer: layer_name(*layer),
                    place: self.place(*span)?,
                })
            })
            .collect()
    }

    fn origin(&self, found: &Found<'_>) -> Origin {
        let Some(place) = self.place(found.node.span) else {
            return Origin::Default;
        };
        if found.path == "name" && !self.is_written(&found.step) {
            return Origin::Project {
                source: self.name_source(),
            };
        }
        if self.loaded.warnings.sources.is_env_file(found.node.span) {
            return Origin::EnvFile(place);
        }
        if let Step::Key(key, key_span) = found.step {
            if self.is_inherited(key, found) {
                return Origin::Inherited {
                    place: self.place(key_span).unwrap_or(place),
                    value_of: self.variable(key).1,
                };
            }
            if !self.is_written(&found.step) {
                return self.unwritten(found, place);
            }
        }
        match self.used_at(found) {
            Some(used_at) => Origin::Anchor { place, used_at },
            None => Origin::File(place),
        }
    }

    /// Whether the key of a step stands in a file; items of lists always do, or what they are of.
    fn is_written(&self, step: &Step<'_>) -> bool {
        let Step::Key(key, span) = step else {
            return true;
        };
        let text = self.text(*span).unwrap_or_default();
        let bare = text.trim_start_matches(['"', '\'']);
        // A quoted key may have escapes.
        bare.starts_with(key) || (text.starts_with('"') && text.contains('\\'))
    }

    /// A value without a key of its own: a part of a short form, or meant by Compose.
    fn unwritten(&self, found: &Found<'_>, place: Place) -> Origin {
        let Some((step, parent)) = found.above.last() else {
            return Origin::Default;
        };
        let has_written_parts = parent.as_map().is_some_and(|map| {
            map.iter()
                .any(|(key, entry)| self.is_written(&Step::Key(key, entry.key)))
        });
        let in_parent = found.node.span == parent.span;
        let stands = match step {
            Step::Top => false,
            Step::Item(_) => true,
            Step::Key(..) => self.is_written(step),
        };
        match stands && in_parent && !has_written_parts && self.is_said(found) {
            true => Origin::ShortForm(place),
            false => Origin::Default,
        }
    }

    /// Whether a short form says a part of what it stands for; the rest is meant by Compose.
    fn is_said(&self, found: &Found<'_>) -> bool {
        const SELDOM_SAID: [&str; 9] = [
            "bind",
            "condition",
            "create_host_path",
            "mode",
            "permissions",
            "protocol",
            "required",
            "restart",
            "volume",
        ];
        let written = self.text(found.node.span).unwrap_or_default();
        match (found.step, found.node.scalar_text()) {
            (Step::Key("type", _), _) => true,
            (Step::Key(key, _), Some(value)) if SELDOM_SAID.contains(&key) => {
                written.contains(&value)
            }
            (Step::Key(key, _), None) => !SELDOM_SAID.contains(&key) || !found.parts().is_empty(),
            _ => true,
        }
    }

    /// Only the name stands there, as `- NAME` or `NAME:`, and there is a value nevertheless.
    fn is_inherited(&self, key: &str, found: &Found<'_>) -> bool {
        let in_environment = matches!(
            found.above.last(),
            Some((Step::Key("environment" | "args", _), _))
        );
        if !in_environment || found.node.as_text().is_none() {
            return false;
        }
        let written = self.text(found.node.span).unwrap_or_default().trim();
        let bare = written.trim_matches(['"', '\'']);
        bare == key && !matches!(found.node.as_text(), Some(value) if value == bare)
            || matches!(written, "" | "~" | "null")
                && found.node.as_text().is_some_and(|value| !value.is_empty())
    }

    /// The place where an anchor or a merge key is named that brought a value where it is: it, or what
    /// it is in, is written outside of the mapping around it, in the same file.
    fn used_at(&self, found: &Found<'_>) -> Option<Place> {
        let mut inner = found.node.span;
        for (step, around) in found.above.iter().rev() {
            let around = around.span;
            let inside = inner.start >= around.start && inner.end <= around.end;
            if *step != Step::Top && inner.file == around.file && !inside {
                let text = self.text(around)?;
                let at = text.find("<<").or_else(|| text.find('*'))?;
                return self.place(around.part(at..text.len()));
            }
            inner = around;
        }
        None
    }

    fn name_source(&self) -> String {
        let loaded = self.loaded;
        if self.options.project_name.is_some() {
            "the command line (`-p`)".to_owned()
        } else if self
            .source
            .env("COMPOSE_PROJECT_NAME")
            .is_some_and(|name| !name.is_empty())
        {
            "`COMPOSE_PROJECT_NAME` of the environment".to_owned()
        } else if let Some(place) = loaded
            .variable_places
            .get("COMPOSE_PROJECT_NAME")
            .and_then(|span| self.place(*span))
        {
            format!("`COMPOSE_PROJECT_NAME` of {}:{}", place.file, place.line)
        } else {
            format!("the directory {}", loaded.stack.working_dir.display())
        }
    }
}

fn layer_name(layer: Layer) -> &'static str {
    match layer {
        Layer::File => "file",
        Layer::Extends => "extends",
        Layer::Include => "include",
        Layer::Item => "list",
        Layer::EnvFile => "env_file",
    }
}

/// A value on one line.
pub(super) fn shown(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => render::yaml_scalar(text),
        Value::Map(map) if map.is_empty() => "{}".to_owned(),
        Value::List(items) if items.is_empty() => "[]".to_owned(),
        _ => render::raw_yaml(node).trim_end().to_owned(),
    }
}
