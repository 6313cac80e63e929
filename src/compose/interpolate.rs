//! Interpolation of a tree: every text value, never a key.

use std::collections::HashSet;

use super::diagnostic::{Problems, Span};
use super::template::{self, Lookup, TemplateErrorKind};
use super::tree::{Node, Value};

/// Replaces the variables of all text values; mistakes and unset variables are recorded, each of
/// these once: `warned` has those that were told.
pub(super) fn interpolate(
    node: &mut Node,
    lookup: &Lookup<'_>,
    warned: &mut HashSet<String>,
    problems: &mut Problems,
) {
    let mut walk = Walk {
        lookup,
        problems,
        warned,
    };
    walk.node(node);
}

struct Walk<'a> {
    lookup: &'a Lookup<'a>,
    problems: &'a mut Problems,
    warned: &'a mut HashSet<String>,
}

impl Walk<'_> {
    // The depth of a tree is bounded by its reader.
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Map(map) => map
                .values_mut()
                .for_each(|entry| self.node(&mut entry.node)),
            Value::List(items) => items.iter_mut().for_each(|item| self.node(item)),
            Value::Text(text) if text.contains('$') => self.text(text, node.span),
            _ => {}
        }
    }

    fn text(&mut self, text: &mut String, span: Span) {
        let mut unset = Vec::new();
        let expanded = template::expand(text, self.lookup, &mut unset);
        for variable in unset {
            if self.warned.insert(variable.name.clone()) {
                let span = self.place(text, span, variable.range);
                let name = variable.name;
                self.problems
                    .warn(span, format!("the variable `{name}` is not set"))
                    .label("becomes an empty text")
                    .help(format!(
                        "set it in the environment or in `.env`, or give a default: `${{{name}:-value}}`"
                    ));
            }
        }
        match expanded {
            Ok(expanded) => *text = expanded,
            Err(error) => {
                let span = self.place(text, span, error.range);
                let diagnostic = self.problems.error(span, error.kind.to_string());
                match error.kind {
                    TemplateErrorKind::Invalid(_) | TemplateErrorKind::Unclosed(_) => diagnostic
                        .help("write `${NAME}`, or `$$` for a dollar sign that is to stay"),
                    TemplateErrorKind::Required { .. } => {
                        diagnostic.help("set it in the environment or in `.env`")
                    }
                    TemplateErrorKind::TooDeep => diagnostic,
                };
            }
        }
    }

    /// Where a part of a scalar's text lies in the file. Escapes and folded lines move the bytes:
    /// then it is the whole scalar.
    fn place(&self, text: &str, span: Span, range: std::ops::Range<usize>) -> Span {
        let written = self.problems.sources.text(span).unwrap_or("");
        match written.find(text) {
            Some(offset) if offset <= 1 => span.part(offset + range.start..offset + range.end),
            _ => span,
        }
    }
}
