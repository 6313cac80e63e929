//! Logical lines: continued lines joined, comments and empty lines between them left out.
//!
//! A character of a logical line keeps its place in the file, so that a caret finds it.

use std::ops::Range;

use crate::compose::diagnostic::{FileId, Span};

/// Where characters of a text come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// A file.
    File(FileId),
    /// Text that stands in no file (a base image's trigger): all of it is placed here.
    Fixed(Span),
}

/// One instruction's text, here-documents not included.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// The joined text.
    pub(super) text: String,
    /// Pieces of it: where each starts in `text` and in the file.
    pieces: Vec<(usize, usize)>,
    origin: Origin,
    /// An empty line between continued ones.
    pub(super) empty_continuation: Option<Span>,
}

impl Line {
    /// The place of a part of the text.
    pub(super) fn span(&self, range: Range<usize>) -> Span {
        let start = self.place(range.start);
        let end = match range.end.checked_sub(1) {
            Some(last) if last >= range.start => self.place(last) + 1,
            _ => start,
        };
        span(self.origin, start..end.max(start))
    }

    fn place(&self, offset: usize) -> usize {
        let index = self.pieces.partition_point(|(start, _)| *start <= offset);
        let (start, source) = self.pieces[index.saturating_sub(1)];
        source + (offset - start)
    }
}

/// A place in the text that `origin` names.
pub(super) fn span(origin: Origin, range: Range<usize>) -> Span {
    match origin {
        Origin::Fixed(span) => span,
        Origin::File(file) => Span::new(file, range),
    }
}

/// Reads a text line by line.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    text: &'a str,
    at: usize,
    escape: char,
    origin: Origin,
}

impl<'a> Lines<'a> {
    /// Starts behind a byte-order mark.
    pub(super) fn new(text: &'a str, origin: Origin) -> Self {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self {
            text,
            at,
            escape: '\\',
            origin,
        }
    }

    /// Sets the character that continues a line.
    pub(super) fn set_escape(&mut self, escape: char) {
        self.escape = escape;
    }

    /// The next physical line with its line break, and where it starts; does not move on.
    pub(super) fn peek(&self) -> Option<(usize, &'a str)> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let end = rest.find('\n').map_or(rest.len(), |found| found + 1);
        Some((self.at, &rest[..end]))
    }

    /// The next physical line.
    pub(super) fn physical(&mut self) -> Option<(usize, &'a str)> {
        let (start, line) = self.peek()?;
        self.at = start + line.len();
        Some((start, line))
    }

    /// Where the last line that was read ends, its line break not counted.
    pub(super) fn end(&self) -> usize {
        self.text[..self.at].trim_end_matches(['\r', '\n']).len()
    }

    /// The text from a place on.
    pub(super) fn text_from(&self, start: usize) -> &'a str {
        &self.text[start..]
    }

    /// The next logical line that has something in it.
    pub(super) fn logical(&mut self) -> Option<Line> {
        loop {
            let (start, physical) = self.physical()?;
            let trimmed = physical.trim_end_matches(['\r', '\n']).trim_start();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let offset = start + (physical.len() - physical.trim_start().len());
            let (kept, mut continued) = self.continuation(trimmed);
            let mut line = Line {
                text: kept.to_owned(),
                pieces: vec![(0, offset)],
                origin: self.origin,
                empty_continuation: None,
            };
            while continued {
                let Some((start, physical)) = self.physical() else {
                    break;
                };
                let content = physical.trim_end_matches(['\r', '\n']);
                let trimmed = content.trim_start();
                if trimmed.starts_with('#') {
                    continue;
                }
                if trimmed.is_empty() {
                    let empty = span(self.origin, start..start + content.len());
                    line.empty_continuation.get_or_insert(empty);
                    continue;
                }
                let (kept, more) = self.continuation(content);
                line.pieces.push((line.text.len(), start));
                line.text.push_str(kept);
                continued = more;
            }
            if !line.text.trim().is_empty() {
                return Some(line);
            }
        }
    }

    /// A line without its continuation character, and whether it had one. The character must not be
    /// escaped itself; blanks and tabs may follow it.
    fn continuation<'l>(&self, line: &'l str) -> (&'l str, bool) {
        let body = line.trim_end_matches([' ', '\t']);
        match body.strip_suffix(self.escape) {
            Some(kept) if !kept.ends_with(self.escape) => (kept, true),
            _ => (line, false),
        }
    }

    /// The lines up to the one that is only `terminator`, which is read too; `None`: there is none.
    pub(super) fn heredoc(
        &mut self,
        terminator: &str,
        strip_tabs: bool,
    ) -> Option<(String, Range<usize>)> {
        let start = self.at;
        while let Some((line_start, line)) = self.physical() {
            let mut candidate = line.trim_end_matches(['\r', '\n']);
            if strip_tabs {
                candidate = candidate.trim_start_matches('\t');
            }
            if candidate == terminator {
                return Some((self.text[start..line_start].to_owned(), start..line_start));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(text: &str) -> Vec<String> {
        let mut lines = Lines::new(text, Origin::Fixed(Span::default()));
        std::iter::from_fn(|| lines.logical())
            .map(|line| line.text)
            .collect()
    }

    #[test]
    fn continued_lines_are_joined_and_comments_between_left_out() {
        let table: [(&str, &[&str]); 12] = [
            ("RUN a\nRUN b", &["RUN a", "RUN b"]),
            ("RUN a \\\n  b", &["RUN a   b"]),
            ("RUN a \\ \t\n  b", &["RUN a   b"]),
            ("RUN a \\\n# note\n\n  b", &["RUN a   b"]),
            ("RUN a \\\n  # note \\\n  b", &["RUN a   b"]),
            ("RUN a \\\r\n  b\r\nRUN c\r\n", &["RUN a   b", "RUN c"]),
            ("\u{feff}RUN a", &["RUN a"]),
            ("  RUN a\n\n# x\n", &["RUN a"]),
            ("RUN a\\\\\nRUN b", &["RUN a\\\\", "RUN b"]),
            ("RUN a \\", &["RUN a "]),
            ("\\\nRUN a", &["RUN a"]),
            ("\\\n\\\n", &[]),
        ];
        for (text, expected) in table {
            assert_eq!(logical(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_character_keeps_its_place_over_joined_lines() {
        let text = "RUN a \\\n# note\n  bc\n";
        let mut problems = crate::compose::diagnostic::Problems::default();
        let file = problems.sources.add("Dockerfile".into(), text.into());
        let mut lines = Lines::new(text, Origin::File(file.unwrap()));
        let line = lines.logical().unwrap();
        let at = line.text.find("bc").unwrap();
        let span = line.span(at..at + 2);
        assert_eq!(problems.sources.text(span), Some("bc"));
        assert_eq!(problems.sources.text(line.span(4..5)), Some("a"));
    }
}
