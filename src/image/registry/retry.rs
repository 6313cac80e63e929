//! When something is tried again, and when not. Pure, but for a bit of chance.

use std::time::Duration;

use hyper::header::{self, HeaderMap};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::error::RegistryError;

/// Attempts without any progress in between.
const ATTEMPTS: u32 = 5;
/// The pause after the first failure; it doubles.
const PAUSE: Duration = Duration::from_millis(300);
/// A registry that wants to be left alone for longer is not waited for.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Failures without any progress in between.
#[derive(Debug, Default)]
pub(in crate::image) struct Failures(u32);

impl Failures {
    /// Something came through: what failed before is forgotten.
    pub(in crate::image) fn forget(&mut self) {
        self.0 = 0;
    }

    /// The number of the attempt that comes next.
    pub(in crate::image) fn attempt(&self) -> u32 {
        self.0 + 1
    }

    /// The pause before the next attempt, or the error when there shall be none.
    pub(in crate::image) fn pause(
        &mut self,
        error: RegistryError,
    ) -> Result<Duration, RegistryError> {
        self.0 += 1;
        let wanted = error.retry_after().unwrap_or_default();
        if !error.is_transient() || self.0 >= ATTEMPTS || wanted > PAUSE_MAX {
            return Err(error);
        }
        Ok(wanted.max(pause(self.0)))
    }
}

/// Doubling pauses, a bit random so that many do not come back at once.
fn pause(failures: u32) -> Duration {
    PAUSE * 2_u32.pow(failures.clamp(1, 6) - 1) + Duration::from_millis(fastrand::u64(0..100))
}

/// The header `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(now.until(date).ok()?).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_says_when_in_seconds_or_by_date() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for (value, seconds) in [
            ("7", Some(7)),
            ("Sat, 21 Nov 2026 10:00:09 GMT", Some(9)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, value.parse().unwrap());
            let found = retry_after(&headers, now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn pauses_grow_and_end_and_follow_the_registry() {
        let busy = |after| RegistryError::TooMany {
            registry: "r".into(),
            after,
        };
        let mut failures = Failures::default();
        let first = failures.pause(busy(None)).unwrap();
        let second = failures.pause(busy(None)).unwrap();
        assert!(first >= PAUSE && second >= PAUSE * 2);
        let long = Duration::from_secs(20);
        assert_eq!(failures.pause(busy(Some(long))).unwrap(), long);
        assert!(failures.pause(busy(Some(PAUSE_MAX * 2))).is_err());
        failures.forget();
        for _ in 1..ATTEMPTS {
            failures.pause(busy(None)).unwrap();
        }
        assert!(failures.pause(busy(None)).is_err());
        let final_one = RegistryError::WrongLogin {
            registry: "r".into(),
        };
        assert!(Failures::default().pause(final_one).is_err());
    }
}
