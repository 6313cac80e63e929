//! Keys that must be there: looked for each time a file was laid over those before it, for what one
//! file leaves out an earlier one may have, or a service that is extended.

use super::diagnostic::Problems;
use super::schema::{self, Keys, Shape};
use super::shape::At;
use super::tree::Node;

/// Records which keys a merged tree lacks. Items of lists are none of its business: they do not merge,
/// so [`shape`](super::shape) tells what they lack.
pub(super) fn check(tree: &Node, problems: &mut Problems) {
    keys(tree, &schema::TOP, &At::ROOT, problems);
}

fn keys(node: &Node, known: &Keys, at: &At<'_>, problems: &mut Problems) {
    let Some(map) = node.as_map() else {
        return;
    };
    for key in known.required {
        // What is wrong with it was told when it was taken out.
        if !map.contains_key(*key) && !problems.has_error_in(node.span) {
            problems.error(node.span, format!("`{at}` has no `{key}`"));
        }
    }
    for (key, entry) in map {
        if let Some(field) = known.field(key) {
            shape(&entry.node, &field.shape, &at.key(key), problems);
        }
    }
}

fn shape(node: &Node, shape_of: &Shape, at: &At<'_>, problems: &mut Problems) {
    match shape_of {
        Shape::Keys(known) | Shape::Shorthand(_, known) => keys(node, known, at, problems),
        Shape::Ulimit => keys(node, &schema::ULIMIT, at, problems),
        Shape::Optional(inner) => shape(node, inner, at, problems),
        Shape::Names(inner) | Shape::NamesOrList(inner, _) => {
            for (name, entry) in node.as_map().into_iter().flatten() {
                shape(&entry.node, inner, &at.key(name), problems);
            }
        }
        _ => {}
    }
}
