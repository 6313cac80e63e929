//! Text that somebody else wrote, made fit for a terminal.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text without control characters other than line breaks and tabs: an image's label or a
/// registry's error message must not move the cursor or rename the window.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    replace_controls(text, &['\n', '\t'])
}

/// The text on one line, without control characters.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    replace_controls(text, &[])
}

/// What a program wrote, on one line: its colours and cursor movements are left out, not spelled out,
/// because nothing is lost with them. Sequences are those of ECMA-48: `ESC [ … letter`, `ESC ] … BEL`.
pub(crate) fn output_line(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match (char, chars.peek()) {
            ('\x1b', Some('[')) => {
                chars.next();
                chars.find(|char| ('\x40'..='\x7e').contains(char));
            }
            ('\x1b', Some(']')) => {
                let mut before = ' ';
                chars.find(|char| {
                    let ends = *char == '\x07' || (before == '\x1b' && *char == '\\');
                    before = *char;
                    ends
                });
            }
            ('\x1b', Some(_)) => {
                let between = |char: &char| ('\x20'..='\x2f').contains(char);
                while chars.next_if(between).is_some() {}
                chars.next();
            }
            ('\x1b', None) => {}
            (char, _) => plain.push(char),
        }
    }
    one_line(&plain).into_owned()
}

fn replace_controls<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let hostile = |char: char| char.is_control() && !kept.contains(&char);
    if !text.contains(hostile) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' | '\t' if hostile(char) => clean.push(' '),
            char if hostile(char) => clean.extend(char.escape_default()),
            char => clean.push(char),
        }
    }
    Cow::Owned(clean)
}

/// Columns that the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// As much of the text as fits into so many columns, with an ellipsis when something is left out.
pub(crate) fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    if columns == 0 {
        return Cow::Borrowed("");
    }
    let mut used = 0;
    let mut kept = String::new();
    for char in text.chars() {
        let columns_of_char = char.width().unwrap_or(0);
        if used + columns_of_char > columns - 1 {
            break;
        }
        used += columns_of_char;
        kept.push(char);
    }
    kept.push('…');
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_others_become_harmless() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(one_line("a\nb\tc\u{9b}d"), "a b c\\u{9b}d");
        assert!(matches!(printable("plain ✔"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_colours_of_programs_are_left_out() {
        for (written, shown) in [
            ("\x1b[31;1mred\x1b[0m", "red"),
            ("a\x1b[2Jb\x1b[Kc", "abc"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Bset", "set"),
            ("cut\x1b", "cut"),
            ("cut\x1b[31", "cut"),
            ("bell\x07", "bell\\u{7}"),
        ] {
            assert_eq!(output_line(written), shown);
        }
    }

    #[test]
    fn text_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(fit("container", 9), "container");
        assert_eq!(fit("container", 5), "cont…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit("abc", 1), "…");
    }
}
