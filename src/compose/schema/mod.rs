//! Every key of a stack file: where it may stand, what it takes, what it is for.
//!
//! This table is the one place that knows the keys. The order of the fields is the order in which
//! Docker Compose prints them, so `render` follows it too. What an engine makes of a key is none of
//! its business: the engine has a table of its own.

mod build;
mod configs;
mod deploy;
mod develop;
mod hooks;
mod models;
mod mounts;
mod networks;
mod service;
mod top;
mod volumes;
mod x_stack;

pub(super) use configs::FILE_USE;
pub(super) use mounts::MOUNT;
pub(super) use networks::PORT;
pub(super) use service::{DEVICE, ENV_FILE, SERVICE, ULIMIT, container_fields};
pub(super) use top::TOP;

/// What a place of the tree takes, and the form it is brought to.
#[derive(Debug)]
pub(super) enum Shape {
    /// Text; anything else is a mistake.
    Text,
    /// Text or a number, kept as text.
    TextOrNumber,
    /// Text or a whole number, kept as text.
    TextOrInt,
    /// Text or a boolean, kept as text.
    TextOrBool,
    /// Text, a number or nothing, kept as text.
    TextNumberOrNothing,
    /// Any scalar, kept as text; nothing becomes empty text.
    Scalar,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A boolean, or text that says one.
    Bool,
    /// Text of a form.
    Matching(Pattern),
    /// `true` or `false` and nothing else.
    TrueOrFalse,
    /// A whole number of 16 bits; larger ones lose their upper bits.
    Short,
    /// A whole number within bounds, or text that says one.
    Int(i64, i64),
    /// A whole number, not as text.
    Integer,
    /// A number whose fraction is cut off, or text that says a whole one.
    Whole,
    /// A number whose fraction is cut off, not as text.
    WholeNumber,
    /// Permission bits: a number (`0755` is octal in YAML already), or text with octal digits;
    /// brought to text with a leading zero.
    FileMode,
    /// A number of single precision, or text that says one.
    Number,
    /// A size in bytes, brought to decimal digits.
    Size(SizeFrom),
    /// A duration, brought to Go's notation.
    Duration,
    /// A command: nothing, a line that is split as a shell would, or a list of words.
    Words,
    /// A health test: a line for the shell or a list that starts with `NONE`, `CMD`, `CMD-SHELL`.
    HealthTest,
    /// A list.
    List(&'static Shape),
    /// A list in which nothing stands twice.
    Unique(&'static Shape),
    /// A single value or a list of them.
    OneOrMore(&'static Shape),
    /// A single value, or a list of them in which nothing stands twice.
    OneOrUnique(&'static Shape),
    /// Names to values.
    Names(&'static Shape),
    /// Known keys.
    Keys(&'static Keys),
    /// The shape, or nothing.
    Optional(&'static Shape),
    /// `KEY: value` or `- KEY=value`, brought to a mapping.
    Pairs(NoValue),
    /// The same, of which a list has no item twice.
    UniquePairs,
    /// A list of names, or a mapping from them; brought to a mapping with the given shape.
    NamesOrList(&'static Shape, ListItem),
    /// A list of short or long forms, brought to long ones.
    Forms(Form),
    /// `external`: a boolean, or the old `{name: x}`.
    External,
    /// One limit, or soft and hard.
    Ulimit,
    /// Host names and addresses, brought to `name=address`.
    Hosts,
    /// Keys for a build: a list of `default` and `ID=PATH`, or a mapping; brought to a mapping.
    SshKeys,
    /// `all`, or a list of device requests with these keys.
    Gpus(&'static Keys),
    /// Steps before the start, which take over what the service has.
    PreStart(&'static Keys),
    /// How many devices: `all` (brought to -1) or a number.
    DeviceCount,
    /// Text, or the keys with the text under this one (`build: .`).
    Shorthand(&'static str, &'static Keys),
    /// Anything.
    Any,
}

/// The form of a text, as a regular expression without anchors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `[a-zA-Z0-9][a-zA-Z0-9_.-]+` somewhere in it.
    ContainerName,
    /// One of the words, or `every_` and a duration in whole units.
    PullPolicy,
}

/// What a size may be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SizeFrom {
    /// Text or a number; a fraction without a unit is nothing.
    Number,
    /// Text or a whole number.
    Integer,
    /// Text or a whole number that is not negative.
    Natural,
    /// Text.
    Text,
}

/// What a key without a value means in [`Shape::Pairs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoValue {
    /// The caller's value, else the variable is unset.
    Inherit,
    /// Empty text.
    Empty,
}

/// What a name in a list stands for in [`Shape::NamesOrList`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListItem {
    /// Nothing more is known of it.
    Nothing,
    /// `{condition: service_started}`.
    Dependency,
}

/// The short and long forms of list items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Port,
    Mount,
    Device,
    EnvFile,
    /// A use of a file: a config, or a secret of a build.
    File,
    /// A use of a secret in a container.
    Secret,
}

impl Form {
    /// The keys of the long form.
    pub(super) fn keys(self) -> &'static Keys {
        match self {
            Self::Port => &PORT,
            Self::Mount => &MOUNT,
            Self::Device => &DEVICE,
            Self::EnvFile => &ENV_FILE,
            Self::File | Self::Secret => &FILE_USE,
        }
    }
}

/// The keys of a mapping.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) fields: &'static [Field],
    /// Keys that must be there.
    pub(super) required: &'static [&'static str],
    /// Other keys that are taken.
    pub(super) others: Others,
}

/// What becomes of a key that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// `x-…` is kept, anything else is a mistake.
    Extensions,
    /// `x-…` is taken and dropped, anything else is a mistake.
    Dropped,
    /// Everything is taken and dropped.
    AllDropped,
    /// It is a mistake.
    None,
}

/// One key.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) shape: Shape,
    /// What it does, in one sentence: unit and default are in it.
    pub(super) description: &'static str,
    pub(super) print: Print,
    /// The key in JSON, where Docker Compose prints another one than it reads.
    pub(super) json_key: &'static str,
}

