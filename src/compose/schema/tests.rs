//! What must hold of the table itself.

use std::collections::BTreeSet;

use super::{Keys, Shape, TOP};

/// All keys below the top, with their places.
fn walk(keys: &'static Keys, at: &str, see: &mut dyn FnMut(&str, &'static Keys)) {
    see(at, keys);
    for field in keys.fields {
        below(&field.shape, &format!("{at}.{}", field.key), see);
    }
}

fn below(shape: &'static Shape, at: &str, see: &mut dyn FnMut(&str, &'static Keys)) {
    match shape {
        Shape::Keys(keys)
        | Shape::Shorthand(_, keys)
        | Shape::Gpus(keys)
        | Shape::PreStart(keys) => walk(keys, at, see),
        Shape::Forms(form) => walk(form.keys(), at, see),
        Shape::List(inner)
        | Shape::Unique(inner)
        | Shape::OneOrMore(inner)
        | Shape::OneOrUnique(inner)
        | Shape::Names(inner)
        | Shape::Optional(inner)
        | Shape::NamesOrList(inner, _) => below(inner, at, see),
        _ => {}
    }
}

#[test]
fn every_key_says_in_one_sentence_what_it_does() {
    let mut count = 0;
    walk(&TOP, "", &mut |at, keys| {
        for field in keys.fields {
            let text = field.description;
            let place = format!("{at}.{}: {text}", field.key);
            assert!(text.ends_with('.'), "{place}");
            assert!((12..=160).contains(&text.len()), "{place}");
            count += 1;
        }
    });
    assert!(count > 250, "{count}");
}

#[test]
fn no_key_stands_twice_and_what_is_required_is_known() {
    walk(&TOP, "", &mut |at, keys| {
        let names: BTreeSet<&str> = keys.fields.iter().map(|field| field.key).collect();
        assert_eq!(names.len(), keys.fields.len(), "{at}");
        for key in keys.required {
            assert!(names.contains(key), "{at}: {key}");
        }
    });
}
