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
    fn text_is_cut_by_columns_and_not_by_bytes() {
        assert_eq!(fit("container", 9), "container");
        assert_eq!(fit("container", 5), "cont…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit("abc", 1), "…");
    }
}
