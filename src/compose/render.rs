//! `stack config`: the loaded stack as Docker Compose prints it.
//!
//! The finished tree is brought to a printable form first: keys in the order of the
//! [`schema`](super::schema), empty values left out. JSON, YAML and the hash input are written from it.

use super::load::Loaded;
use super::schema::{self, Field, Form, Keys, Print, Shape};
use super::tree::{Map, Node, Value, float_text};

/// The stack as indented JSON. Byte for byte what `docker compose config --format json` prints, which
/// has no line break at the end.
pub fn to_json(loaded: &Loaded) -> String {
    let mut out = String::new();
    json(&mut out, &printable(loaded, Dialect::Json), 0, &ESCAPED);
    out
}

/// The stack as YAML that readers of YAML 1.1 and 1.2 take for the same, with a line break at the end.
pub fn to_yaml(loaded: &Loaded) -> String {
    let mut out = String::new();
    let printed = printable(loaded, Dialect::Yaml);
    yaml(&mut out, &printed, 0);
    out
}

/// A service as compact JSON, without what does not change its containers.
pub(super) fn hash_input(service: &Node) -> String {
    const LEFT_OUT: [&str; 5] = ["build", "pull_policy", "scale", "depends_on", "profiles"];
    let mut out = String::new();
    let Some(Printed::Map(mut fields)) = print(service, &SERVICE_SHAPE, Dialect::Json) else {
        return out;
    };
    fields.retain(|(key, _)| !LEFT_OUT.contains(&key.as_str()));
    for (key, value) in &mut fields {
        if key == "deploy"
            && let Printed::Map(deploy) = value
        {
            deploy.retain(|(key, _)| key != "replicas");
        }
    }
    json(&mut out, &Printed::Map(fields), 0, &COMPACT);
    out
}

static SERVICE_SHAPE: Shape = Shape::Keys(&schema::SERVICE);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Json,
    Yaml,
}

/// A value ready to be written.
#[derive(Debug, Clone, PartialEq)]
enum Printed {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Printed>),
    Map(Vec<(String, Printed)>),
}

fn printable(loaded: &Loaded, dialect: Dialect) -> Printed {
    let stack = &loaded.stack;
    let used_by_services = |kind: &str, name: &str| {
        loaded
            .tree
            .get("services")
            .and_then(Node::as_map)
            .into_iter()
            .flatten()
            .any(|(service, entry)| {
                let items = entry.node.get(kind).and_then(Node::as_list);
                stack.services.contains_key(service.as_str())
                    && items
                        .unwrap_or_default()
                        .iter()
                        .any(|item| item.get("source").and_then(Node::as_text) == Some(name))
            })
    };
    let is_printed = |kind: &str, name: &str| match kind {
        "services" => stack.services.contains_key(name),
        "networks" => stack.networks.contains_key(name),
        "volumes" => stack.volumes.contains_key(name),
        "configs" | "secrets" => used_by_services(kind, name),
        _ => true,
    };
    let mut fields = Vec::new();
    for (key, entry) in loaded.tree.as_map().into_iter().flatten() {
        if matches!(key.as_str(), "version" | "include") {
            continue;
        }
        let field = schema::TOP.field(key);
        let shape = field.map_or(&Shape::Any, |field| &field.shape);
        let Some(mut value) = print(&entry.node, shape, dialect) else {
            continue;
        };
        if let Printed::Map(members) = &mut value
            && field.is_some()
        {
            members.retain(|(name, _)| is_printed(key, name));
        }
        let empty = matches!(&value, Printed::Map(members) if members.is_empty());
        if !empty || key == "services" {
            fields.push((key.clone(), value));
        }
    }
    let rank = |key: &str| match dialect {
        // JSON comes out of a Go map (sorted), YAML out of a struct (its own order).
        Dialect::Json => 0,
        Dialect::Yaml => [
            "name", "services", "networks", "volumes", "secrets", "configs",
        ]
        .iter()
        .position(|known| *known == key)
        .unwrap_or(usize::MAX),
    };
    fields.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    Printed::Map(fields)
}

