//! Commands and tests of health: lines that become words.

use crate::compose::diagnostic::Problems;
use crate::compose::shape::{At, Misshapen, Shaped, text, wrong};
use crate::compose::tree::{Directive, Node, Value};

/// A command: a line is split as a shell splits words; nothing else of a shell happens.
pub(in crate::compose) fn words(node: &mut Node, at: &At<'_>, problems: &mut Problems) -> Shaped {
    match &mut node.value {
        Value::Null => Ok(()),
        Value::Text(line) => {
            let Some(words) = split_words(line) else {
                problems
                    .error(
                        node.span,
                        format!("`{at}` has a quote that is never closed"),
                    )
                    .help("write the command as a list, one word an item");
                return Err(Misshapen);
            };
            let span = node.span;
            let words = words.into_iter().map(|word| Node::text(word, span));
            node.value = Value::List(words.collect());
            Ok(())
        }
        Value::List(items) => {
            let mut all = Ok(());
            for (index, item) in items.iter_mut().enumerate() {
                if item.directive != Directive::Reset {
                    all = all.and(text(item, &at.index(index), problems));
                }
            }
            all
        }
        _ => wrong(node, "a line or a list of words", at, problems),
    }
}

/// Splits a line into words: spaces part them, quotes and backslashes keep them together. A `#` is a
/// character like any other: there are no comments in a command.
fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        inner => word.push(inner),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            '\n' => {}
                            other => word.extend(['\\', other]),
                        },
                        inner => word.push(inner),
                    }
                }
            }
            '\\' => match characters.next()? {
                '\n' => {}
                escaped => word.get_or_insert_default().push(escaped),
            },
            // Docker Compose takes one command of a line and drops the rest, with what says which
            // file descriptor goes there.
            ';' | '&' | '|' | '<' | '>' => {
                let digit = |word: &String| word.starts_with(|c: char| c.is_ascii_digit());
                if character == '>' && word.as_ref().is_some_and(digit) {
                    word = None;
                }
                break;
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

/// A health test: a line is for the container's shell.
pub(in crate::compose) fn health_test(
    node: &mut Node,
    at: &At<'_>,
    problems: &mut Problems,
) -> Shaped {
    if let Some(line) = node.as_text() {
        let words = ["CMD-SHELL", line].map(|word| Node::text(word, node.span));
        node.value = Value::List(words.into());
        return Ok(());
    }
    if node.as_list().is_none() {
        return wrong(node, "a line or a list of words", at, problems);
    }
    words(node, at, problems)?;
    let first = node.as_list().and_then(|items| items.first());
    let Some(first) = first else {
        return Ok(());
    };
    match first.as_text() {
        Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        _ => {
            problems
                .error(
                    first.span,
                    format!("`{at}` must start with `NONE`, `CMD` or `CMD-SHELL`"),
                )
                .help("a program and its arguments: `[\"CMD\", \"curl\", \"localhost\"]`");
            Err(Misshapen)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_split_as_a_shell_would() {
        let table: [(&str, Option<&[&str]>); 10] = [
            ("", Some(&[])),
            ("  a  b ", Some(&["a", "b"])),
            (
                "a b'c d' \"e $f\" g\\ h # i",
                Some(&["a", "bc d", "e $f", "g h", "#", "i"]),
            ),
            ("'' \"\"", Some(&["", ""])),
            ("\"a\\\"b\\n\"", Some(&["a\"b\\n"])),
            ("sh -c \"echo 'x'\"", Some(&["sh", "-c", "echo 'x'"])),
            ("a\\\nb", Some(&["ab"])),
            ("'open", None),
            ("\"open", None),
            ("end\\", None),
        ];
        for (line, expected) in table {
            let words = split_words(line);
            let words: Option<Vec<&str>> = words
                .as_ref()
                .map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(words.as_deref(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_comes_back(word in "[^']{0,20}") {
            prop_assert_eq!(split_words(&format!("'{word}'")), Some(vec![word]));
        }

        #[test]
        fn no_line_makes_it_fail_badly(line in "['\"\\\\ a]{0,20}|.{0,20}") {
            let _ = split_words(&line);
        }
    }
}
