//! One line of a log file.

use jiff::Timestamp;

/// Bytes of a time stamp: RFC 3339 in UTC with nine digits.
pub(super) const TIME_LEN: usize = 30;
/// Where `F` or `P` stands in a line.
pub(super) const TAG_AT: usize = 38;
/// Where the text begins.
pub(super) const TEXT_AT: usize = 40;
/// A longer line of output is cut into pieces of this size, as the CRI's writers do.
pub(super) const MAX_TEXT: usize = 16 * 1024;

/// Which of the program's streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; everything, for a program with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Its name in a log file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// RFC 3339 in UTC with nine digits (`2026-01-02T03:04:05.678901234Z`): compares as text.
    pub time: &'a str,
    /// Where it came from.
    pub stream: Stream,
    /// The text goes on in the stream's next line.
    pub partial: bool,
    /// What was written, without the newline.
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// The time as a number; `None` when a foreign hand wrote something else there.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }

    /// Reads a line of a file, its newline taken off; `None` for what no writer of ours wrote.
    pub(super) fn parse(raw: &'a [u8]) -> Option<Self> {
        let (head, text) = raw.split_at_checked(TEXT_AT)?;
        let (time, rest) = head.split_at(TIME_LEN);
        let stream = match &rest[..8] {
            b" stdout " => Stream::Stdout,
            b" stderr " => Stream::Stderr,
            _ => return None,
        };
        let partial = match &rest[8..] {
            b"F " => false,
            b"P " => true,
            _ => return None,
        };
        if time[10] != b'T' || time[TIME_LEN - 1] != b'Z' || !time.is_ascii() {
            return None;
        }
        Some(Self {
            time: std::str::from_utf8(time).ok()?,
            stream,
            partial,
            text,
        })
    }
}

/// A time in the form that the files have.
pub(super) fn format_time(time: Timestamp) -> String {
    format!("{time:.9}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-02T03:04:05.678901234Z";

    #[test]
    fn a_line_is_taken_apart() {
        for (raw, stream, partial, text) in [
            ("stdout F hello", Stream::Stdout, false, "hello"),
            ("stderr F ", Stream::Stderr, false, ""),
            (
                "stdout P  two  spaces ",
                Stream::Stdout,
                true,
                " two  spaces ",
            ),
        ] {
            let raw = format!("{TIME} {raw}");
            let line = Line::parse(raw.as_bytes()).expect(&raw);
            assert_eq!(
                (line.time, line.stream, line.partial, line.text),
                (TIME, stream, partial, text.as_bytes())
            );
            assert_eq!(format_time(line.timestamp().unwrap()), TIME);
        }
    }

    #[test]
    fn what_no_writer_wrote_is_no_line() {
        for raw in [
            "",
            "short",
            "2026-01-02T03:04:05.678901234Z stdout F",
            "2026-01-02T03:04:05.678901234Z stdxxx F text",
            "2026-01-02T03:04:05.678901234Z stdout X text",
            "2026-01-02 03:04:05.678901234Z stdout F text",
            "2026-01-02T03:04:05.678901234+ stdout F text",
            "2026-01-02T03:04:05.67890\u{fc}234Z stdout F t",
        ] {
            assert_eq!(Line::parse(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn a_whole_second_has_nine_digits_too() {
        let time = Timestamp::from_second(1_767_323_045).unwrap();
        assert_eq!(format_time(time), "2026-01-02T03:04:05.000000000Z");
    }
}