/// The printable form; `None` when the value is left out.
fn print(node: &Node, shape: &'static Shape, dialect: Dialect) -> Option<Printed> {
    Some(match (shape, &node.value) {
        (Shape::Optional(inner), value) if *value != Value::Null => {
            return print(node, inner, dialect);
        }
        (Shape::Keys(keys) | Shape::Shorthand(_, keys), Value::Map(map)) => {
            keyed(map, keys, dialect)
        }
        (Shape::Names(inner) | Shape::NamesOrList(inner, _), Value::Map(map)) => {
            let mut members: Vec<(String, Printed)> = map
                .iter()
                .filter_map(|(key, entry)| Some((key.clone(), print(&entry.node, inner, dialect)?)))
                .collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Printed::Map(members)
        }
        (Shape::List(inner) | Shape::OneOrMore(inner), Value::List(items)) => Printed::List(
            items
                .iter()
                .filter_map(|item| print(item, inner, dialect))
                .collect(),
        ),
        (Shape::Forms(form), Value::List(items)) => {
            let keys = form_keys(*form);
            let items = items.iter().filter_map(Node::as_map);
            Printed::List(items.map(|map| keyed(map, keys, dialect)).collect())
        }
        (Shape::Ulimit, Value::Map(map)) => keyed(map, &schema::ULIMIT, dialect),
        _ => plain(node),
    })
}

fn form_keys(form: Form) -> &'static Keys {
    match form {
        Form::Port => &schema::PORT,
        Form::Mount => &schema::MOUNT,
        Form::Device => &schema::DEVICE,
        Form::EnvFile => &schema::ENV_FILE,
        Form::Secret => &schema::SECRET_USE,
    }
}

/// A value without a schema: mappings sorted.
fn plain(node: &Node) -> Printed {
    match &node.value {
        Value::Null => Printed::Null,
        Value::Bool(flag) => Printed::Bool(*flag),
        Value::Int(number) => Printed::Int(*number),
        Value::Float(number) => Printed::Float(*number),
        Value::Text(text) => Printed::Text(text.clone()),
        Value::List(items) => Printed::List(items.iter().map(plain).collect()),
        Value::Map(map) => {
            let mut members: Vec<(String, Printed)> = map
                .iter()
                .map(|(key, entry)| (key.clone(), plain(&entry.node)))
                .collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Printed::Map(members)
        }
    }
}

fn keyed(map: &Map, keys: &'static Keys, dialect: Dialect) -> Printed {
    let mut members = Vec::new();
    for field in keys.fields {
        match map.get(field.key) {
            Some(entry) if is_printed(&entry.node, field) => {
                let value = print(&entry.node, &field.shape, dialect);
                members.extend(value.map(|value| (field.key.to_owned(), value)));
            }
            _ if dialect == Dialect::Yaml => {}
            _ if field.print == Print::Always => {
                members.push((field.key.to_owned(), Printed::Null));
            }
            _ if field.print == Print::WithParent => {
                members.push((field.key.to_owned(), Printed::Map(Vec::new())));
            }
            _ => {}
        }
    }
    if dialect == Dialect::Yaml {
        let own = map.iter().filter(|(key, _)| key.starts_with("x-"));
        let mut own: Vec<(String, Printed)> = own
            .map(|(key, entry)| (key.clone(), plain(&entry.node)))
            .collect();
        own.sort_by(|(a, _), (b, _)| a.cmp(b));
        members.extend(own);
    }
    Printed::Map(members)
}

fn is_printed(node: &Node, field: &Field) -> bool {
    match field.print {
        Print::Given | Print::WithParent => node.value != Value::Null,
        Print::Always => node.value != Value::Null,
        Print::NotTrue => node.value == Value::Bool(false),
        Print::NotEmpty => !is_empty(node, &field.shape),
    }
}

