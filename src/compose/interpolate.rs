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
        if self.problems.budget.is_spent() {
            return;
        }
        let mut unset = Vec::new();
        let expanded = template::expand(text, self.lookup, &mut unset);
        let offset = match unset.is_empty() && expanded.is_ok() {
            true => None,
            false => self.offset(text, span),
        };
        for variable in unset {
            if self.warned.insert(variable.name.clone()) {
                let span = place(offset, span, variable.range);
                let name = variable.name;
                let set = self.problems.where_to_set();
                self.problems
                    .warn(
                        span,
                        format!(
                            "The \"{name}\" variable is not set. Defaulting to a blank string."
                        ),
                    )
                    .label("becomes an empty text")
                    .help(format!("{set}, or give a default: `${{{name}:-value}}`"));
            }
        }
        match expanded {
            Ok(expanded) => {
                let grown = expanded.len().saturating_sub(text.len());
                *text = expanded;
                if let Err(error) = self.problems.budget.take(0, grown) {
                    self.problems.error(span, error.to_string());
                    text.clear();
                }
            }
            Err(error) => {
                let span = place(offset, span, error.range);
                let set = self.problems.where_to_set();
                let diagnostic = self.problems.error(span, error.kind.to_string());
                match error.kind {
                    TemplateErrorKind::Invalid(_) | TemplateErrorKind::Unclosed(_) => diagnostic
                        .help("write `${NAME}`, or `$$` for a dollar sign that is to stay"),
                    TemplateErrorKind::Required { .. } => diagnostic.help(set),
                    TemplateErrorKind::TooDeep | TemplateErrorKind::TooLong => diagnostic,
                };
            }
        }
    }

    /// How far after the start of a scalar its text starts. Escapes and folded lines move the bytes:
    /// then there is no such place.
    fn offset(&self, text: &str, span: Span) -> Option<usize> {
        let written = self.problems.sources.text(span)?;
        (0..=1).find(|quote| {
            let inner = written.get(*quote..);
            inner.is_some_and(|inner| inner.starts_with(text))
        })
    }
}

/// Where a part of a scalar's text lies in the file; the whole scalar when that is not known.
fn place(offset: Option<usize>, span: Span, range: std::ops::Range<usize>) -> Span {
    match offset {
        Some(offset) => span.part(offset + range.start..offset + range.end),
        None => span,
    }
}
