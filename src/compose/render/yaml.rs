//! YAML as Docker Compose's own writer lays it out: two spaces a level, long lines folded, text of
//! several lines as a block, quotes where a reader of version 1.1 or 1.2 would take a plain scalar for
//! something else.
//!
//! The rules are those of libyaml's emitter (its Go descendant), to the byte.

use super::Printed;

use crate::compose::scalar;
use crate::compose::tree::{Value, float_text};

/// A line is folded at the first single space after this column.
const WIDTH: usize = 80;
/// A longer key (in bytes) gets a line of its own, after `? `.
const SIMPLE_KEY: usize = 128;

/// The document, with a line break at the end.
pub(super) fn document(value: &Printed) -> String {
    let mut writer = Writer {
        out: String::new(),
        column: 0,
        after_space: true,
        in_indentation: true,
    };
    writer.node(value, None);
    writer.indent(0);
    writer.out
}

struct Writer {
    out: String,
    /// In characters.
    column: usize,
    /// Whether a token may follow without a space.
    after_space: bool,
    /// Whether the line holds only spaces, `-`, `?` and `:` so far.
    in_indentation: bool,
}

/// Which of the quoting styles a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Whether a long line may be folded; a key's may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Yes,
    No,
}

impl Writer {
    /// Writes a value; `outer` is the indentation of the collection that it is in.
    fn node(&mut self, value: &Printed, outer: Option<usize>) {
        let inner = outer.map_or(0, |outer| outer + 2);
        match value {
            Printed::Map(members) if !members.is_empty() => {
                for (key, member) in members {
                    self.indent(inner);
                    self.key(key, inner);
                    self.node(member, Some(inner));
                }
            }
            Printed::List(items) if !items.is_empty() => {
                for item in items {
                    self.indent(inner);
                    self.token("-");
                    self.node(item, Some(inner));
                }
            }
            Printed::Map(_) => self.word("{}"),
            Printed::List(_) => self.word("[]"),
            Printed::Text(text) => self.text(text, inner, style(text), Fold::Yes),
            Printed::Moment(stamp) => self.word(stamp),
            Printed::Null => self.word("null"),
            Printed::Bool(flag) => self.word(if *flag { "true" } else { "false" }),
            Printed::Int(number) => self.word(&number.to_string()),
            Printed::Float(number) if number.is_finite() => self.word(&float_text(*number)),
            Printed::Float(number) => self.word(match () {
                () if number.is_nan() => ".nan",
                () if *number > 0.0 => ".inf",
                () => "-.inf",
            }),
        }
    }

    fn key(&mut self, key: &str, indent: usize) {
        if key.len() <= SIMPLE_KEY && !key.contains(is_break) {
            self.text(key, indent + 2, style(key), Fold::No);
            self.put(':');
        } else {
            self.token("?");
            self.text(key, indent + 2, style(key), Fold::Yes);
            self.indent(indent);
            self.token(":");
        }
        self.after_space = false;
    }

    fn put(&mut self, character: char) {
        self.out.push(character);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
        self.in_indentation = true;
    }

