//! The functions: Go's own, and those that Docker adds.

use serde_json::Value;

use super::go;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Index,
    Slice,
    Len,
    Print,
    Println,
    Printf,
    Json,
    Join,
    Split,
    Upper,
    Lower,
    Title,
    Pad,
    Truncate,
    Contains,
}

/// All names, for messages.
pub(super) const NAMES: [&str; 24] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "print",
    "println", "printf", "json", "join", "split", "upper", "lower", "title", "pad", "truncate",
    "contains",
];

/// The same, in the same order.
const FUNCTIONS: [Function; 24] = [
    Function::And,
    Function::Or,
    Function::Not,
    Function::Eq,
    Function::Ne,
    Function::Lt,
    Function::Le,
    Function::Gt,
    Function::Ge,
    Function::Index,
    Function::Slice,
    Function::Len,
    Function::Print,
    Function::Println,
    Function::Printf,
    Function::Json,
    Function::Join,
    Function::Split,
    Function::Upper,
    Function::Lower,
    Function::Title,
    Function::Pad,
    Function::Truncate,
    Function::Contains,
];

/// A width that a person may ask for.
const WIDTH_MAX: usize = 10_000;

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    let at = NAMES.iter().position(|known| *known == name)?;
    FUNCTIONS.get(at).copied()
}

/// Calls a function; the error says what is wrong with the arguments.
pub(super) fn apply(function: Function, arguments: &[Value]) -> Result<Value, String> {
    use Function as F;
    match (function, arguments) {
        (F::Not, [value]) => Ok((!truth(value)).into()),
        (F::Eq, [first, rest @ ..]) if !rest.is_empty() => {
            let mut equal = false;
            for other in rest {
                equal |= same(first, other)?;
            }
            Ok(equal.into())
        }
        (F::Ne, [a, b]) => Ok((!same(a, b)?).into()),
        (F::Lt, [a, b]) => Ok(order(a, b)?.is_lt().into()),
        (F::Le, [a, b]) => Ok(order(a, b)?.is_le().into()),
        (F::Gt, [a, b]) => Ok(order(a, b)?.is_gt().into()),
        (F::Ge, [a, b]) => Ok(order(a, b)?.is_ge().into()),
        (F::Index, [value, keys @ ..]) => keys.iter().try_fold(value.clone(), index),
        (F::Slice, [value, bounds @ ..]) if bounds.len() <= 2 => slice(value, bounds),
        (F::Len, [value]) => length(value).map(Value::from),
        (F::Print, values) => Ok(print(values).into()),
        (F::Println, values) => {
            let texts: Vec<String> = values.iter().map(text_of).collect();
            Ok((texts.join(" ") + "\n").into())
        }
        (F::Printf, [Value::String(form), values @ ..]) => Ok(printf(form, values).into()),
        (F::Json, [value]) => Ok(value.to_string().into()),
        (F::Join, [Value::Array(list), Value::String(between)]) => {
            let texts: Vec<String> = list.iter().map(text_of).collect();
            Ok(texts.join(between).into())
        }
        (F::Join, [Value::Null, Value::String(_)]) => Ok("".into()),
        (F::Split, [Value::String(text), Value::String(at)]) => Ok(split(text, at)),
        (F::Upper, [value]) => Ok(string(value)?.to_uppercase().into()),
        (F::Lower, [value]) => Ok(string(value)?.to_lowercase().into()),
        (F::Title, [value]) => Ok(title(string(value)?).into()),
        (F::Pad, [value, before, after]) => {
            let (before, after) = (count(before)?, count(after)?);
            let text = string(value)?;
            Ok(match text.is_empty() {
                true => text.into(),
                false => format!("{}{text}{}", " ".repeat(before), " ".repeat(after)).into(),
            })
        }
        (F::Truncate, [value, most]) => {
            let most = count(most)?;
            Ok(string(value)?.chars().take(most).collect::<String>().into())
        }
        (F::Contains, [Value::String(text), Value::String(part)]) => {
            Ok(text.contains(part.as_str()).into())
        }
        (function, arguments) => Err(misused(function, arguments)),
    }
}

fn misused(function: Function, arguments: &[Value]) -> String {
    let at = FUNCTIONS.iter().position(|known| *known == function);
    let name = at.and_then(|at| NAMES.get(at)).unwrap_or(&"it");
    match arguments {
        [] => format!("`{name}` needs arguments"),
        some => {
            let kinds: Vec<&str> = some.iter().map(kind).collect();
            format!("`{name}` cannot do anything with {}", kinds.join(" and "))
        }
    }
}

/// What a value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Go's truth: what is not empty and not zero.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A value as Go prints it: `[a b]`, `map[a:b]`.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let texts: Vec<String> = list.iter().map(inner).collect();
            format!("[{}]", texts.join(" "))
        }
        Value::Object(map) => match go::fields_of(map) {
            Some(fields) => {
                let values = fields.iter().map(|field| match map.get(*field) {
                    None | Some(Value::Null) => go::nothing(field).unwrap_or_default().to_owned(),
                    Some(value) => text_of(value),
                });
                format!("{{{}}}", values.collect::<Vec<_>>().join(" "))
            }
            None => {
                let mut keys: Vec<(&String, &Value)> = map.iter().collect();
                keys.sort_by_key(|(key, _)| *key);
                let pairs = keys.into_iter().map(|(key, value)| match value {
                    // A port that is not published: a list without addresses.
                    Value::Null if key.contains('/') => format!("{key}:[]"),
                    value => format!("{key}:{}", inner(value)),
                });
                format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
            }
        },
    }
}

