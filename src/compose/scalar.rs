//! What a plain YAML scalar means: null, boolean, number or text, as Compose's YAML reader has it.
//!
//! That reader follows YAML 1.2 for booleans (`yes` and `on` are text) and keeps 1.1's numbers
//! (`0755` is octal, `1_000` is a thousand) and dates.

use super::moment::Moment;
use super::tree::Value;

/// The value of a plain scalar.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Value::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text(text.to_owned());
    }
    if let Some(moment) = Moment::read(text) {
        return Value::Moment(moment);
    }
    let digits = text.replace('_', "");
    if digits != "-0"
        && let Some(number) = integer(&digits)
    {
        return Value::Int(number);
    }
    if is_float(&digits)
        && let Ok(number) = digits.parse::<f64>()
        && number.is_finite()
    {
        return Value::Float(number);
    }
    Value::Text(text.to_owned())
}

/// An integer in any of the notations, within 64 bits.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, body) = match body.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &body[2..]),
        [b'0', b'o' | b'O', ..] => (8, &body[2..]),
        [b'0', b'b' | b'B', ..] => (2, &body[2..]),
        [b'0', _, ..] => (8, &body[1..]),
        _ => (10, body),
    };
    // `from_str_radix` takes a sign of its own.
    if !body.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let number = i128::from_str_radix(body, radix).ok()?;
    let number = if negative { -number } else { number };
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&number)
        .then_some(number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`: narrower than what Rust parses.
pub(super) fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mantissa_ok =
        digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_ok && exponent_ok
}

/// Whether there is something like a container's name in a text. Docker Compose's pattern has no
/// anchors, so the rest may be anything.
pub(super) fn has_container_name(text: &str) -> bool {
    let first = |b: u8| b.is_ascii_alphanumeric();
    let next = |b: u8| first(b) || matches!(b, b'_' | b'.' | b'-');
    text.as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if first(*a) && next(*b)))
}

/// `always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+`
pub(super) fn is_pull_policy(text: &str) -> bool {
    const WORDS: [&str; 8] = [
        "always",
        "never",
        "build",
        "if_not_present",
        "missing",
        "refresh",
        "daily",
        "weekly",
    ];
    let Some(mut rest) = text.strip_prefix("every_") else {
        return WORDS.contains(&text);
    };
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let Some(next) = after.strip_prefix(['w', 'd', 'h', 'm', 's']) else {
            return false;
        };
        if after.len() == rest.len() {
            return false;
        }
        rest = next;
    }
    text.len() > "every_".len()
}

/// A boolean as Compose casts text to one; the flag says that only YAML 1.1 would call it so.
pub(super) fn boolean(text: &str) -> Option<(bool, bool)> {
    match text.to_lowercase().as_str() {
        "true" => Some((true, false)),
        "false" => Some((false, false)),
        "y" | "yes" | "on" => Some((true, true)),
        "n" | "no" | "off" => Some((false, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::diagnostic::Span;
    use crate::compose::tree::Node;

    #[test]
    fn plain_scalars_become_text_as_compose_writes_them() {
        // Left: as written. Right: the value of an environment variable in `docker compose config`.
        let table = [
            ("0x10", "16"),
            ("0755", "493"),
            ("0o17", "15"),
            ("1_000", "1000"),
            ("1.50", "1.5"),
            ("1e21", "1e+21"),
            ("true", "true"),
            ("yes", "yes"),
            ("12345678901234567890", "12345678901234567890"),
            ("123456789012345678901234567890", "1.2345678901234568e+29"),
            ("-0", "-0"),
            ("1e-7", "1e-07"),
            ("0b11", "3"),
            ("+5", "5"),
            ("22:22", "22:22"),
            ("TRUE", "true"),
            ("1.", "1"),
            (".5", "0.5"),
            ("0b2", "0b2"),
            ("09", "9"),
            ("-0x1f", "-31"),
            ("123456789.0", "1.23456789e+08"),
            ("1e3", "1000"),
            ("2001-01-01", "2001-01-01 00:00:00 +0000 UTC"),
            ("0x-5", "0x-5"),
            ("-", "-"),
            ("1e400", "1e400"),
            ("1.2.3.4", "1.2.3.4"),
        ];
        for (written, expected) in table {
            let node = Node::new(resolve(written), Span::default());
            assert_eq!(node.scalar_text().as_deref(), Some(expected), "{written}");
        }
        assert_eq!(resolve("~"), Value::Null);
    }
}
