//! Every key of the table in `schema` stands in some case of the corpus.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_yaml::Value;

use super::case::cases;
use crate::compose::schema::{self, Keys, Shape};

/// What a shape holds, as far as there are keys in it.
enum Inside {
    Fields(&'static Keys),
    Each(&'static Shape),
    EachWith(&'static Keys),
    Nothing,
}

fn inside(shape: &'static Shape) -> Inside {
    match shape {
        Shape::Keys(keys) | Shape::Shorthand(_, keys) => Inside::Fields(keys),
        Shape::List(shape)
        | Shape::Unique(shape)
        | Shape::OneOrMore(shape)
        | Shape::OneOrUnique(shape)
        | Shape::Names(shape)
        | Shape::NamesOrList(shape, _) => Inside::Each(shape),
        Shape::Optional(shape) => inside(shape),
        Shape::Forms(form) => Inside::EachWith(form.keys()),
        Shape::Gpus(keys) => Inside::EachWith(keys),
        Shape::Ulimit => Inside::Fields(&schema::ULIMIT),
        _ => Inside::Nothing,
    }
}

/// The paths of all keys.
fn known(keys: &'static Keys, path: &str, found: &mut BTreeSet<String>) {
    // Docker Compose has nothing to say about the last one: it is ours.
    for field in keys.fields.iter().filter(|field| field.key != "x-stack") {
        let path = format!("{path}.{}", field.key);
        let mut shape = inside(&field.shape);
        let mut each = path.clone();
        while let Inside::Each(inner) = shape {
            each.push_str(".*");
            shape = inside(inner);
        }
        match shape {
            Inside::Fields(keys) => known(keys, &each, found),
            Inside::EachWith(keys) => known(keys, &format!("{each}.*"), found),
            Inside::Each(_) | Inside::Nothing => {}
        }
        found.insert(path);
    }
}

/// The paths of the keys that stand in a value.
fn present(value: &Value, inside_of: Inside, path: &str, found: &mut BTreeSet<String>) {
    let members = || match value {
        Value::Mapping(mapping) => mapping.values().collect(),
        Value::Sequence(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    match (value, inside_of) {
        (Value::Tagged(tagged), inside_of) => present(&tagged.value, inside_of, path, found),
        (Value::Mapping(mapping), Inside::Fields(keys)) => {
            for (key, member) in mapping {
                if let Some(field) = key.as_str().and_then(|key| keys.field(key)) {
                    let path = format!("{path}.{}", field.key);
                    present(member, inside(&field.shape), &path, found);
                    found.insert(path);
                }
            }
        }
        (_, Inside::Each(shape)) => {
            for member in members() {
                present(member, inside(shape), &format!("{path}.*"), found);
            }
        }
        (_, Inside::EachWith(keys)) => {
            for member in members() {
                present(member, Inside::Fields(keys), &format!("{path}.*"), found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_of_the_table_stands_in_some_case() {
    let mut there = BTreeSet::new();
    for case in cases() {
        for text in case.yaml_files() {
            for document in serde_yaml::Deserializer::from_str(text) {
                // Some cases are there because they cannot be read.
                let Ok(mut value) = Value::deserialize(document) else {
                    break;
                };
                let _ = value.apply_merge();
                present(&value, Inside::Fields(&schema::TOP), "", &mut there);
            }
        }
    }
    let mut all = BTreeSet::new();
    known(&schema::TOP, "", &mut all);
    assert!(all.len() > 250, "the table is not all there: {}", all.len());
    let missing: Vec<&String> = all.difference(&there).collect();
    assert!(missing.is_empty(), "in no case: {missing:#?}");
}
