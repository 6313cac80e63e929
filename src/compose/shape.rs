//! Checks a tree against the [`schema`](super::schema) and brings it to the long forms.
//!
//! Afterwards every value has the type and form that its place asks for; what could not be brought
//! there was recorded as an error and taken out, so that later phases can go on and find more.

use std::collections::HashMap;
use std::fmt;

use super::diagnostic::{Problems, Span, completion};
use super::forms;
use super::schema::{Keys, ListItem, NoValue, Others, Pattern, Shape, SizeFrom};
use super::tree::{self, Directive, Entry, Map, Node, Value, Written};
use super::{bytes, duration, hints, scalar};

/// Where in the tree the walk is, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl At<'_> {
    pub(super) const ROOT: At<'static> = At {
        parent: None,
        step: Step::Root,
    };

    pub(super) fn key<'a>(&'a self, key: &'a str) -> At<'a> {
        At {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    fn is_in_list(&self) -> bool {
        matches!(self.step, Step::Index(_)) || self.parent.is_some_and(At::is_in_list)
    }

    pub(super) fn index(&self, index: usize) -> At<'_> {
        At {
            parent: Some(self),
            step: Step::Index(index),
        }
    }
}

impl<'a> At<'a> {
    /// The keys on the way here, places in lists left out.
    pub(super) fn keys(&self) -> Vec<&'a str> {
        let mut keys = self.parent.map_or_else(Vec::new, At::keys);
        if let Step::Key(key) = self.step {
            keys.push(key);
        }
        keys
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let first = self
            .parent
            .is_none_or(|parent| matches!(parent.step, Step::Root));
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) if first => f.write_str(key),
            Step::Key(key) => write!(f, ".{key}"),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

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

fn wrap(node: &mut Node) {
    let item = Node::new(std::mem::replace(&mut node.value, Value::Null), node.span);
    node.value = Value::List(vec![item]);
    node.written = Written::Single;
}

fn to_text(node: &mut Node) -> Shaped {
    if matches!(node.value, Value::Int(_) | Value::Float(_)) {
        node.written = Written::Number;
    }
    node.value = Value::Text(node.scalar_text().unwrap_or_default());
    Ok(())
}

pub(super) fn text(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if node.as_text().is_some() {
        return Ok(());
    }
    let written = problems
        .sources
        .text(node.span)
        .unwrap_or_default()
        .to_owned();
    let message = format!("`{at}` must be text, not {}", node.kind());
    if node.scalar_text().is_none() {
        return wrong(node, "text", at, problems);
    }
    let diagnostic = problems.error(node.span, message);
    diagnostic.help(format!("put it in quotes: \"{written}\""));
    // What was meant is clear: go on with it, for the sake of the problems after this one.
    to_text(node)
}

fn word(node: &mut Node, words: &[&str], at: &At<'_>, problems: &mut Problems) -> Shaped {
    text(node, at, problems)?;
    let given = node.as_text().unwrap_or_default();
    if words.contains(&given) {
        return Ok(());
    }
    let list: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let words = words.iter().copied();
    let meant = problems
        .suggestion(given, words.clone())
        .or_else(|| completion(given, words));
    let diagnostic = problems.error(
        node.span,
        format!("`{at}` must be one of {}", list.join(", ")),
    );
    if let Some(meant) = meant {
        diagnostic.help(format!("did you mean `{meant}`?"));
    }
    Err(Misshapen)
}

fn boolean(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let written = match &node.value {
        Value::Bool(_) => return Ok(()),
        Value::Text(text) => text,
        _ => return wrong(node, "true or false", at, problems),
    };
    let Some((flag, old)) = scalar::boolean(written) else {
        problems.error(
            node.span,
            format!("`{at}` must be true or false, not `{written}`"),
        );
        return Err(Misshapen);
    };
    if old {
        problems
            .warn(
                node.span,
                format!("`{written}` is a boolean in YAML 1.1 only"),
            )
            .help(format!("write `{flag}`"));
    }
    node.value = Value::Bool(flag);
    Ok(())
}

/// A whole number within inclusive bounds.
pub(super) fn integer(
    node: &mut Node,
    bounds: (i64, i64),
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    let found = match &node.value {
        Value::Int(number) => Some(*number),
        Value::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Some(*number as i128)
        }
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let (least, most) = bounds;
    match found {
        Some(number) if (i128::from(least)..=i128::from(most)).contains(&number) => {
            node.value = Value::Int(number);
            Ok(())
        }
        Some(_) if most == i64::MAX => {
            problems.error(node.span, format!("`{at}` must be {least} or more"));
            Err(Misshapen)
        }
        Some(_) => {
            problems.error(
                node.span,
                format!("`{at}` must be between {least} and {most}"),
            );
            Err(Misshapen)
        }
        None => not_a_number(node, "a whole number", at, problems),
    }
}

