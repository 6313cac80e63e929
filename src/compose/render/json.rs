//! JSON as Go's encoder writes it.

use super::Printed;
use crate::compose::tree::float_text;

/// How JSON is written.
pub(super) struct Style {
    indented: bool,
    /// `$` is doubled, so that the output can be loaded again.
    dollars: bool,
}

/// As `config` prints it.
pub(super) static CONFIG: Style = Style {
    indented: true,
    dollars: true,
};

/// With variables that are still to be filled in.
pub(super) static RAW: Style = Style {
    indented: true,
    dollars: false,
};

/// As it is hashed.
pub(super) static HASH: Style = Style {
    indented: false,
    dollars: false,
};

/// Writes a value.
pub(super) fn write(out: &mut String, value: &Printed, style: &Style) {
    json(out, value, 0, style);
}

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
        Printed::Text(text) | Printed::Moment(text) => json_text(out, text, style),
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
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", character as u32));
            }
            control if (control as u32) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", control as u32));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
