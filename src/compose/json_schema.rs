//! The table of keys as a JSON Schema, for editors: completion, descriptions, and mistakes shown while
//! they are made.
//!
//! It takes what the loader takes. Where a number, a boolean or one of some words is asked for, text
//! with a variable in it is right too: what it becomes is only known when the file is loaded. Draft 7,
//! since that is what the language servers for YAML and JSON understand in full.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::schema::{self, Field, Form, Keys, Others, Shape};

/// The JSON Schema of a stack file, as indented text with a line break at the end.
pub fn json_schema() -> String {
    let mut writer = Writer::default();
    let mut top = writer.mapping(&schema::TOP, "");
    let mut whole = Map::new();
    for (key, value) in [
        ("$schema", json!("http://json-schema.org/draft-07/schema#")),
        ("$id", json!("stack.schema.json")),
        ("title", json!("Stack file")),
        (
            "description",
            json!("The services, networks and volumes of a project: a Compose file."),
        ),
    ] {
        whole.insert(key.to_owned(), value);
    }
    if let Some(top) = top.as_object_mut() {
        whole.append(top);
    }
    let mut definitions: Vec<(String, Value)> = writer.definitions.into_iter().collect();
    definitions.sort_by(|(a, _), (b, _)| a.cmp(b));
    whole.insert(
        "definitions".to_owned(),
        Value::Object(definitions.into_iter().collect()),
    );
    // A value of this kind is always writable.
    // In an order of its own: a key that moves in the table is no change of the file.
    let mut whole = Value::Object(whole);
    whole.sort_all_objects();
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

/// Text that holds a variable: `${NAME}` or `$NAME`.
const VARIABLE: &str = r"\$(\{|[A-Za-z_])";

fn variable_or(pattern: &str) -> Value {
    json!({"type": "string", "pattern": format!("{VARIABLE}|{pattern}")})
}

#[derive(Default)]
struct Writer {
    /// Mappings that were written, under the first place they stand at.
    definitions: HashMap<String, Value>,
    names: HashMap<*const Keys, String>,
}

impl Writer {
    /// A reference to the definition of a mapping.
    fn keys(&mut self, keys: &'static Keys, at: &str) -> Value {
        let name = match self.names.get(&std::ptr::from_ref(keys)) {
            Some(name) => name.clone(),
            None => {
                self.names.insert(keys, at.to_owned());
                let definition = self.mapping(keys, at);
                self.definitions.insert(at.to_owned(), definition);
                at.to_owned()
            }
        };
        json!({"$ref": format!("#/definitions/{name}")})
    }

    fn mapping(&mut self, keys: &'static Keys, at: &str) -> Value {
        let fields = keys.fields.iter();
        let properties: Map<String, Value> = fields
            .map(|field| (field.key.to_owned(), self.field(field, at)))
            .collect();
        let mut mapping = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": keys.others == Others::AllDropped,
        });
        if !keys.required.is_empty() {
            mapping["required"] = json!(keys.required);
        }
        if keys.others != Others::None {
            mapping["patternProperties"] = json!({
                "^x-": {"description": "A key of your own; `x-stack` is read by this program, all else by nobody."}
            });
        }
        mapping
    }

    fn field(&mut self, field: &'static Field, at: &str) -> Value {
        let at = match at {
            "" => field.key.to_owned(),
            at => format!("{at}.{}", field.key),
        };
        let mut schema = self.shape(&field.shape, &at);
        if schema.get("$ref").is_some() {
            // Draft 7 ignores what stands beside a reference.
            schema = json!({"allOf": [schema]});
        }
        schema["description"] = json!(field.description);
        schema
    }

    fn shape(&mut self, shape: &'static Shape, at: &str) -> Value {
        match shape {
            Shape::Any => json!({}),
            Shape::Text => json!({"type": "string"}),
            Shape::TextOrNumber | Shape::Size(_) => {
                json!({"type": ["string", "number"]})
            }
            Shape::Duration => json!({"type": ["string", "number"]}),
            Shape::TextOrInt => json!({"type": ["string", "integer"]}),
            Shape::TextNumberOrNothing => json!({"type": ["string", "number", "null"]}),
            Shape::TextOrBool => json!({"type": ["string", "boolean"]}),
            Shape::Scalar => json!({"type": ["string", "number", "boolean", "null"]}),
            Shape::Word(words) => {
                json!({"anyOf": [{"enum": words}, variable_or("^$a")]})
            }
            Shape::Bool => boolean(),
            Shape::Int(least, most) => integer(*least, *most),
            Shape::Matching(_) => json!({"type": "string"}),
            Shape::TrueOrFalse => json!({"type": "boolean"}),
            Shape::Short => json!({"type": "integer", "minimum": 0}),
            Shape::Integer => json!({"type": "integer"}),
            Shape::WholeNumber => json!({"type": "number"}),
            Shape::Whole => {
                json!({"anyOf": [{"type": "number"}, variable_or(r"^\s*[+-]?[0-9]+\s*$")]})
            }
            Shape::PreStart(keys) => {
                json!({"type": "array", "items": self.keys(keys, at)})
            }
            Shape::FileMode => {
                json!({"anyOf": [{"type": "integer"}, variable_or("^[+-]?[0-7]+$")]})
            }
            Shape::Number => {
                json!({"anyOf": [{"type": "number"}, variable_or(r"^\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*$")]})
            }
            Shape::Words => {
                json!({"anyOf": [{"type": ["string", "null"]}, texts()]})
            }
            Shape::HealthTest => json!({"anyOf": [{"type": "string"}, texts()]}),
            Shape::List(item) => json!({"type": "array", "items": self.shape(item, at)}),
            Shape::Unique(item) => {
                json!({"type": "array", "items": self.shape(item, at), "uniqueItems": true})
            }
            Shape::OneOrMore(item) => {
                let item = self.shape(item, at);
                json!({"anyOf": [item, {"type": "array", "items": item}]})
            }
            Shape::OneOrUnique(item) => {
                let item = self.shape(item, at);
                json!({"anyOf": [item, {"type": "array", "items": item, "uniqueItems": true}]})
            }
            Shape::Names(inner) => self.names(inner, at),
            Shape::Keys(keys) => self.keys(keys, at),
            Shape::Optional(inner) => {
                let inner = self.shape(inner, at);
                json!({"anyOf": [{"type": "null"}, inner]})
            }
            Shape::Pairs(_) => pairs(texts()),
            Shape::UniquePairs => pairs(unique_texts()),
            Shape::NamesOrList(inner, _) => {
                let names = self.names(inner, at);
                json!({"anyOf": [unique_texts(), names]})
            }
            Shape::Forms(form) => self.forms(*form, at),
            Shape::External => {
                let named = json!({"type": "object", "properties": {"name": {"type": "string"}}});
                json!({"anyOf": [boolean(), named]})
            }
            Shape::Ulimit => {
                let both = self.keys(&schema::ULIMIT, at);
                json!({"anyOf": [integer(i64::MIN, i64::MAX), both]})
            }
            Shape::Hosts => {
                let address = json!({"anyOf": [{"type": "string"}, texts()]});
                json!({"anyOf": [unique_texts(), {"type": "object", "additionalProperties": address}]})
            }
            Shape::SshKeys => json!({"anyOf": [{"type": "string"}, pairs(texts())]}),
            Shape::Gpus(keys) => {
                let keys = self.keys(keys, at);
                json!({"anyOf": [{"const": "all"}, {"type": "array", "items": keys}, variable_or("^$a")]})
            }
            Shape::DeviceCount => {
                json!({"anyOf": [{"type": "integer"}, variable_or("^([Aa][Ll][Ll]|[+-]?[0-9]+)$")]})
            }
            Shape::Shorthand(_, keys) => {
                let keys = self.keys(keys, at);
                json!({"anyOf": [{"type": "string"}, keys]})
            }
        }
    }

    fn names(&mut self, inner: &'static Shape, at: &str) -> Value {
        json!({"type": "object", "additionalProperties": self.shape(inner, at)})
    }

    fn forms(&mut self, form: Form, at: &str) -> Value {
        let short = match form {
            Form::Port => json!({"type": ["string", "integer"]}),
            _ => json!({"type": "string"}),
        };
        let long = self.keys(form.keys(), at);
        let list = json!({"type": "array", "items": {"anyOf": [short, long]}});
        match form {
            Form::EnvFile => json!({"anyOf": [{"type": "string"}, list]}),
            _ => list,
        }
    }
}

fn texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}})
}

fn unique_texts() -> Value {
    json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})
}

fn pairs(lines: Value) -> Value {
    let value = json!({"type": ["string", "number", "boolean", "null"]});
    json!({"anyOf": [{"type": "object", "additionalProperties": value}, lines]})
}

fn boolean() -> Value {
    let words =
        "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy]([Ee][Ss])?|[Nn][Oo]?|[Oo][Nn]|[Oo][Ff][Ff])$";
    json!({"anyOf": [{"type": "boolean"}, variable_or(words)]})
}

fn integer(least: i64, most: i64) -> Value {
    let mut number = json!({"type": "integer"});
    if least != i64::MIN {
        number["minimum"] = json!(least);
    }
    if most != i64::MAX {
        number["maximum"] = json!(most);
    }
    json!({"anyOf": [number, variable_or(r"^\s*[+-]?[0-9]+\s*$")]})
}

#[cfg(test)]
mod tests;
