//! Dates and times, which a plain scalar becomes as in Docker Compose: `2024-1-1`, `2024-01-01 10:00:00`,
//! `2024-01-01T10:00:00.5+02:00`. (go-yaml, `resolve.go`)

use std::fmt::Write as _;

/// A moment in time with a zone, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    /// Where text is asked for, as in a variable: `2024-01-01 00:00:00 +0000 UTC`.
    pub(super) text: String,
    /// By itself: `2024-01-01T00:00:00Z`.
    pub(super) stamp: String,
}

impl Moment {
    /// Reads a plain scalar; `None` = it is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let date_end = text.find(['T', 't', ' ']).unwrap_or(text.len());
        let (date, rest) = text.split_at(date_end);
        let date = read_date(date)?;
        let (clock, zone) = match rest.chars().next() {
            None => ("0:0:0", "Z"),
            Some(' ') => (&rest[1..], "Z"),
            Some(_) => split_zone(&rest[1..])?,
        };
        let (clock, fraction) = clock
            .split_once('.')
            .map_or((clock, None), |(clock, digits)| (clock, Some(digits)));
        let mut time = read_clock(clock)?;
        if let Some(digits) = fraction {
            number(digits, 1..=usize::MAX)?;
            let nanoseconds = digits.get(..9).unwrap_or(digits).trim_end_matches('0');
            if !nanoseconds.is_empty() {
                let _ = write!(time, ".{nanoseconds}");
            }
        }
        let offset = read_zone(zone)?;
        let zone = offset.replace(':', "");
        Some(match offset {
            "Z" | "+00:00" | "-00:00" => Self {
                text: format!("{date} {time} +0000 UTC"),
                stamp: format!("{date}T{time}Z"),
            },
            _ => Self {
                text: format!("{date} {time} {zone} {zone}"),
                stamp: format!("{date}T{time}{offset}"),
            },
        })
    }
}

fn number(text: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let fits = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let shown = text.get(..text.len().min(9))?;
    fits.then(|| shown.parse().ok()).flatten()
}

fn read_date(date: &str) -> Option<String> {
    let mut parts = date.splitn(3, '-');
    let year = number(parts.next()?, 4..=4)?;
    let month = number(parts.next()?, 1..=2)?;
    let day = number(parts.next()?, 1..=2)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days)
        .contains(&day)
        .then(|| format!("{year:04}-{month:02}-{day:02}"))
}

fn read_clock(clock: &str) -> Option<String> {
    let mut parts = clock.splitn(3, ':');
    let mut part = |limit| number(parts.next()?, 1..=2).filter(|part| *part < limit);
    let (hour, minute, second) = (part(24)?, part(60)?, part(60)?);
    Some(format!("{hour:02}:{minute:02}:{second:02}"))
}

/// A clock with its zone, which must be there.
fn split_zone(text: &str) -> Option<(&str, &str)> {
    let at = text.find(['Z', '+', '-'])?;
    Some(text.split_at(at))
}

/// `Z` or `+01:00`, within a day.
fn read_zone(zone: &str) -> Option<&str> {
    let Some(offset) = zone.strip_prefix(['+', '-']) else {
        return (zone == "Z").then_some(zone);
    };
    let (hours, minutes) = offset.split_once(':')?;
    let fits = number(hours, 2..=2)? < 24 && number(minutes, 2..=2)? < 60;
    fits.then_some(zone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_is_printed_in_two_ways() {
        let table = [
            (
                "2024-1-1",
                Some(("2024-01-01 00:00:00 +0000 UTC", "2024-01-01T00:00:00Z")),
            ),
            (
                "2024-02-29 1:2:3.50",
                Some(("2024-02-29 01:02:03.5 +0000 UTC", "2024-02-29T01:02:03.5Z")),
            ),
            (
                "2024-01-01t1:2:3.123456789012-05:30",
                Some((
                    "2024-01-01 01:02:03.123456789 -0530 -0530",
                    "2024-01-01T01:02:03.123456789-05:30",
                )),
            ),
            (
                "2024-01-01T10:00:00+00:00",
                Some(("2024-01-01 10:00:00 +0000 UTC", "2024-01-01T10:00:00Z")),
            ),
            (
                "0000-1-01",
                Some(("0000-01-01 00:00:00 +0000 UTC", "0000-01-01T00:00:00Z")),
            ),
            ("2023-02-29", None),
            ("2024-13-01", None),
            ("2024-001-01", None),
            ("2024-01-01T10:00:00", None),
            ("2024-01-01 10:00:00Z", None),
            ("2024-01-01 24:00:00", None),
            ("2024-01-01 1:2", None),
            ("2024-01-01 1:2:3.", None),
            ("24-01-01", None),
        ];
        for (written, expected) in table {
            let read = Moment::read(written);
            let read = read
                .as_ref()
                .map(|it| (it.text.as_str(), it.stamp.as_str()));
            assert_eq!(read, expected, "{written}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_badly(text in "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[Tt ][-+:.Z0-9é]{0,20}|.{0,20}") {
            if let Some(moment) = Moment::read(&text) {
                prop_assert_eq!(Moment::read(&moment.stamp).map(|again| again.stamp), Some(moment.stamp));
            }
        }
    }
}
