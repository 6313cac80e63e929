//! Points in time as `--since` and `--until` take them.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use super::error::{Error, Result};

/// Reads a point in time: RFC 3339, a date with or without time (in UTC), seconds since 1970, or a
/// duration before `now` as Go writes it (`10m`, `1h30m`).
pub(crate) fn point(text: &str, now: Timestamp) -> Result<Timestamp> {
    parse(text.trim(), now).ok_or_else(|| {
        Error::new(format!("`{text}` is no point in time")).hint(
            "write it as 2026-01-02T15:04:05Z, as 2026-01-02, or as a time before now: 10m, 1h30m",
        )
    })
}

fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(duration) = go_duration(text) {
        return now
            .checked_sub(jiff::SignedDuration::try_from(duration).ok()?)
            .ok();
    }
    if let Some(timestamp) = unix(text) {
        return Some(timestamp);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Some(timestamp);
    }
    let local = text
        .parse::<civil::DateTime>()
        .or_else(|_| text.parse::<civil::Date>().map(civil::DateTime::from));
    let zoned = local.ok()?.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp())
}

/// `1700000000` or `1700000000.25`.
fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let nanoseconds: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Timestamp::new(seconds.parse().ok()?, nanoseconds.parse().ok()?).ok()
}

/// A duration as Go's `time.ParseDuration` reads it, without a sign.
fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
        ("d", 86_400.0),
    ];
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest
            .find(|char: char| char.is_ascii_digit() || char == '.')
            .unwrap_or(rest.len());
        let (_, seconds) = UNITS.iter().find(|(unit, _)| *unit == &rest[..end])?;
        rest = &rest[end..];
        let part = Duration::try_from_secs_f64(number * seconds).ok()?;
        total = total.checked_add(part)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_have_many_forms() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.5+01:00", "2026-01-02T02:04:05.5Z"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04", "2026-01-02T03:04:00Z"),
            ("2026-01-02", "2026-01-02T00:00:00Z"),
            ("10m", "2026-01-02T11:50:00Z"),
            ("1h30m", "2026-01-02T10:30:00Z"),
            ("1.5s", "2026-01-02T11:59:58.5Z"),
            ("250ms", "2026-01-02T11:59:59.75Z"),
            ("1767323045", "2026-01-02T03:04:05Z"),
            ("1767323045.25", "2026-01-02T03:04:05.25Z"),
        ] {
            let found = point(text, now).unwrap();
            assert_eq!(found, expected.parse().unwrap(), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "10",
            "m",
            "10x",
            "1e99h",
            "99999999999999999999",
        ] {
            let result = point(text, now);
            // A bare number is seconds since 1970.
            assert_eq!(result.is_ok(), text == "10", "{text}");
        }
    }
}
