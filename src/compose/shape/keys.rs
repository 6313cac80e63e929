//! Mappings with known keys.

use super::{At, Misshapen, Shaped, apply, finite_below, wrong};
use crate::compose::diagnostic::{Problems, Span};
use crate::compose::hints;
use crate::compose::schema::{Keys, Others, Shape};
use crate::compose::tree::{Directive, Entry, Map, Node, Value};

/// A mapping with known keys.
pub(in crate::compose) fn keys(
    node: &mut Node,
    known: &'static Keys,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    let span = node.span;
    let Value::Map(map) = &mut node.value else {
        return wrong(node, "a mapping", at, problems);
    };
    // Elsewhere another file may have the key: see `complete`.
    for key in known.required.iter().filter(|_| at.is_in_list()) {
        if !map.contains_key(*key) {
            problems.error(span, format!("`{at}` has no `{key}`"));
            return Err(Misshapen);
        }
    }
    let mut old_name = None;
    map.retain(|key, entry| {
        let field = known.field(key);
        if field.is_none() && known.others != Others::None && key.starts_with("x-") {
            finite_below(&entry.node, &at.key(key), problems);
            return known.others == Others::Extensions;
        }
        if entry.node.directive == Directive::Reset {
            return true;
        }
        let Some(field) = field else {
            if known.others == Others::AllDropped {
                return false;
            }
            unknown_key(key, entry, known, at, problems);
            return false;
        };
        let at = at.key(key);
        if apply(&mut entry.node, &field.shape, &at, problems).is_err() {
            return false;
        }
        if matches!(field.shape, Shape::External)
            && let Value::Map(inner) = &mut entry.node.value
        {
            old_name = inner.swap_remove("name").map(|entry| entry.node);
            problems
                .warn(entry.key, format!("`{at}` with a mapping is obsolete"))
                .help("write `external: true`, and `name:` beside it");
            entry.node.value = Value::Bool(true);
        }
        true
    });
    if let Some(name) = old_name.filter(|name| name.as_text().is_some()) {
        take_old_name(map, (name, span), at, problems);
    }
    Ok(())
}

/// `external: {name: …}`: the name stands beside `external` today.
fn take_old_name(map: &mut Map, (name, key): (Node, Span), at: &At<'_>, problems: &mut Problems) {
    if let Some(own) = map.get("name").filter(|own| own.node.value != name.value) {
        problems
            .error(own.key, format!("`{at}` has two names"))
            .related(name.span, "the other one")
            .help("write `external: true`, and one `name:` beside it");
    }
    map.insert("name".to_owned(), Entry { key, node: name });
}

fn unknown_key(key: &str, entry: &Entry, known: &Keys, at: &At<'_>, problems: &mut Problems) {
    let place = match at.is_root() {
        true => "at the top of a stack file".to_owned(),
        false => format!("in `{at}`"),
    };
    let candidates = known.fields.iter().map(|field| field.key);
    // What a key is called here goes before what it looks like.
    let hint = hints::unknown_key(key, at);
    let meant = problems.suggestion(key, candidates);
    let diagnostic = problems.error(entry.key, format!("there is no key `{key}` {place}"));
    let looks_like_service = entry.node.get("image").is_some() || entry.node.get("build").is_some();
    if let Some(hint) = hint {
        diagnostic.label("unknown key").help(hint);
    } else if let Some(meant) = meant {
        diagnostic
            .label("unknown key")
            .help(format!("did you mean `{meant}`?"));
    } else if at.is_root() && looks_like_service {
        diagnostic
            .label("unknown key")
            .help(format!("put the service `{key}` under `services:`"));
    } else if known.others != Others::None {
        diagnostic
            .label("unknown key")
            .help("a key of your own starts with `x-`");
    }
}