    /// Goes to this column, on a new line if the current one holds something.
    fn indent(&mut self, indent: usize) {
        let behind = self.column > indent || (self.column == indent && !self.after_space);
        if !self.in_indentation || behind {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.after_space = true;
    }

    fn space(&mut self) {
        if !self.after_space {
            self.put(' ');
        }
    }

    /// `-`, `?` or `:`, which count as indentation at the start of a line.
    fn token(&mut self, token: &str) {
        self.space();
        token.chars().for_each(|character| self.put(character));
        self.after_space = false;
    }

    fn word(&mut self, word: &str) {
        self.token(word);
        self.in_indentation = false;
    }

    fn text(&mut self, text: &str, indent: usize, style: Style, fold: Fold) {
        match style {
            Style::Plain => {
                self.space();
                self.flow_text(text, indent, style, fold);
            }
            Style::Literal => self.literal(text, indent),
            Style::Single | Style::Double => {
                let quote = if style == Style::Single { '\'' } else { '"' };
                self.space();
                self.put(quote);
                self.after_space = false;
                self.in_indentation = false;
                self.flow_text(text, indent, style, fold);
                self.put(quote);
            }
        }
        if style != Style::Literal {
            self.after_space = false;
            self.in_indentation = false;
        }
    }

    /// The inside of a plain or quoted text.
    fn flow_text(&mut self, text: &str, indent: usize, style: Style, fold: Fold) {
        let mut after_space = false;
        let mut after_break = false;
        let mut characters = text.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            let next = characters.peek().map(|(_, next)| *next);
            if character == ' ' {
                let inside = style == Style::Plain || (at > 0 && next.is_some());
                let fits = style == Style::Double || next != Some(' ');
                if fold == Fold::Yes && !after_space && self.column > WIDTH && inside && fits {
                    self.indent(indent);
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
            } else if style == Style::Double && is_escaped(character) {
                self.escape(character);
            } else if is_break(character) {
                self.out.push(character);
                self.column = 0;
                self.in_indentation = true;
                after_break = true;
                continue;
            } else {
                if after_break {
                    self.indent(indent);
                }
                if style == Style::Single && character == '\'' {
                    self.put('\'');
                }
                self.put(character);
                self.in_indentation = false;
                after_break = false;
            }
            after_space = character == ' ';
        }
    }

    fn escape(&mut self, character: char) {
        let code = u32::from(character);
        let escaped = match character {
            '\0' => "\\0".to_owned(),
            '\u{7}' => "\\a".to_owned(),
            '\u{8}' => "\\b".to_owned(),
            '\t' => "\\t".to_owned(),
            '\n' => "\\n".to_owned(),
            '\u{b}' => "\\v".to_owned(),
            '\u{c}' => "\\f".to_owned(),
            '\r' => "\\r".to_owned(),
            '\u{1b}' => "\\e".to_owned(),
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\u{85}' => "\\N".to_owned(),
            '\u{2028}' => "\\L".to_owned(),
            '\u{2029}' => "\\P".to_owned(),
            _ if code <= 0xff => format!("\\x{code:02X}"),
            _ if code <= 0xffff => format!("\\u{code:04X}"),
            _ => format!("\\U{code:08X}"),
        };
        escaped.chars().for_each(|character| self.put(character));
    }

    /// A block of lines. A digit tells the indentation where the text itself starts with a space; `-`
    /// and `+` say what becomes of the line breaks at the end.
    fn literal(&mut self, text: &str, indent: usize) {
        self.token("|");
        if text.starts_with(' ') {
            self.put('2');
        }
        let mut last = text.chars().rev();
        match (last.next().is_some_and(is_break), last.next()) {
            (false, _) => self.put('-'),
            (true, before) if before.is_none_or(is_break) => self.put('+'),
            (true, _) => {}
        }
        self.line_break();
        self.after_space = true;
        let mut after_break = true;
        for character in text.chars() {
            if character == '\n' {
                self.line_break();
            } else if is_break(character) {
                self.out.push(character);
                self.column = 0;
                self.in_indentation = true;
            } else {
                if after_break {
                    self.indent(indent);
                }
                self.put(character);
                self.in_indentation = false;
            }
            after_break = is_break(character);
        }
    }
}

fn is_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What stands as it is; the writer takes characters beyond the basic plane for unprintable.
///
/// U+2028 and U+2029 are escaped here and not there: it writes them as they are and indents what
/// comes after, which only a reader of YAML 1.1 undoes.
fn is_printable(character: char) -> bool {
    matches!(character,
        '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}'
        if !matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}'))
}

fn is_escaped(character: char) -> bool {
    !is_printable(character) || is_break(character) || matches!(character, '"' | '\\')
}

/// The style of a text, by what it holds and by what a reader would take it for.
fn style(text: &str) -> Style {
    let allowed = Allowed::of(text);
    if text.contains('\n') {
        let is_block = allowed.block && text.chars().any(|character| !character.is_whitespace());
        return if is_block {
            Style::Literal
        } else {
            Style::Double
        };
    }
    let is_text = matches!(scalar::resolve(text), Value::Text(_));
    match () {
        () if !is_text => Style::Double,
        () if !allowed.single => Style::Double,
        () if !allowed.plain || is_old_word(text) => Style::Single,
        () => Style::Plain,
    }
}

/// The styles that a text can be written in.
struct Allowed {
    plain: bool,
    single: bool,
    block: bool,
}

impl Allowed {
    fn of(text: &str) -> Self {
        let blank = |character: Option<char>| character.is_none_or(|c| c == ' ' || c == '\t');
        let mut indicator = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut tab) = (false, false);
        let (mut space_break, mut break_space) = (false, false);
        let mut before: Option<char> = None;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let next = characters.peek().copied();
            indicator |= match (before, character) {
                (None, '?' | ':' | '-') => blank(next),
                (None, _) => ",[]{}#&*!|>'\"%@`".contains(character),
                (Some(_), ':') => blank(next),
                (Some(before), '#') => blank(Some(before)) || is_break(before),
                _ => false,
            };
            tab |= character == '\t';
            special |= character != '\t' && !is_printable(character);
            space_break |= is_break(character) && before == Some(' ');
            break_space |= character == ' ' && before.is_some_and(is_break);
            before = Some(character);
        }
        let edge = text.starts_with([' ', '\n']) || text.ends_with([' ', '\n']);
        let breaks = text.contains(is_break);
        let single = !break_space && !space_break && !tab && !special;
        Self {
            plain: single && !edge && !breaks && !indicator,
            single,
            block: !space_break && !special && !text.ends_with(' '),
        }
    }
}