fn is_empty(node: &Node, shape: &Shape) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Int(number) => *number == 0,
        Value::Float(number) => *number == 0.0,
        Value::Text(text) => text.is_empty() || (matches!(shape, Shape::Size(_)) && text == "0"),
        Value::List(items) => items.is_empty(),
        Value::Map(map) => {
            let object = matches!(
                shape,
                Shape::Keys(_) | Shape::Optional(_) | Shape::Shorthand(..)
            );
            map.is_empty() && !object
        }
    }
}

/// How JSON is written.
struct Style {
    indented: bool,
    /// `$` is doubled, so that the output can be loaded again.
    dollars: bool,
    /// `<`, `>` and `&` as escapes, as Go's encoder does by itself.
    html: bool,
}

static ESCAPED: Style = Style {
    indented: true,
    dollars: true,
    html: false,
};

static COMPACT: Style = Style {
    indented: false,
    dollars: false,
    html: true,
};

fn json(out: &mut String, value: &Printed, depth: usize, style: &Style) {
    let line = |out: &mut String, depth: usize| {
        if style.indented {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    match value {
        Printed::Null => out.push_str("null"),
        Printed::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Printed::Int(number) => out.push_str(&number.to_string()),
        Printed::Float(number) => out.push_str(&json_number(*number)),
        Printed::Text(text) => json_text(out, text, style),
        Printed::List(items) if items.is_empty() => out.push_str("[]"),
        Printed::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                json(out, item, depth + 1, style);
            }
            line(out, depth);
            out.push(']');
        }
        Printed::Map(members) if members.is_empty() => out.push_str("{}"),
        Printed::Map(members) => {
            out.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                line(out, depth + 1);
                json_text(out, key, style);
                out.push_str(if style.indented { ": " } else { ":" });
                json(out, member, depth + 1, style);
            }
            line(out, depth);
            out.push('}');
        }
    }
}

fn json_number(number: f64) -> String {
    let size = number.abs();
    // JSON has no words for these; Go's encoder refuses them.
    if !number.is_finite() {
        return "null".to_owned();
    }
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        return float_text(number).replace("e-0", "e-");
    }
    format!("{number}")
}

/// Text with the escapes that Go's encoder chooses.
fn json_text(out: &mut String, text: &str, style: &Style) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '$' if style.dollars => out.push_str("$$"),
            '<' | '>' | '&' if style.html => {
                out.push_str(&format!("\\u{:04x}", character as u32));
            }
            '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", character as u32)),
            control if (control as u32) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", control as u32));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

fn yaml(out: &mut String, value: &Printed, depth: usize) {
    match value {
        Printed::Map(members) => {
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    indent(out, depth);
                }
                yaml_text(out, key, depth);
                out.push(':');
                yaml_member(out, member, depth);
            }
        }
        Printed::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    indent(out, depth);
                }
                out.push_str("- ");
                match item {
                    Printed::Map(members) if !members.is_empty() => yaml(out, item, depth + 1),
                    Printed::List(items) if !items.is_empty() => yaml(out, item, depth + 1),
                    _ => {
                        yaml_scalar(out, item, depth + 1);
                        out.push('\n');
                    }
                }
            }
        }
        scalar => yaml_scalar(out, scalar, depth),
    }
}