fn inner(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        // What stands in a set, as `ExposedPorts`.
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        other => text_of(other),
    }
}

/// Blanks go between two values of which none is a text (`fmt.Sprint`).
fn print(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 && !value.is_string() && !values[at - 1].is_string() {
            out.push(' ');
        }
        out.push_str(&text_of(value));
    }
    out
}

fn same(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Ok(a.as_f64() == b.as_f64()),
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => {
            Err(format!("{} and {} are not comparable", kind(a), kind(b)))
        }
        _ => Ok(a == b),
    }
}

fn order(a: &Value, b: &Value) -> Result<std::cmp::Ordering, String> {
    let found = match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().partial_cmp(&b.as_f64()),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    };
    found.ok_or_else(|| format!("{} and {} have no order", kind(a), kind(b)))
}

/// A key that a map has not gives an empty text, as Go's zero value does for labels.
fn index(value: Value, key: &Value) -> Result<Value, String> {
    match (&value, key) {
        (Value::Object(map), Value::String(key)) => {
            Ok(map.get(key).cloned().unwrap_or_else(|| "".into()))
        }
        (Value::Null, Value::String(_)) => Ok("".into()),
        (Value::Array(list), Value::Number(number)) => {
            let found = number.as_u64().and_then(|at| usize::try_from(at).ok());
            found
                .and_then(|at| list.get(at))
                .cloned()
                .ok_or_else(|| format!("the list has {} items, but no [{number}]", list.len()))
        }
        _ => Err(format!("{} has no {} in it", kind(&value), kind(key))),
    }
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let number = |value: Option<&Value>, default: usize| match value {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .and_then(|number| usize::try_from(number).ok())
            .ok_or_else(|| format!("{} is no position", kind(value))),
    };
    let length = length(value)?;
    let from = number(bounds.first(), 0)?;
    let to = number(bounds.get(1), length)?;
    let outside = || format!("there is no [{from}:{to}] of {length}");
    match value {
        Value::String(text) => {
            let part = text.get(from..to).ok_or_else(outside)?;
            Ok(part.into())
        }
        Value::Array(list) => {
            let part = list.get(from..to).ok_or_else(outside)?;
            Ok(part.to_vec().into())
        }
        other => Err(format!("{} cannot be cut", kind(other))),
    }
}

/// Bytes of a text, items of a list or map.
fn length(value: &Value) -> Result<usize, String> {
    match value {
        Value::String(text) => Ok(text.len()),
        Value::Array(list) => Ok(list.len()),
        Value::Object(map) => Ok(map.len()),
        Value::Null => Ok(0),
        other => Err(format!("{} has no length", kind(other))),
    }
}

fn split(text: &str, at: &str) -> Value {
    match at.is_empty() {
        true => text.chars().map(|char| char.to_string()).collect(),
        false => text.split(at).collect(),
    }
}

fn string(value: &Value) -> Result<&str, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(""),
        other => Err(format!("a text was expected, and not {}", kind(other))),
    }
}

fn count(value: &Value) -> Result<usize, String> {
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| *number <= WIDTH_MAX)
        .ok_or_else(|| format!("a number from 0 to {WIDTH_MAX} was expected"))
}

fn title(text: &str) -> String {
    let mut before = ' ';
    let mut out = String::new();
    for char in text.chars() {
        match before.is_whitespace() {
            true => out.extend(char.to_uppercase()),
            false => out.push(char),
        }
        before = char;
    }
    out
}

/// The verbs `%s %v %d %q %t %%`, with width and `-`; others are printed as Go prints a bad verb.
fn printf(form: &str, values: &[Value]) -> String {
    let mut values = values.iter();
    let mut out = String::new();
    let mut chars = form.chars().peekable();
    while let Some(char) = chars.next() {
        if char != '%' {
            out.push(char);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = chars.next_if(|char| matches!(*char, '-' | '+' | '0'..='9' | '.')) {
            flags.push(flag);
        }
        let verb = chars.next().unwrap_or('!');
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = values.next() else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        let text = match (verb, value) {
            ('s' | 'v', Value::String(text)) => cut(text, &flags),
            ('s' | 'v', value) => text_of(value),
            ('d', Value::Number(number)) => number.to_string(),
            ('t', Value::Bool(truth)) => truth.to_string(),
            ('q', Value::String(text)) => Value::from(text.as_str()).to_string(),
            (verb, value) => format!("%!{verb}({})", text_of(value)),
        };
        out.push_str(&padded(&text, &flags));
    }
    out
}

/// The part of a text that a precision leaves (`%.3s`).
fn cut(text: &str, flags: &str) -> String {
    let precision = flags.split_once('.').map(|(_, digits)| digits);
    match precision.map(|digits| digits.parse::<usize>().unwrap_or(0)) {
        Some(count) => text.chars().take(count).collect(),
        None => text.to_owned(),
    }
}

fn padded(text: &str, flags: &str) -> String {
    let digits = flags.trim_start_matches(['-', '+']);
    let width = digits.split('.').next().unwrap_or(digits);
    let width = width.parse::<usize>().unwrap_or(0).min(WIDTH_MAX);
    let blank = " ".repeat(width.saturating_sub(text.chars().count()));
    match flags.starts_with('-') {
        true => format!("{text}{blank}"),
        false => format!("{blank}{text}"),
    }
}
