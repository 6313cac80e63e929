//! Durations, times and sizes in Docker's words: scripts and eyes know them.

use std::time::Duration;

use jiff::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// A duration as Docker says it (`go-units` `HumanDuration`).
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    // Docker rounds hours half up, and everything larger is counted in those hours.
    let hours = (duration.as_secs() + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        MINUTE..120 => "About a minute".to_owned(),
        120..HOUR => format!("{} minutes", seconds / MINUTE),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / HOUR / 24 / 365),
    }
}

/// The time from `then` to `now`; none when the clock was set back in between.
pub(crate) fn between(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// How long ago, in words (`3 minutes ago`).
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", duration(between(then, now)))
}

/// A point in time as Docker's listings have it (`2026-01-02 03:04:05 +0000 UTC`).
pub(crate) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// A number of bytes with three significant digits and decimal units (`7.8MB`), as Docker's lists of
/// images.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    // A size loses digits here that nobody sees: three are shown.
    #[expect(clippy::cast_precision_loss, reason = "only three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    let mut text = format!("{value:.digits$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{text}{}", UNITS[unit])
}

/// A number of bytes with four significant digits and binary units (`1.172MiB`), as Docker's
/// statistics have memory.
pub(crate) fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    #[expect(clippy::cast_precision_loss, reason = "only four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    // 1023.96 has four digits before the point, as 1000 has.
    let digits = [10.0, 100.0, 1000.0]
        .iter()
        .filter(|limit| value < **limit)
        .count();
    let mut text = format!("{value:.digits$}");
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    format!("{text}{}", UNITS[unit])
}

/// Seconds with one digit, for the end of a line of progress (`0.3s`).
pub(crate) fn short_seconds(duration: Duration) -> String {
    format!("{:.1}s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_in_dockers_words() {
        let day = 24 * HOUR;
        for (seconds, words) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (59 * 60 + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 29 * 60, "About an hour"),
            (HOUR + 30 * 60, "2 hours"),
            (47 * HOUR, "47 hours"),
            (2 * day, "2 days"),
            (14 * day, "2 weeks"),
            (60 * day, "2 months"),
            (800 * day, "2 years"),
        ] {
            assert_eq!(
                duration(Duration::from_secs(seconds)),
                words,
                "{seconds} seconds"
            );
        }
    }

    #[test]
    fn a_clock_set_back_is_no_reason_to_fail() {
        let now = Timestamp::from_second(100).unwrap();
        let later = Timestamp::from_second(200).unwrap();
        assert_eq!(ago(later, now), "Less than a second ago");
        assert_eq!(ago(now, later), "About a minute ago");
        assert_eq!(time(now), "1970-01-01 00:01:40 +0000 UTC");
    }

    #[test]
    fn sizes_have_three_digits_and_decimal_units() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1234, "1.23kB"),
            (78_000_000, "78MB"),
            (187_654_321, "188MB"),
            (1_250_000_000, "1.25GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn binary_sizes_have_four_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (672 << 10, "672KiB"),
            (1_228_800, "1.172MiB"),
            (25_275_949_056, "23.54GiB"),
            (104_857, "102.4KiB"),
        ] {
            assert_eq!(binary_size(bytes), text);
        }
    }
}
