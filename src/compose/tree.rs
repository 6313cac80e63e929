//! The value tree of a stack file: ordered, with the place of every key and value.

use std::sync::Arc;

use indexmap::IndexMap;

use super::diagnostic::Span;
use super::moment::Moment;

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
    pub(super) directive: Directive,
    pub(super) written: Written,
    /// What this took the place of, the nearest last.
    pub(super) earlier: Option<Arc<[Earlier]>>,
}

/// How a value was written that is brought to another form here, and that Compose keeps: there it
/// decides what is the same as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Written {
    /// In the form it has.
    #[default]
    Plainly,
    /// Of a mapping: as a list of `KEY=value`, or merged from two, which makes a list of them.
    List,
    /// Of a text: as a number.
    Number,
    /// Of a list: as one value.
    Single,
}

/// A value that another one took the place of. Its text is that of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) span: Span,
    pub(super) layer: Layer,
}

/// How a value came to lie below another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// In a file, or a document of one, before this one.
    File,
    /// In the service that this one extends.
    Extends,
    /// In a file that is included.
    Include,
    /// Further up in the same list.
    Item,
    /// In an environment or label file.
    EnvFile,
}

/// What a value's tag asks of the merge with earlier files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Directive {
    /// The rule of the key.
    #[default]
    Merge,
    /// `!reset`: take the earlier value away.
    Reset,
    /// `!override`: replace the earlier value.
    Override,
}

/// A value of YAML's core schema.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Moment(Moment),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// A mapping, in the order of the file. Its hashes are seeded anew in every process: what the keys of
/// a file would have to be to clash cannot be known when it is written.
pub(super) type Map = IndexMap<String, Entry, foldhash::fast::RandomState>;

/// A mapping with room for so many keys and no more.
pub(super) fn map_for(keys: usize) -> Map {
    Map::with_capacity_and_hasher(keys, Default::default())
}

/// A value of a mapping and the place of its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Span,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn new(value: Value, span: Span) -> Self {
        Self {
            value,
            span,
            directive: Directive::Merge,
            written: Written::Plainly,
            earlier: None,
        }
    }

    /// Records that this takes the place of another value.
    pub(super) fn shadow(&mut self, below: &Node, layer: Layer) {
        let before = below.earlier.as_deref().unwrap_or_default().iter().copied();
        let own = self.earlier.as_deref().unwrap_or_default().iter().copied();
        let span = below.span;
        let shadowed = before.chain([Earlier { span, layer }]).chain(own);
        self.earlier = Some(shadowed.collect());
    }

    /// Whether the values are the same, wherever they were written; a number is no text.
    pub(super) fn same_value(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Map(own), Value::Map(others)) => {
                own.len() == others.len()
                    && own.iter().all(|(key, entry)| {
                        others
                            .get(key)
                            .is_some_and(|other| entry.node.same_value(&other.node))
                    })
            }
            (Value::List(own), Value::List(others)) => {
                own.len() == others.len()
                    && own
                        .iter()
                        .zip(others)
                        .all(|(own, other)| own.same_value(other))
            }
            (own, others) => {
                let number = |node: &Node| node.written == Written::Number;
                own == others && number(self) == number(other)
            }
        }
    }

    pub(super) fn text(text: impl Into<String>, span: Span) -> Self {
        Self::new(Value::Text(text.into()), span)
    }

    pub(super) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_int(&self) -> Option<i128> {
        match self.value {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The value below a key of a mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key).map(|entry| &entry.node)
    }

    /// The value below a chain of keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Sets a key of a mapping; does nothing on other values.
    pub(super) fn set(&mut self, key: &str, node: Node) {
        if let Some(map) = self.as_map_mut() {
            let entry = Entry {
                key: node.span,
                node,
            };
            map.insert(key.to_owned(), entry);
        }
    }

    /// Text of a scalar as Compose writes it where text is asked for; `None` for null and collections.
    pub(super) fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Int(number) => Some(number.to_string()),
            Value::Float(number) => Some(float_text(*number)),
            Value::Moment(moment) => Some(moment.text.clone()),
            Value::Text(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// What kind of value this is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Moment(_) => "a date",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// A number as Go's `%v` prints a float64: the shortest digits, with an exponent of at least two
/// digits below 1e-4 and from 1e6 on. That is what Compose makes of a number where text is asked for.
pub(super) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{number}")
}