fn yaml_member(out: &mut String, member: &Printed, depth: usize) {
    let nested = match member {
        Printed::Map(members) => !members.is_empty(),
        Printed::List(items) => !items.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        indent(out, depth + 1);
        yaml(out, member, depth + 1);
    } else {
        out.push(' ');
        yaml_scalar(out, member, depth + 1);
        out.push('\n');
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn yaml_scalar(out: &mut String, value: &Printed, depth: usize) {
    match value {
        Printed::Null => out.push_str("null"),
        Printed::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Printed::Int(number) => out.push_str(&number.to_string()),
        Printed::Float(number) if number.is_finite() => out.push_str(&json_number(*number)),
        Printed::Float(number) => out.push_str(match () {
            () if number.is_nan() => ".nan",
            () if *number > 0.0 => ".inf",
            () => "-.inf",
        }),
        Printed::Text(text) => yaml_text(out, text, depth),
        Printed::List(_) => out.push_str("[]"),
        Printed::Map(_) => out.push_str("{}"),
    }
}

/// Text, quoted where a reader of YAML 1.1 or 1.2 would take it for something else.
fn yaml_text(out: &mut String, text: &str, depth: usize) {
    let text = text.replace('$', "$$");
    let special = text.chars().any(|c| {
        c.is_control()
            || matches!(
                c,
                '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            )
    });
    let lines_only = text.contains('\n')
        && !text.chars().any(|c| c.is_control() && c != '\n')
        && !text.starts_with([' ', '\n', '\t'])
        && !text.lines().any(|line| line.ends_with(' '));
    if lines_only && !text.contains(['\u{2028}', '\u{2029}', '\u{feff}', '\u{85}']) {
        literal(out, &text, depth);
    } else if special {
        double_quoted(out, &text);
    } else if looks_like_number(&text) {
        out.push('"');
        out.push_str(&text);
        out.push('"');
    } else if needs_quotes(&text) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    } else {
        out.push_str(&text);
    }
}

/// A block of lines; `-` and `+` say what becomes of the line breaks at the end.
fn literal(out: &mut String, text: &str, depth: usize) {
    let body = text.trim_end_matches('\n');
    out.push_str(match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth.max(1));
            out.push_str(line);
        }
    }
    // The line break that ends the block itself is written by the caller.
    out.extend(std::iter::repeat_n(
        '\n',
        (text.len() - body.len()).saturating_sub(1),
    ));
}

fn double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control()
                || matches!(c as u32, 0x2028 | 0x2029 | 0xfeff | 0xfffe | 0xffff) =>
            {
                let code = c as u32;
                out.push_str(&match code {
                    0..0x100 => format!("\\x{code:02x}"),
                    _ => format!("\\u{code:04x}"),
                });
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// What some reader takes for a number, a time or a date.
fn looks_like_number(text: &str) -> bool {
    let digits = text.replace('_', "");
    let body = digits.strip_prefix(['-', '+']).unwrap_or(&digits);
    if body.is_empty() {
        return false;
    }
    if matches!(body.to_ascii_lowercase().as_str(), ".inf" | ".nan") {
        return true;
    }
    let first_is_digit = body.starts_with(|c: char| c.is_ascii_digit());
    let prefixed = ["0x", "0o", "0b"]
        .iter()
        .any(|prefix| body.to_ascii_lowercase().starts_with(prefix));
    let radix = prefixed && body[2..].chars().all(|c| c.is_ascii_hexdigit());
    // YAML 1.1: sexagesimal numbers (22:22) and dates (2001-01-01, with time and zone).
    let clock = first_is_digit
        && body.contains(':')
        && body
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ':' | '.'));
    let date = first_is_digit
        && body.contains('-')
        && body.chars().all(|c| {
            c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | '+' | 'T' | 't' | 'Z' | ' ')
        });
    super::scalar::is_float(body) || radix || clock || date
}

fn needs_quotes(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", "<<", "=",
    ];
    if text.is_empty() || WORDS.contains(&text.to_lowercase().as_str()) {
        return true;
    }
    let first = text.chars().next().unwrap_or(' ');
    let indicator = matches!(
        first,
        ',' | '['
            | ']'
            | '{'
            | '}'
            | '#'
            | '&'
            | '*'
            | '!'
            | '|'
            | '>'
            | '\''
            | '"'
            | '%'
            | '@'
            | '`'
    );
    let lone =
        matches!(first, '-' | '?' | ':') && text[1..].chars().next().is_none_or(|c| c == ' ');
    indicator
        || lone
        || text.starts_with(' ')
        || text.ends_with(' ')
        || text.ends_with(':')
        || text.contains(": ")
        || text.contains(" #")
        || text.starts_with("---")
        || text.starts_with("...")
}
