//! Time stamps for log lines, made without formatting a date for each.

use jiff::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::record::TIME_LEN;

/// Writes the time of day; keeps the text of the current second.
#[derive(Debug)]
pub(super) struct Clock {
    second: i64,
    text: [u8; TIME_LEN],
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            second: 0,
            text: *b"1970-01-01T00:00:00.000000000Z",
        }
    }

    pub(super) fn now(&mut self) -> [u8; TIME_LEN] {
        self.at(clock_gettime(ClockId::Realtime))
    }

    fn at(&mut self, time: Timespec) -> [u8; TIME_LEN] {
        if time.tv_sec != self.second {
            // A clock that is out of the calendar's range keeps its last good second.
            if let Ok(whole) = Timestamp::from_second(time.tv_sec) {
                let text = super::record::format_time(whole);
                if text.len() == TIME_LEN {
                    self.text.copy_from_slice(text.as_bytes());
                }
            }
            self.second = time.tv_sec;
        }
        let mut rest = time.tv_nsec;
        for digit in self.text[20..29].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_the_same_width() {
        let mut clock = Clock::new();
        for (tv_sec, tv_nsec, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000000Z"),
            (0, 7, "1970-01-01T00:00:00.000000007Z"),
            (1_767_323_045, 678_901_234, "2026-01-02T03:04:05.678901234Z"),
            (1_767_323_045, 999_999_999, "2026-01-02T03:04:05.999999999Z"),
            (1_767_323_046, 0, "2026-01-02T03:04:06.000000000Z"),
            (-1, 0, "1969-12-31T23:59:59.000000000Z"),
        ] {
            let text = clock.at(Timespec { tv_sec, tv_nsec });
            assert_eq!(std::str::from_utf8(&text), Ok(expected));
        }
    }

    #[test]
    fn an_impossible_time_does_no_harm() {
        let mut clock = Clock::new();
        let text = clock.at(Timespec {
            tv_sec: i64::MAX,
            tv_nsec: 5,
        });
        assert_eq!(&text, b"1970-01-01T00:00:00.000000005Z");
    }
}
