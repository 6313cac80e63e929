//! Checks a tree against the [`schema`](super::schema) and brings it to the long forms.
//!
//! Afterwards every value has the type and form that its place asks for; what could not be brought
//! there was recorded as an error and taken out, so that later phases can go on and find more.

mod at;
mod keys;
mod lists;
mod scalars;

use super::diagnostic::Problems;
use super::schema::{NoValue, Shape};
use super::tree::{Directive, Map, Node, Value};
use super::{forms, hints};
use lists::{list, names, names_of_list, wrap};
use scalars::{boolean, duration_text, matching, number, short, size, to_text, whole, word};

pub(super) use at::At;
pub(super) use keys::keys;
pub(super) use lists::{each, pairs, unique};
pub(super) use scalars::{integer, text};

/// A value could not be brought to its shape; why was recorded.
#[derive(Debug)]
pub(super) struct Misshapen;

/// Whether a value has its shape now.
pub(super) type Shaped = Result<(), Misshapen>;

/// Brings a value to a shape.
pub(super) fn apply(
    node: &mut Node,
    shape: &'static Shape,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    if node.directive == Directive::Reset {
        return Ok(());
    }
    finite(node, at, problems)?;
    match shape {
        Shape::Any => Ok(()),
        Shape::Text => text(node, at, problems),
        Shape::TextOrNumber => match &node.value {
            Value::Text(_) => Ok(()),
            Value::Int(_) | Value::Float(_) => to_text(node),
            _ => wrong(node, "text or a number", at, problems),
        },
        Shape::TextOrInt => match &node.value {
            Value::Text(_) => Ok(()),
            Value::Int(_) => to_text(node),
            _ => wrong(node, "text or a whole number", at, problems),
        },
        Shape::TextNumberOrNothing => match &node.value {
            Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Null => to_text(node),
            _ => wrong(node, "text or a number", at, problems),
        },
        Shape::TextOrBool => match &node.value {
            Value::Text(_) | Value::Bool(_) => to_text(node),
            _ => wrong(node, "text, true or false", at, problems),
        },
        Shape::Scalar => match &node.value {
            Value::List(_) | Value::Map(_) => wrong(node, "text or a number", at, problems),
            _ => to_text(node),
        },
        Shape::Word(words) => word(node, words, at, problems),
        Shape::Bool => boolean(node, at, problems),
        Shape::Matching(pattern) => matching(node, *pattern, at, problems),
        Shape::TrueOrFalse => match &node.value {
            Value::Bool(_) => Ok(()),
            _ => wrong(node, "true or false", at, problems),
        },
        Shape::Short => short(node, at, problems),
        Shape::Integer if node.as_text().is_some() => wrong(node, "a whole number", at, problems),
        Shape::Integer => integer(node, (i64::MIN, i64::MAX), at, problems),
        Shape::WholeNumber if node.as_text().is_some() => wrong(node, "a number", at, problems),
        Shape::Whole | Shape::WholeNumber => whole(node, at, problems),
        Shape::Int(least, most) => integer(node, (*least, *most), at, problems),
        Shape::FileMode => forms::file_mode(node, at, problems),
        Shape::Number => number(node, at, problems),
        Shape::Size(from) => size(node, *from, at, problems),
        Shape::Duration => duration_text(node, at, problems),
        Shape::Words => forms::words(node, at, problems),
        Shape::HealthTest => forms::health_test(node, at, problems),
        Shape::List(item) => list(node, item, at, problems),
        Shape::Unique(item) => {
            unique(node, at, problems);
            list(node, item, at, problems)
        }
        Shape::OneOrMore(item) | Shape::OneOrUnique(item) => {
            if !matches!(node.value, Value::List(_) | Value::Null | Value::Map(_)) {
                wrap(node);
            }
            if matches!(shape, Shape::OneOrUnique(_)) {
                unique(node, at, problems);
            }
            list(node, item, at, problems)
        }
        Shape::Names(inner) => names(node, inner, at, problems),
        Shape::Keys(known) => keys(node, known, at, problems),
        Shape::Optional(_) if node.value == Value::Null => Ok(()),
        Shape::Optional(inner) => apply(node, inner, at, problems),
        Shape::Pairs(no_value) => pairs(node, *no_value, at, problems),
        Shape::UniquePairs => {
            unique(node, at, problems);
            pairs(node, NoValue::Empty, at, problems)
        }
        Shape::NamesOrList(inner, item) => {
            if node.as_list().is_some() {
                unique(node, at, problems);
                names_of_list(node, *item, at, problems)?;
            } else if node.as_map().is_none() {
                return wrong(node, "a list or a mapping", at, problems);
            }
            names(node, inner, at, problems)
        }
        Shape::Forms(form) => forms::list(node, *form, at, problems),
        Shape::External => match &node.value {
            Value::Map(_) => Ok(()),
            _ => boolean(node, at, problems),
        },
        Shape::Ulimit => forms::ulimit(node, at, problems),
        Shape::Hosts => forms::hosts(node, at, problems),
        Shape::SshKeys => forms::ssh_keys(node, at, problems),
        Shape::Gpus(known) => forms::gpus(node, known, at, problems),
        Shape::PreStart(known) => forms::mappings(node, known, at, problems),
        Shape::DeviceCount => forms::device_count(node, at, problems),
        Shape::Shorthand(key, known) => {
            if node.as_text().is_some() {
                let inner = Node::new(std::mem::replace(&mut node.value, Value::Null), node.span);
                node.value = Value::Map(Map::default());
                node.set(key, inner);
            }
            keys(node, known, at, problems)
        }
    }
}

/// JSON, in which Docker Compose holds a file against its schema, has no infinity.
fn finite(node: &Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    match node.value {
        Value::Float(number) if !number.is_finite() => {
            let message = format!("`{at}` is not a number that can be used");
            problems.error(node.span, message);
            Err(Misshapen)
        }
        _ => Ok(()),
    }
}

/// The same for all that is below a key that has no shape. The depth of a tree is bounded by its reader.
fn finite_below(node: &Node, at: &At<'_>, problems: &mut Problems) {
    let _ = finite(node, at, problems);
    match &node.value {
        Value::Map(map) => map
            .iter()
            .for_each(|(key, entry)| finite_below(&entry.node, &at.key(key), problems)),
        Value::List(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| finite_below(item, &at.index(index), problems)),
        _ => {}
    }
}

/// Records that a value is of the wrong kind.
pub(super) fn wrong(node: &Node, wanted: &str, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let diagnostic = problems.error(
        node.span,
        format!("`{at}` must be {wanted}, not {}", node.kind()),
    );
    if let Some(hint) = hints::wrong_kind(node, wanted, at) {
        diagnostic.help(hint);
    }
    Err(Misshapen)
}
