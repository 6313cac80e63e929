//! The patterns of `${V#p}`, `${V%p}` and `${V/p/r}`: `*` is any text, `?` any character, `\` escapes.

use std::ops::Range;

use super::ExpandError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    One(char),
    Any,
    Many,
}

fn parse(pattern: &str) -> Result<Vec<Token>, ExpandError> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Many,
            '?' => Token::Any,
            '\\' => match chars.next() {
                Some(escaped @ ('}' | '/' | '*' | '?' | '\\')) => Token::One(escaped),
                other => {
                    return Err(ExpandError::Pattern {
                        pattern: pattern.to_owned(),
                        escape: std::iter::once('\\').chain(other).collect(),
                    });
                }
            },
            c => Token::One(c),
        });
    }
    Ok(tokens)
}

/// How much a `*` takes when it has the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greed {
    Shortest,
    Longest,
}

/// Matches tokens against characters; remembers what failed, so that no pattern takes exponential time.
struct Matcher<'a> {
    tokens: &'a [Token],
    text: &'a [char],
    greed: Greed,
    failed: Vec<bool>,
}

impl<'a> Matcher<'a> {
    fn new(tokens: &'a [Token], text: &'a [char], greed: Greed) -> Self {
        let failed = vec![false; (tokens.len() + 1) * (text.len() + 1)];
        Self {
            tokens,
            text,
            greed,
            failed,
        }
    }

    /// Where the match that starts at `at` ends.
    fn end(&mut self, at: usize) -> Option<usize> {
        // Choices that are still open, the next one last: (token, position).
        let mut open = vec![(0, at)];
        while let Some((token, at)) = open.pop() {
            let index = token * (self.text.len() + 1) + at;
            if std::mem::replace(&mut self.failed[index], true) {
                continue;
            }
            let Some(kind) = self.tokens.get(token) else {
                self.failed[index] = false;
                return Some(at);
            };
            let next = self.text.get(at).filter(|c| **c != '\n');
            match kind {
                Token::One(wanted) => {
                    if self.text.get(at) == Some(wanted) {
                        open.push((token + 1, at + 1));
                    }
                }
                Token::Any => {
                    if next.is_some() {
                        open.push((token + 1, at + 1));
                    }
                }
                Token::Many => {
                    let stop = (token + 1, at);
                    let more = next.map(|_| (token, at + 1));
                    match self.greed {
                        Greed::Longest => {
                            open.push(stop);
                            open.extend(more);
                        }
                        Greed::Shortest => {
                            open.extend(more);
                            open.push(stop);
                        }
                    }
                }
            }
        }
        None
    }

    /// The first match at or behind `from`.
    fn find(&mut self, from: usize) -> Option<Range<usize>> {
        (from..=self.text.len()).find_map(|start| self.end(start).map(|end| start..end))
    }
}

/// `${V#word}`, `${V##…}`, `${V%…}`, `${V%%…}`: the value without what the pattern matches at its start or end.
pub(super) fn trimmed(value: &str, operator: char, word: &str) -> Result<String, ExpandError> {
    let (pattern, greed) = match word.strip_prefix(operator) {
        Some(pattern) => (pattern, Greed::Longest),
        None => (word, Greed::Shortest),
    };
    let mut tokens = parse(pattern)?;
    let mut text: Vec<char> = value.chars().collect();
    let from_end = operator == '%';
    if from_end {
        tokens.reverse();
        text.reverse();
    }
    let cut = Matcher::new(&tokens, &text, greed).end(0).unwrap_or(0);
    let rest = text[cut..].iter();
    Ok(if from_end {
        rest.rev().collect()
    } else {
        rest.collect()
    })
}

/// The value with the first match, or all, replaced.
pub(super) fn replaced(
    value: &str,
    pattern: &str,
    replacement: &str,
    all: bool,
) -> Result<String, ExpandError> {
    let tokens = parse(pattern)?;
    let text: Vec<char> = value.chars().collect();
    let mut matcher = Matcher::new(&tokens, &text, Greed::Longest);
    let mut out = String::with_capacity(value.len());
    let (mut kept, mut from) = (0, 0);
    while from <= text.len() {
        // What failed before may succeed now only if it was left open by a match.
        matcher.failed.fill(false);
        let Some(found) = matcher.find(from) else {
            break;
        };
        out.extend(&text[kept..found.start]);
        // An empty match right behind another one does not count.
        if found.end > kept || found.start == 0 {
            out.push_str(replacement);
        }
        kept = found.end;
        if !all {
            break;
        }
        from = found.end.max(from + 1);
    }
    out.extend(&text[kept..]);
    Ok(out)
}