fn short(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if node.as_text().is_some() {
        return wrong(node, "a whole number", at, problems);
    }
    integer(node, (0, i64::MAX), at, problems)?;
    node.value = Value::Int(node.as_int().unwrap_or_default() & 0xffff);
    Ok(())
}

/// A number of which only the whole part counts.
fn whole(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if let Value::Float(number) = node.value
        && number.is_finite()
    {
        // Beyond 64 bits the conversion saturates.
        node.value = Value::Int(i128::from(number as i64));
    }
    integer(node, (i64::MIN, i64::MAX), at, problems)
}

fn matching(node: &mut Node, pattern: Pattern, at: &At<'_>, problems: &mut Problems) -> Shaped {
    text(node, at, problems)?;
    let written = node.as_text().unwrap_or_default();
    let (matches, help) = match pattern {
        Pattern::ContainerName => (
            scalar::has_container_name(written),
            "a name has letters, digits, `_`, `.` and `-`, starts with a letter or digit, and is two or more long",
        ),
        Pattern::PullPolicy => (
            scalar::is_pull_policy(written),
            "use `always`, `missing`, `never`, `build`, `daily`, `weekly` or `every_<DURATION>`",
        ),
    };
    if matches {
        return Ok(());
    }
    let message = format!("`{at}` cannot be `{written}`");
    problems.error(node.span, message).help(help);
    Err(Misshapen)
}

fn not_a_number(node: &Node, wanted: &str, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let message = match node.scalar_text() {
        Some(text) => format!("`{at}` must be {wanted}, not `{text}`"),
        None => return wrong(node, wanted, at, problems),
    };
    problems.error(node.span, message);
    Err(Misshapen)
}

fn number(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let found = match &node.value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        Value::Text(text) if scalar::is_float(text) => text.parse().ok(),
        _ => None,
    };
    // Single precision, with the digits that are needed to tell it from its neighbours.
    let single = |number: f64| (number as f32).to_string().parse::<f64>().ok();
    match found.filter(|number| number.is_finite()).and_then(single) {
        Some(number) => {
            node.value = Value::Float(number);
            Ok(())
        }
        None => not_a_number(node, "a number", at, problems),
    }
}

fn size(node: &mut Node, from: SizeFrom, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let written = match (&node.value, from) {
        (Value::Int(number), SizeFrom::Natural) if *number < 0 => {
            return wrong(node, "0 or more", at, problems);
        }
        (Value::Int(_) | Value::Float(_), SizeFrom::Text) => {
            return text(node, at, problems);
        }
        (Value::Int(number), _) => number.to_string(),
        // Docker Compose does not look at it.
        (Value::Float(number), SizeFrom::Number) if number.is_finite() => "0".to_owned(),
        (Value::Moment(_), SizeFrom::Number) => "0".to_owned(),
        (Value::Float(number), _) if number.fract() == 0.0 => format!("{number:.0}"),
        (Value::Text(text), _) => match bytes::parse(text) {
            Ok(size) => size.to_string(),
            Err(error) => {
                let message = format!("`{at}` is not a size: `{text}`: {error}");
                problems
                    .error(node.span, message)
                    .help("a size is a number of bytes or has a unit: `512k`, `64m`, `1.5g`");
                return Err(Misshapen);
            }
        },
        _ => return wrong(node, "a size such as `64m`", at, problems),
    };
    node.value = Value::Text(written);
    Ok(())
}

fn duration_text(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let written = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Int(_) | Value::Float(_) => node.scalar_text().unwrap_or_default(),
        _ => return wrong(node, "a duration such as `1m30s`", at, problems),
    };
    match duration::normal(&written) {
        Ok(normal) => {
            node.value = Value::Text(normal);
            Ok(())
        }
        Err(error) => {
            let help = match error {
                duration::DurationError::NoUnit(_) => format!("add a unit: `{written}s`"),
                _ => "a duration is written like `90s`, `1m30s`, `500ms`".to_owned(),
            };
            problems
                .error(
                    node.span,
                    format!("`{at}` is not a duration: `{written}`: {error}"),
                )
                .help(help);
            Err(Misshapen)
        }
    }
}

fn list(node: &mut Node, item: &'static Shape, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let Value::List(items) = &mut node.value else {
        return wrong(node, "a list", at, problems);
    };
    let mut index = 0;
    items.retain_mut(|node| {
        let kept = apply(node, item, &at.index(index), problems).is_ok();
        index += 1;
        kept
    });
    Ok(())
}

