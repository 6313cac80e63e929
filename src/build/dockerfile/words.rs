//! Cutting an instruction's text: at blanks, at blanks outside of quotes, as a JSON list, flags first.

use std::ops::Range;

use super::instruction::Word;
use super::lines::Line;

/// The blanks that part words; a line has no line feed in it.
const BLANKS: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// A part of a logical line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) line: &'a Line,
    start: usize,
    end: usize,
}

impl<'a> Part<'a> {
    /// The line from `start` to its end.
    pub(super) fn from(line: &'a Line, start: usize) -> Self {
        let end = line.text.len();
        Self { line, start, end }.trim()
    }

    /// Its text.
    pub(super) fn text(&self) -> &'a str {
        &self.line.text[self.start..self.end]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn trim(self) -> Self {
        let text = self.text();
        let start = self.start + (text.len() - text.trim_start().len());
        let end = (self.start + text.trim_end().len()).max(start);
        Self { start, end, ..self }
    }

    /// All of it as one word.
    pub(super) fn word(&self) -> Word {
        Word::new(self.text().to_owned(), self.line.span(self.start..self.end))
    }

    /// A word of this part; `range` counts from its start.
    pub(super) fn cut(&self, range: Range<usize>) -> Word {
        let range = self.start + range.start..self.start + range.end;
        Word::new(
            self.line.text[range.clone()].to_owned(),
            self.line.span(range),
        )
    }

    /// The first word, and what follows the blanks behind it.
    pub(super) fn split_word(&self) -> (Word, Part<'a>) {
        let text = self.text();
        let length = text.find(BLANKS).unwrap_or(text.len());
        let rest = Part {
            start: self.start + length,
            ..*self
        };
        (self.cut(0..length), rest.trim())
    }

    /// The words between blanks; quotes have no meaning.
    pub(super) fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        let mut rest = *self;
        while !rest.is_empty() {
            let (word, more) = rest.split_word();
            words.push(word);
            rest = more;
        }
        words
    }

    /// The words between blanks that are not quoted. Quotes and escapes stay in them; an escape at the
    /// very end is dropped.
    pub(super) fn quoted_words(&self, escape: char) -> Vec<Word> {
        let text = self.text();
        let mut words = Vec::new();
        let mut start = None;
        let mut quote = None;
        let mut chars = text.char_indices();
        while let Some((at, c)) = chars.next() {
            if start.is_none() {
                if c.is_whitespace() {
                    continue;
                }
                start = Some(at);
            }
            match quote {
                None if c.is_whitespace() => {
                    words.extend(start.take().map(|start| self.cut(start..at)));
                    continue;
                }
                None if c == '"' || c == '\'' => quote = Some(c),
                Some(open) if c == open => quote = None,
                _ => {}
            }
            let escapes = c == escape && quote != Some('\'');
            if escapes && chars.next().is_none() {
                words.extend(start.take().filter(|s| *s < at).map(|s| self.cut(s..at)));
            }
        }
        words.extend(start.map(|start| self.cut(start..text.len())));
        words
    }

    /// The texts of a JSON list; `None` when it is none.
    pub(super) fn json(&self) -> Option<Result<Vec<Word>, NotText>> {
        if !self.text().starts_with('[') {
            return None;
        }
        let values: Vec<serde_json::Value> = serde_json::from_str(self.text()).ok()?;
        let span = self.line.span(self.start..self.end);
        let words = values.into_iter().map(|value| match value {
            serde_json::Value::String(text) => Ok(Word::new(text, span)),
            _ => Err(NotText),
        });
        Some(words.collect())
    }

    /// Takes `--name[=value]` off the front. Quotes and escapes in a value are resolved here, before
    /// anything else looks at it; `--` alone ends the flags.
    pub(super) fn take_flags(&mut self) -> Vec<Flag> {
        let mut flags = Vec::new();
        while self.text().starts_with("--") {
            let start = self.start;
            let (text, length) = unquoted_word(self.text());
            self.start += length;
            *self = self.trim();
            if text == "--" {
                break;
            }
            let span = self.line.span(start..start + length);
            let (name, value) = match text[2..].split_once('=') {
                Some((name, value)) => {
                    let at = (start + 2 + name.len() + 1).min(start + length);
                    let span = self.line.span(at..start + length);
                    (name.to_owned(), Some(Word::new(value.to_owned(), span)))
                }
                None => (text[2..].to_owned(), None),
            };
            let name = Word::new(name, span);
            flags.push(Flag { name, value });
        }
        flags
    }
}

/// A JSON list that holds something else than text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotText;

/// `--name` or `--name=value`.
#[derive(Debug, Clone)]
pub(super) struct Flag {
    /// The name without its dashes; its place is the whole flag.
    pub(super) name: Word,
    pub(super) value: Option<Word>,
}

/// The word at the start of a text, quotes and backslashes taken away, and how long it is written.
fn unquoted_word(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (word, at),
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == '\\' => word.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => word.push(c),
        }
    }
    (word, text.len())
}

/// The fields of a comma-separated list (RFC 4180): a field in double quotes may hold commas. With each
/// comes the place where it starts; `None` when a quote is not closed.
pub(super) fn comma_fields(text: &str) -> Option<Vec<(String, usize)>> {
    let mut fields = Vec::new();
    let mut rest = 0;
    loop {
        let start = rest;
        let mut field = String::new();
        if let Some(quoted) = text[rest..].strip_prefix('"') {
            let mut chars = quoted.char_indices().peekable();
            loop {
                match chars.next() {
                    Some((_, '"')) if chars.peek().is_some_and(|(_, c)| *c == '"') => {
                        chars.next();
                        field.push('"');
                    }
                    Some((at, '"')) => {
                        rest += at + 2;
                        break;
                    }
                    Some((_, c)) => field.push(c),
                    None => return None,
                }
            }
            if !text[rest..].is_empty() && !text[rest..].starts_with(',') {
                return None;
            }
        } else {
            let length = text[rest..].find(',').unwrap_or(text.len() - rest);
            field.push_str(&text[rest..rest + length]);
            rest += length;
        }
        fields.push((field, start));
        match text[rest..].strip_prefix(',') {
            Some(_) => rest += 1,
            None => return Some(fields),
        }
    }
}
