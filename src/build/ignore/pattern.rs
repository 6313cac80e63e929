//! One pattern of a `.dockerignore`.

/// A pattern, ready to be held against paths.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    kind: Matching,
}

/// How a pattern is matched. A pattern whose only special part is a leading or trailing `**` is compared as
/// text; for a leading one this differs from the general form (`**foo` matches `xfoo`).
#[derive(Debug, Clone)]
enum Matching {
    Exact,
    Prefix(String),
    Suffix(String),
    Tokens(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// This character.
    One(char),
    /// Any character but `/`.
    Any,
    /// Any text without `/`.
    Many,
    /// Nothing, or any text that ends with `/`.
    Directories,
    /// Any text.
    Rest,
    /// One of these; or, when inverted, none of these.
    Class {
        ranges: Vec<(char, char)>,
        inverted: bool,
    },
}

impl Pattern {
    /// Reads a clean pattern; an error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut tokens = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    match chars.peek() {
                        Some(_) => Token::Directories,
                        None => Token::Rest,
                    }
                }
                '*' => Token::Many,
                '?' => Token::Any,
                '[' => class(&mut chars)?,
                '\\' => Token::One(chars.next().ok_or("ends with a backslash")?),
                c => Token::One(c),
            });
        }
        let plain = |tokens: &[Token]| tokens.iter().all(|token| matches!(token, Token::One(_)));
        let escaped = text.contains('\\');
        let kind = match tokens.as_slice() {
            _ if escaped => Matching::Tokens(tokens),
            tokens if plain(tokens) => Matching::Exact,
            [Token::Directories | Token::Rest, rest @ ..] if plain(rest) => {
                Matching::Suffix(text[2..].to_owned())
            }
            [rest @ .., Token::Rest] if plain(rest) => {
                let stars = text.trim_end_matches('/');
                Matching::Prefix(stars[..stars.len() - 2].to_owned())
            }
            _ => Matching::Tokens(tokens),
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }

    /// Whether a path matches; directories above it are not looked at.
    pub(super) fn matches(&self, path: &str) -> bool {
        match &self.kind {
            Matching::Exact => path == self.text,
            Matching::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Matching::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            Matching::Tokens(tokens) => matches(tokens, path),
        }
    }

    /// Whether a path below a directory may match, or the directory itself does. May say yes too often.
    pub(super) fn may_match_below(&self, directory: &str) -> bool {
        let mut parts = self.text.split('/');
        for name in directory.split('/') {
            let Some(part) = parts.next() else {
                return true;
            };
            // An escaped `/` or a class with one would shift the parts.
            if part.contains("**") || part.contains(['[', '\\']) {
                return true;
            }
            if !Self::parse(part).is_ok_and(|part| part.matches(name)) {
                return false;
            }
        }
        true
    }
}

/// Reads a class behind its `[`: `[a-z]`, `[^a]`.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, &'static str> {
    const OPEN: &str = "has a `[` without `]`";
    let inverted = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let mut one = || match chars.next() {
            Some('\\') => chars.next().map(|c| (c, true)),
            other => other.map(|c| (c, false)),
        };
        let (from, escaped) = one().ok_or(OPEN)?;
        if from == ']' && !escaped {
            if ranges.is_empty() {
                return Err("has an empty `[]`");
            }
            return Ok(Token::Class { ranges, inverted });
        }
        let mut to = from;
        if chars.next_if_eq(&'-').is_some() {
            to = match chars.next() {
                Some('\\') => chars.next().ok_or(OPEN)?,
                Some(']') | None => return Err("has a range without an end"),
                Some(c) => c,
            };
        }
        if to < from {
            return Err("has a range that runs backwards");
        }
        ranges.push((from, to));
    }
}

/// Matches tokens against a whole path, in time bounded by their product.
fn matches(tokens: &[Token], path: &str) -> bool {
    let text: Vec<char> = path.chars().collect();
    // Positions that can be reached with the tokens so far.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; text.len() + 1];
        match token {
            Token::One(wanted) => step(&reached, &mut next, |at| text[at] == *wanted),
            Token::Any => step(&reached, &mut next, |at| text[at] != '/'),
            Token::Class { ranges, inverted } => step(&reached, &mut next, |at| {
                let within = ranges
                    .iter()
                    .any(|(from, to)| (*from..=*to).contains(&text[at]));
                within != *inverted
            }),
            Token::Many => {
                let mut open = false;
                for at in 0..=text.len() {
                    open = reached[at] || (open && text[at - 1] != '/');
                    next[at] = open;
                }
            }
            Token::Rest => {
                let mut open = false;
                for at in 0..=text.len() {
                    open |= reached[at];
                    next[at] = open;
                }
            }
            Token::Directories => {
                let mut open = false;
                for at in 0..=text.len() {
                    next[at] = reached[at] || (open && text[at - 1] == '/');
                    open |= reached[at];
                }
            }
        }
        reached = next;
    }
    reached[text.len()]
}

fn step(reached: &[bool], next: &mut [bool], fits: impl Fn(usize) -> bool) {
    for at in 0..reached.len() - 1 {
        next[at + 1] = reached[at] && fits(at);
    }
}

/// The shortest path that means the same, as Go's `filepath.Clean`: no `.`, no `//`, `..` resolved.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