/// Says which items of a list stand in it twice.
pub(super) fn unique(node: &Node, at: &At<'_>, problems: &mut Problems) {
    let items = node.as_list().unwrap_or_default();
    let mut seen: HashMap<(&str, String), Span> = HashMap::with_capacity(items.len());
    for item in items {
        let Some(text) = item.scalar_text() else {
            continue;
        };
        // `1` and `"1"` are two things.
        if let Some(first) = seen.insert((item.kind(), text), item.span) {
            let text = item.scalar_text().unwrap_or_default();
            problems
                .error(item.span, format!("`{at}` has `{text}` twice"))
                .related(first, "first given here")
                .help("take one of them out");
        }
    }
}

fn names(node: &mut Node, inner: &'static Shape, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let Value::Map(map) = &mut node.value else {
        return wrong(node, "a mapping", at, problems);
    };
    map.retain(|name, entry| apply(&mut entry.node, inner, &at.key(name), problems).is_ok());
    Ok(())
}

fn names_of_list(node: &mut Node, item: ListItem, at: &At<'_>, problems: &mut Problems) -> Shaped {
    let Value::List(items) = std::mem::replace(&mut node.value, Value::Null) else {
        return Ok(());
    };
    let mut map = tree::map_for(items.len());
    for (index, mut name) in items.into_iter().enumerate() {
        if text(&mut name, &at.index(index), problems).is_err() {
            continue;
        }
        let span = name.span;
        let mut value = Node::new(Value::Null, span);
        value.directive = name.directive;
        if item == ListItem::Dependency {
            value.value = Value::Map(Map::default());
            value.set("condition", Node::text("service_started", span));
            value.set("required", Node::new(Value::Bool(true), span));
        }
        let key = name.as_text().unwrap_or_default().to_owned();
        let entry = Entry {
            key: span,
            node: value,
        };
        map.insert(key, entry);
    }
    node.value = Value::Map(map);
    Ok(())
}

pub(super) fn pairs(
    node: &mut Node,
    no_value: NoValue,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    match &mut node.value {
        Value::List(_) => pairs_of_list(node, at, problems),
        Value::Map(_) => {}
        _ => {
            return wrong(node, "a mapping or a list of `KEY=value`", at, problems);
        }
    }
    let listed = node.written == Written::List;
    let Value::Map(map) = &mut node.value else {
        return Ok(());
    };
    map.retain(|key, entry| {
        let node = &mut entry.node;
        if key.is_empty() && !listed {
            problems.error(entry.key, format!("`{at}` has a key without a name"));
            return false;
        }
        match (&node.value, no_value) {
            (Value::Null, NoValue::Inherit) => true,
            (Value::List(_) | Value::Map(_), _) if node.directive != Directive::Reset => {
                let _ = wrong(node, "text, a number or a boolean", &at.key(key), problems);
                false
            }
            _ => finite(node, &at.key(key), problems)
                .and_then(|()| to_text(node))
                .is_ok(),
        }
    });
    Ok(())
}

fn pairs_of_list(node: &mut Node, at: &At<'_>, problems: &mut Problems) {
    let Value::List(items) = std::mem::replace(&mut node.value, Value::Null) else {
        return;
    };
    let mut map = tree::map_for(items.len());
    for (index, mut item) in items.into_iter().enumerate() {
        if text(&mut item, &at.index(index), problems).is_err() {
            continue;
        }
        let span = item.span;
        let line = item.as_text().unwrap_or_default();
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Value::Text(value.to_owned())),
            None => (line, Value::Null),
        };
        let mut value = Node::new(value, span);
        value.directive = item.directive;
        map.insert(
            key.to_owned(),
            Entry {
                key: span,
                node: value,
            },
        );
    }
    node.value = Value::Map(map);
    node.written = Written::List;
}

/// A mapping with known keys.
pub(super) fn keys(
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
        if let Some(own) = map.get("name").filter(|own| own.node.value != name.value) {
            problems
                .error(own.key, format!("`{at}` has two names"))
                .related(name.span, "the other one")
                .help("write `external: true`, and one `name:` beside it");
        }
        map.insert(
            "name".to_owned(),
            Entry {
                key: span,
                node: name,
            },
        );
    }
    Ok(())
}

fn unknown_key(key: &str, entry: &Entry, known: &Keys, at: &At<'_>, problems: &mut Problems) {
    let place = match at.step {
        Step::Root => "at the top of a stack file".to_owned(),
        _ => format!("in `{at}`"),
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
    } else if matches!(at.step, Step::Root) && looks_like_service {
        diagnostic
            .label("unknown key")
            .help(format!("put the service `{key}` under `services:`"));
    } else if known.others != Others::None {
        diagnostic
            .label("unknown key")
            .help("a key of your own starts with `x-`");
    }
}
