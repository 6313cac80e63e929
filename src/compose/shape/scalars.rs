//! Texts, numbers, sizes, durations, and true or false.

use super::{At, Misshapen, Shaped, wrong};
use crate::compose::diagnostic::{Problems, completion};
use crate::compose::schema::{Pattern, SizeFrom};
use crate::compose::tree::{Node, Value, Written};
use crate::compose::{bytes, duration, scalar};

pub(super) fn to_text(node: &mut Node) -> Shaped {
    if matches!(node.value, Value::Int(_) | Value::Float(_)) {
        node.written = Written::Number;
    }
    node.value = Value::Text(node.scalar_text().unwrap_or_default());
    Ok(())
}

pub(in crate::compose) fn text(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
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

pub(super) fn word(
    node: &mut Node,
    words: &[&str],
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
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

pub(super) fn boolean(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
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
pub(in crate::compose) fn integer(
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

pub(super) fn short(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if node.as_text().is_some() {
        return wrong(node, "a whole number", at, problems);
    }
    integer(node, (0, i64::MAX), at, problems)?;
    node.value = Value::Int(node.as_int().unwrap_or_default() & 0xffff);
    Ok(())
}

/// A number of which only the whole part counts.
pub(super) fn whole(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    if let Value::Float(number) = node.value
        && number.is_finite()
    {
        // Beyond 64 bits the conversion saturates.
        node.value = Value::Int(i128::from(number as i64));
    }
    integer(node, (i64::MIN, i64::MAX), at, problems)
}

pub(super) fn matching(
    node: &mut Node,
    pattern: Pattern,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
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

pub(super) fn number(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
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

pub(super) fn size(
    node: &mut Node,
    from: SizeFrom,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
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

pub(super) fn duration_text(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
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
