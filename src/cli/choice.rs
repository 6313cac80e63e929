//! Values that several commands take.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::error::{Error, Result};

/// `--format` of listings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// A `--timeout` in seconds; Docker Compose takes a negative one as "no limit".
pub(crate) fn timeout(seconds: Option<i64>) -> Option<Duration> {
    // A century is what a timer can count and nobody waits for.
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    seconds.map(|seconds| {
        u64::try_from(seconds)
            .map_or(FOREVER, Duration::from_secs)
            .min(FOREVER)
    })
}

/// One line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::new("cannot write JSON").because(error))
}

/// The name that looks most like this one, if any does.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// Numbers of signals that programs are sent, by name.
const SIGNALS: [(&str, i32); 31] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// A signal by name (`SIGHUP`, `hup`, `RTMIN+3`) or number, as Linux numbers them.
pub(crate) fn signal(text: &str) -> Result<i32> {
    let unknown = || {
        Error::new(format!("`{text}` is no signal"))
            .hint("give a name as `SIGHUP` or a number from 1 to 64")
    };
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64)
            .contains(&number)
            .then_some(number)
            .ok_or_else(unknown);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // The C library keeps 32 and 33 for itself: `SIGRTMIN` is 34, `SIGRTMAX` 64.
    let offset = |text: &str| match text.trim_start_matches(['+', '-']) {
        "" => Some(0),
        digits => digits.parse::<i32>().ok(),
    };
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest).map(|offset| 34_i32.saturating_add(offset)),
        (_, Some(rest)) => offset(rest).map(|offset| 64_i32.saturating_sub(offset)),
        _ => None,
    };
    SIGNALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .or(real_time.filter(|number| (34..=64).contains(number)))
        .ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("SIGKILL", 9),
            ("hup", 1),
            ("15", 15),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("SIGRTMIN", 34),
        ] {
            assert_eq!(signal(text).unwrap(), number, "{text}");
        }
        for text in ["", "SIG", "0", "65", "-9", "NOPE", "RTMIN+99"] {
            assert!(signal(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_negative_timeout_is_no_limit() {
        assert_eq!(timeout(None), None);
        assert_eq!(timeout(Some(0)), Some(Duration::ZERO));
        assert_eq!(timeout(Some(7)), Some(Duration::from_secs(7)));
        assert!(timeout(Some(-1)) > Some(Duration::from_secs(1 << 30)));
    }

    #[test]
    fn only_a_name_that_is_alike_is_suggested() {
        let known = ["web", "worker", "database"];
        assert_eq!(nearest("wroker", known.into_iter()), Some("worker"));
        assert_eq!(nearest("zzz", known.into_iter()), None);
    }
}
