//! The pieces of a template: text, and the words between `{{` and `}}`.

use super::TemplateError;

/// A piece, and where it begins (bytes).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Text outside of actions.
    Text(String),
    /// `{{`.
    Open,
    /// `}}`.
    Close,
    /// `.Name`; `glued` = it follows what is before without a blank.
    Field {
        name: String,
        glued: bool,
    },
    /// `.` alone.
    Dot,
    /// `$name`, or `$`.
    Variable(String),
    /// A keyword or the name of a function.
    Word(String),
    Quoted(String),
    Integer(i64),
    Float(f64),
    Pipe,
    Assign,
    Declare,
    Comma,
    LeftParen,
    RightParen,
}

const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// Takes a template apart.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, TemplateError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    let mut trim_start = false;
    while at < text.len() {
        let rest = &text[at..];
        let length = rest.find("{{").unwrap_or(rest.len());
        let mut plain = &rest[..length];
        if std::mem::take(&mut trim_start) {
            plain = plain.trim_start_matches(BLANKS);
        }
        let open = at + length;
        let inner = text[open..].strip_prefix("{{");
        if inner.is_some_and(|inner| trims(inner, "-")) {
            plain = plain.trim_end_matches(BLANKS);
        }
        if !plain.is_empty() {
            let kind = Kind::Text(plain.to_owned());
            tokens.push(Token { at, kind });
        }
        let Some(inner) = inner else {
            break;
        };
        let skip = if trims(inner, "-") { 3 } else { 2 };
        let (end, trim) = match text[open + skip..].trim_start_matches(BLANKS) {
            comment if comment.starts_with("/*") => comment_end(text, open, comment)?,
            _ => action(text, open, skip, &mut tokens)?,
        };
        (at, trim_start) = (end, trim);
    }
    Ok(tokens)
}

/// `- ` after `{{`.
fn trims(inner: &str, mark: &str) -> bool {
    inner
        .strip_prefix(mark)
        .is_some_and(|rest| rest.starts_with(BLANKS))
}

fn comment_end(text: &str, open: usize, comment: &str) -> Result<(usize, bool), TemplateError> {
    let unclosed = || TemplateError::at(text, open, "the comment has no end: `*/}}`");
    let start = text.len() - comment.len();
    let close = comment.find("*/").ok_or_else(unclosed)? + 2;
    let after = &comment[close..];
    if after.starts_with("}}") {
        return Ok((start + close + 2, false));
    }
    let trimmed = after.trim_start_matches(BLANKS);
    match trimmed.starts_with("-}}") && trimmed.len() < after.len() {
        true => Ok((text.len() - trimmed.len() + 3, true)),
        false => Err(unclosed()),
    }
}

/// The words of an action; gives where it ends, and whether the text behind loses its blanks.
fn action(
    text: &str,
    open: usize,
    skip: usize,
    tokens: &mut Vec<Token>,
) -> Result<(usize, bool), TemplateError> {
    let push = |tokens: &mut Vec<Token>, at, kind| tokens.push(Token { at, kind });
    push(tokens, open, Kind::Open);
    let mut at = open + skip;
    loop {
        let rest = &text[at..];
        let Some(first) = rest.chars().next() else {
            return Err(TemplateError::at(text, open, "`{{` has no `}}`"));
        };
        let blank = text[..at].ends_with(BLANKS);
        if rest.starts_with("}}") {
            push(tokens, at, Kind::Close);
            return Ok((at + 2, false));
        }
        if rest.starts_with("-}}") && blank {
            push(tokens, at, Kind::Close);
            return Ok((at + 3, true));
        }
        if BLANKS.contains(&first) {
            at += first.len_utf8();
            continue;
        }
        let (kind, length) = word(text, at, first, blank)?;
        push(tokens, at, kind);
        at += length;
    }
}

fn word(text: &str, at: usize, first: char, blank: bool) -> Result<(Kind, usize), TemplateError> {
    let rest = &text[at..];
    let name = |from: usize| {
        let tail = &rest[from..];
        let end = tail.find(|char: char| !(char.is_alphanumeric() || char == '_'));
        &tail[..end.unwrap_or(tail.len())]
    };
    let single = |kind| Ok((kind, 1));
    match first {
        '|' => single(Kind::Pipe),
        ',' => single(Kind::Comma),
        '(' => single(Kind::LeftParen),
        ')' => single(Kind::RightParen),
        '=' => single(Kind::Assign),
        ':' if rest.starts_with(":=") => Ok((Kind::Declare, 2)),
        '"' => quoted(text, at),
        '`' => match rest[1..].find('`') {
            Some(end) => Ok((Kind::Quoted(rest[1..=end].to_owned()), end + 2)),
            None => Err(TemplateError::at(
                text,
                at,
                "the text has no end: a backquote",
            )),
        },
        '.' => {
            let field = name(1);
            let glued = !blank && !text[..at].ends_with(['{', '|', ',', '(', '=']);
            match field.is_empty() {
                true => single(Kind::Dot),
                false => Ok((
                    Kind::Field {
                        name: field.to_owned(),
                        glued,
                    },
                    field.len() + 1,
                )),
            }
        }
        '$' => Ok((Kind::Variable(name(1).to_owned()), name(1).len() + 1)),
        '0'..='9' | '-' | '+' => number(text, at),
        _ if first.is_alphabetic() || first == '_' => {
            Ok((Kind::Word(name(0).to_owned()), name(0).len()))
        }
        _ => Err(TemplateError::at(
            text,
            at,
            format!("`{first}` means nothing here"),
        )),
    }
}

fn number(text: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let rest = &text[at..];
    let tail = &rest[1..];
    let end = tail.find(|char: char| !(char.is_ascii_alphanumeric() || char == '.'));
    let word = &rest[..end.map_or(rest.len(), |end| end + 1)];
    if let Ok(integer) = word.parse() {
        return Ok((Kind::Integer(integer), word.len()));
    }
    match word.parse::<f64>() {
        Ok(float) if float.is_finite() => Ok((Kind::Float(float), word.len())),
        _ => Err(TemplateError::at(
            text,
            at,
            format!("`{word}` is no number"),
        )),
    }
}

/// A Go string; its escapes are those of JSON and a few more.
fn quoted(text: &str, at: usize) -> Result<(Kind, usize), TemplateError> {
    let mut out = String::new();
    let mut chars = text[at + 1..].char_indices();
    while let Some((index, char)) = chars.next() {
        match char {
            '"' => return Ok((Kind::Quoted(out), index + 2)),
            '\n' => break,
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, 'r')) => out.push('\r'),
                Some((_, same @ ('"' | '\\' | '\''))) => out.push(same),
                _ => {
                    let place = at + 1 + index;
                    return Err(TemplateError::at(text, place, "there is no such escape"));
                }
            },
            other => out.push(other),
        }
    }
    Err(TemplateError::at(text, at, "the text has no end: `\"`"))
}
