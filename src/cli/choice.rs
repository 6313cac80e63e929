//! Values that several commands take.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use super::error::{Error, Result};
use crate::engine::native::parse_signal;

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

/// A signal by name (`SIGHUP`, `hup`, `RTMIN+3`) or number.
pub(crate) fn signal(text: &str) -> Result<i32> {
    parse_signal(text).ok_or_else(|| {
        Error::new(format!("`{text}` is no signal"))
            .hint("give a name as `SIGHUP` or a number from 1 to 64")
    })
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
