//! Durations in Go's notation (`1m30s`, `1.5h`, `500ms`), with Compose's days and weeks.

use std::time::Duration;

const UNITS: [(&str, u64); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];

/// The longest duration of Go's 64-bit nanoseconds, some 292 years.
const MAX_NANOS: u64 = i64::MAX as u64;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DurationError {
    #[error("it is empty")]
    Empty,
    #[error("a number is missing at `{0}`")]
    NoNumber(String),
    #[error("`{0}` has no unit")]
    NoUnit(String),
    #[error("`{0}` is not a unit")]
    UnknownUnit(String),
    #[error("it is negative")]
    Negative,
    #[error("it is too long")]
    TooLong,
}

/// Reads a duration and writes it as Go does; it may be negative.
pub(super) fn normal(text: &str) -> Result<String, DurationError> {
    match text.strip_prefix('-') {
        Some(rest) if !rest.starts_with('+') => {
            let written = format(parse(rest)?);
            Ok(match written.as_str() {
                "0s" => written,
                _ => format!("-{written}"),
            })
        }
        _ => parse(text).map(format),
    }
}

/// Reads a duration.
pub(super) fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.starts_with('-') {
        return Err(DurationError::Negative);
    }
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let dots = number.matches('.').count();
        if dots > 1 || dots == number.len() {
            return Err(DurationError::NoNumber(rest.to_owned()));
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit(number.to_owned()));
        }
        let scale = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, scale)| *scale)
            .ok_or_else(|| DurationError::UnknownUnit(unit.to_owned()))?;
        total = nanos(number, scale)
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MAX_NANOS)
            .ok_or(DurationError::TooLong)?;
        rest = next;
    }
    Ok(Duration::from_nanos(total))
}

/// A decimal number of units in nanoseconds, exact as long as the digits matter.
fn nanos(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut part: u128 = 0;
    let mut divisor: u128 = 1;
    for digit in fraction.bytes().take(18) {
        part = part * 10 + u128::from(digit - b'0');
        divisor *= 10;
    }
    let part = u64::try_from(part * u128::from(scale) / divisor).ok()?;
    whole.checked_mul(scale)?.checked_add(part)
}

/// Writes a duration as Go does: `1m30s`, `1h0m0s`, `1.5s`, `100ms`, `0s`.
pub(crate) fn format(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(MAX_NANOS);
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, scale) = match nanos {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return decimal(nanos, scale) + unit;
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u64, scale: u64) -> String {
    let fraction = value % scale;
    if fraction == 0 {
        return (value / scale).to_string();
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{}.{}", value / scale, digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_and_written_as_compose_does() {
        let table = [
            ("1m30s", "1m30s"),
            ("90s", "1m30s"),
            ("1.5h", "1h30m0s"),
            ("500ms", "500ms"),
            ("1500ms", "1.5s"),
            ("1d", "24h0m0s"),
            ("1w2d", "216h0m0s"),
            ("0", "0s"),
            ("0s", "0s"),
            (".5s", "500ms"),
            ("100us", "100µs"),
            ("1ns", "1ns"),
            ("60s", "1m0s"),
            ("1h", "1h0m0s"),
            ("1h1ms", "1h0m0.001s"),
        ];
        for (text, written) in table {
            assert_eq!(parse(text).map(format).as_deref(), Ok(written), "{text}");
        }
    }

    #[test]
    fn a_duration_may_be_negative_where_nothing_is_done_with_it() {
        for (text, written) in [("-90s", "-1m30s"), ("-0s", "0s"), ("1h", "1h0m0s")] {
            assert_eq!(normal(text).as_deref(), Ok(written), "{text}");
        }
        assert!(normal("--1s").is_err());
    }

    #[test]
    fn what_is_not_a_duration_is_refused_with_the_reason() {
        let table = [
            ("", "it is empty"),
            ("10", "`10` has no unit"),
            ("s", "a number is missing at `s`"),
            ("1x", "`x` is not a unit"),
            ("1s 2m", "`s ` is not a unit"),
            ("-1s", "it is negative"),
            ("999999999999h", "it is too long"),
            ("1.2.3s", "a number is missing at `1.2.3s`"),
        ];
        for (text, reason) in table {
            assert_eq!(
                parse(text).map_err(|e| e.to_string()),
                Err(reason.to_owned()),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanos in 0..=MAX_NANOS) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_it_fail_badly(text in "[0-9.]{0,30}[a-zµ]{0,2}|.{0,20}") {
            let _ = parse(&text);
        }
    }
}