/// When `config` prints a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Print {
    /// Unless it is false, zero or empty.
    NotEmpty,
    /// Whenever it is given.
    Given,
    /// In YAML whenever it is given, in JSON unless it is zero.
    GivenInYaml,
    /// In JSON also when it is not given, as null.
    Always,
    /// Unless it is true.
    NotTrue,
    /// Whenever it is given or, as `{}`, when its parent is.
    WithParent,
    /// Never: it is used up while the file is loaded.
    Never,
}

impl Field {
    const fn print(mut self, print: Print) -> Self {
        self.print = print;
        self
    }

    const fn json_key(mut self, key: &'static str) -> Self {
        self.json_key = key;
        self
    }
}

impl Keys {
    /// The field of a key.
    pub(super) fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }

    const fn of(fields: &'static [Field]) -> Self {
        Self {
            fields,
            required: &[],
            others: Others::Extensions,
        }
    }

    const fn required(mut self, keys: &'static [&'static str]) -> Self {
        self.required = keys;
        self
    }

    const fn others(mut self, others: Others) -> Self {
        self.others = others;
        self
    }
}

/// A key, what it takes, and what it does.
const fn f(key: &'static str, shape: Shape, description: &'static str) -> Field {
    Field {
        key,
        shape,
        description,
        print: Print::NotEmpty,
        json_key: key,
    }
}

const TEXTS: Shape = Shape::List(&Shape::Text);
const UNIQUE_TEXTS: Shape = Shape::Unique(&Shape::Text);
const TEXT_OR_LIST: Shape = Shape::OneOrMore(&Shape::Text);
const TEXT_OR_UNIQUE: Shape = Shape::OneOrUnique(&Shape::Text);
const LABELS: Shape = Shape::Pairs(NoValue::Empty);
const UNIQUE_LABELS: Shape = Shape::UniquePairs;
const VARIABLES: Shape = Shape::Pairs(NoValue::Inherit);
const OPTIONS: Shape = Shape::Names(&Shape::TextOrNumber);
const COUNT: Shape = Shape::Int(0, i64::MAX);
const ANY_INT: Shape = Shape::Int(i64::MIN, i64::MAX);
const SIZE: Shape = Shape::Size(SizeFrom::Number);
const WHOLE_SIZE: Shape = Shape::Size(SizeFrom::Integer);

#[cfg(test)]
mod tests;