/// What YAML 1.1 takes for a boolean, a merge key or a number of base 60 (`22:22`).
fn is_old_word(text: &str) -> bool {
    const WORDS: [&str; 17] = [
        "y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "n", "N", "no", "No", "NO", "off", "Off",
        "OFF", "<<",
    ];
    WORDS.contains(&text) || is_sexagesimal(text)
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
fn is_sexagesimal(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (body, fraction) = body.split_once('.').unwrap_or((body, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut parts = body.split(':');
    let first = parts.next().unwrap_or_default();
    let mut rest = parts.peekable();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && rest.peek().is_some()
        && rest.all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compose::diagnostic::Problems;
    use crate::compose::reader;

    fn written(text: &str) -> String {
        document(&Printed::Text(text.to_owned()))
            .trim_end_matches('\n')
            .to_owned()
    }

    #[test]
    fn text_that_some_reader_takes_for_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "true",
            "null",
            "~",
            "",
            "12",
            "0x1f",
            "0b1",
            "1_000",
            "1.5",
            ".5",
            "1e3",
            ".inf",
            "22:22",
            "190:20:30",
            "2001-01-01",
            "2001-1-1 10:00:00",
            "<<",
            "- a",
            "? a",
            "a: b",
            "a #b",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a}",
            "[a]",
            "'a",
            "\"a",
            " a",
            "a ",
            "a:",
            "#a",
            "|",
            ">",
            "---",
            "0o17",
            "+12",
        ] {
            assert!(written(text).starts_with(['"', '\'']), "{text}");
        }
        for text in [
            "a",
            "=",
            "0b2",
            "2001-01-01-backup",
            "2001-13-01",
            "nginx:1.27",
            "1000:1000",
            "7000-7010",
            "10m",
            "/a/b",
            "a:b",
            "a#b",
            "-c",
            "1.2.3.4",
            "8.8.8.8",
            "http://x/y?z=1",
            "a b",
            "2001-01",
            "1d",
        ] {
            assert_eq!(written(text), text);
        }
    }

    fn read_back(document: &str) -> Printed {
        let mut problems = Problems::default();
        let file = problems.sources.add("x".into(), document.into()).unwrap();
        let documents = reader::read(document, file, &mut problems);
        assert!(
            !problems.has_errors(),
            "{document:?}: {}",
            problems.finish()
        );
        super::super::plain(&documents[0], super::super::Dialect::Json)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            text in "[-a: #\'\"\n\\\\0-9.~yn|>{}\\[\\]?!&*%@`]{0,12}|[^$]{0,20}",
            key in "[-a: #\'\"\n0-9.~yn]{1,12}|[^$]{1,20}",
        ) {
            // What it prints of these, Docker Compose reads as something else, too.
            let is_printed_right = |text: &str| {
                !text.starts_with('\n') || !text.trim_start_matches('\n').starts_with(' ')
            };
            prop_assume!(is_printed_right(&text) && is_printed_right(&key) && key != "<<");
            prop_assume!(!text.contains('\0') && !key.contains('\0'));
            let value = Printed::Text(text);
            let inner = Printed::Map(vec![(key, Printed::List(vec![value.clone()]))]);
            let map = Printed::Map(vec![("a".to_owned(), inner), ("b".to_owned(), value)]);
            let document = document(&map);
            prop_assert_eq!(read_back(&document), map, "{}", document);
        }
    }
}
