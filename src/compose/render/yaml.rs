//! YAML whose plain scalars mean the same to readers of version 1.1 and 1.2.

use super::Printed;
use super::json::json_number;
use crate::compose::scalar;
use crate::compose::tree::Value;

/// Writes a value as a block; the cursor stands where its first line goes on.
pub(super) fn write(out: &mut String, value: &Printed, depth: usize) {
    match value {
        Printed::Map(members) => {
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    indent(out, depth);
                }
                yaml_key(out, key);
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
                    Printed::Map(members) if !members.is_empty() => write(out, item, depth + 1),
                    Printed::List(items) if !items.is_empty() => write(out, item, depth + 1),
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
        write(out, member, depth + 1);
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

/// Characters that only double quotes can hold.
fn needs_escapes(text: &str) -> bool {
    text.chars().any(|c| {
        c.is_control()
            || matches!(
                c,
                '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
            )
    })
}

/// A key is never a block of lines.
fn yaml_key(out: &mut String, key: &str) {
    let key = key.replace('$', "$$");
    match needs_escapes(&key) {
        true => double_quoted(out, &key),
        false => one_line(out, &key),
    }
}

fn yaml_text(out: &mut String, text: &str, depth: usize) {
    let text = text.replace('$', "$$");
    let lines = text.contains('\n')
        && !needs_escapes(&text.replace('\n', ""))
        && !text.starts_with([' ', '\n'])
        && !text.lines().any(|line| line.ends_with(' '));
    if lines {
        literal(out, &text, depth);
    } else if needs_escapes(&text) {
        double_quoted(out, &text);
    } else {
        one_line(out, &text);
    }
}

/// Text on one line, quoted where a reader of YAML 1.1 or 1.2 would take it for something else: in
/// double quotes what is not text in 1.2, in single quotes the rest, as Docker Compose does.
fn one_line(out: &mut String, text: &str) {
    let is_text = matches!(scalar::resolve(text), Value::Text(_));
    if !is_text || is_date(text) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else if looks_like_number(text) || needs_quotes(text) {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    } else {
        out.push_str(text);
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
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
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
    scalar::is_float(body) || radix || (first_is_digit && is_clock(body))
}

/// YAML 1.1 reads `22:22` as a number of base 60.
fn is_clock(text: &str) -> bool {
    let mut parts = text.split(':');
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    parts.next().is_some_and(digits)
        && text.contains(':')
        && parts.all(|part| {
            digits(part) && (1..=2).contains(&part.split('.').next().unwrap_or("").len())
        })
}

/// YAML 1.1 reads `2001-01-01`, also with a time after it, as a date.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut number = |lengths: std::ops::RangeInclusive<usize>| {
        let part = parts.next().unwrap_or("");
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        lengths.contains(&digits)
    };
    number(4..=4) && number(1..=2) && number(1..=2)
}

fn needs_quotes(text: &str) -> bool {
    const WORDS: [&str; 12] = [
        "~", "null", "true", "false", "y", "n", "yes", "no", "on", "off", "<<", "=",
    ];
    if WORDS.contains(&text.to_lowercase().as_str()) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compose::diagnostic::Problems;
    use crate::compose::reader;

    fn written(text: &str) -> String {
        let mut out = String::new();
        one_line(&mut out, text);
        out
    }

    #[test]
    fn text_that_some_reader_takes_for_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "true",
            "null",
            "~",
            "",
            "12",
            "0x1f",
            "0b1",
            "1_000",
            "1.5",
            ".5",
            "1e3",
            ".inf",
            "22:22",
            "190:20:30",
            "2001-01-01",
            "2001-1-1 10:00:00",
            "=",
            "<<",
            "- a",
            "? a",
            "a: b",
            "a #b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a}",
            "[a]",
            "'a",
            "\"a",
            " a",
            "a ",
            "a:",
            "#a",
            "|",
            ">",
            "---",
            "0o17",
            "+12",
        ] {
            assert!(written(text).starts_with(['"', '\'']), "{text}");
        }
        for text in [
            "a",
            "nginx:1.27",
            "1000:1000",
            "7000-7010",
            "10m",
            "/a/b",
            "a:b",
            "a#b",
            "-c",
            "1.2.3.4",
            "8.8.8.8",
            "http://x/y?z=1",
            "a b",
            "2001-01",
            "1d",
        ] {
            assert_eq!(written(text), text);
        }
    }

    fn read_back(document: &str) -> Printed {
        let mut problems = Problems::default();
        let file = problems.sources.add("x".into(), document.into()).unwrap();
        let documents = reader::read(document, file, &mut problems);
        assert!(
            !problems.has_errors(),
            "{document:?}: {}",
            problems.finish()
        );
        super::super::plain(&documents[0])
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            text in "[-a: #\'\"\n\\\\0-9.~yn|>{}\\[\\]?!&*%@`]{0,12}|[^$]{0,20}",
            key in "[-a: #\'\"\n0-9.~yn]{1,12}|[^$]{1,20}",
        ) {
            prop_assume!(!text.contains(['$', '\0']) && !key.contains(['$', '\0']) && key != "<<");
            let value = Printed::Text(text);
            let inner = Printed::Map(vec![(key, Printed::List(vec![value.clone()]))]);
            let map = Printed::Map(vec![("a".to_owned(), inner), ("b".to_owned(), value)]);
            let mut document = String::new();
            write(&mut document, &map, 0);
            prop_assert_eq!(read_back(&document), map, "{}", document);
        }
    }
}
