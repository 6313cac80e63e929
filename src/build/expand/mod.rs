//! Variables in instructions: `$V`, `${V…}`, quotes and escapes, as BuildKit's shell lexer reads them.
//!
//! Forms: `$V ${V} ${V:-d} ${V-d} ${V:+a} ${V+a} ${V:?e} ${V?e} ${V#p} ${V##p} ${V%p} ${V%%p} ${V/p/r}
//! ${V//p/r}`; in patterns `*` and `?`. Quotes are taken away unless a [`Mode`] keeps them. Rules after
//! moby/buildkit `frontend/dockerfile/shell`.

mod pattern;

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

/// Looks variables up.
pub(super) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Expansions inside of expansions that are followed.
const MAX_DEPTH: usize = 64;

/// What is done with quotes and escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode {
    /// The character that takes the meaning off the next one.
    pub(super) escape: char,
    /// Quotes stay in the result.
    pub(super) keep_quotes: bool,
    /// Escapes stay in the result.
    pub(super) keep_escapes: bool,
    /// Quotes have no meaning: the text of a here-document.
    pub(super) plain_quotes: bool,
    /// A variable without a value stays as it was written.
    pub(super) keep_unset: bool,
}

impl Mode {
    /// An instruction's arguments.
    pub(super) fn word(escape: char) -> Self {
        Self {
            escape,
            keep_quotes: false,
            keep_escapes: false,
            plain_quotes: false,
            keep_unset: false,
        }
    }

    /// The text of a here-document: only `\` escapes there.
    pub(super) fn heredoc() -> Self {
        Self {
            plain_quotes: true,
            ..Self::word('\\')
        }
    }

    /// Text for people: everything but variables stays.
    pub(super) fn shown(escape: char) -> Self {
        Self {
            keep_quotes: true,
            keep_unset: true,
            ..Self::word(escape)
        }
    }

    /// A line that is only looked through for words.
    pub(super) fn raw() -> Self {
        Self {
            keep_escapes: true,
            ..Self::shown('\\')
        }
    }
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("a {0} quote is never closed")]
    Quote(&'static str),
    #[error("the brace of `${{` is never closed")]
    Brace,
    #[error("`${{{0}` names no variable")]
    Name(char),
    #[error("`${{{name}{modifier}…}}` is no form of expansion")]
    Modifier { name: String, modifier: String },
    #[error("the second `/` of `${{{0}/…/…}}` is missing")]
    Slash(String),
    #[error(
        "`{escape}` in the pattern `{pattern}` escapes nothing: only `*`, `?` and `\\` need it"
    )]
    Pattern { pattern: String, escape: String },
    #[error("`{name}` {message}")]
    Required { name: String, message: String },
    #[error("expansions nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// A variable that was met, and the bytes of the text that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) name: String,
    pub(super) range: Range<usize>,
}

/// An expanded text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Expanded {
    /// The whole text.
    pub(super) text: String,
    /// The text split at blanks that are neither quoted nor escaped.
    pub(super) words: Vec<String>,
    /// Variables that had a value.
    pub(super) set: Vec<Met>,
    /// Variables that had none, and nothing said what to take instead.
    pub(super) unset: Vec<Met>,
}

/// Expands a text.
pub(super) fn expand(text: &str, mode: Mode, lookup: &Lookup<'_>) -> Result<Expanded, ExpandError> {
    let mut lexer = Lexer {
        chars: text.char_indices().peekable(),
        length: text.len(),
        mode,
        lookup,
        depth: 0,
        set: Vec::new(),
        unset: Vec::new(),
    };
    let (text, words) = lexer.until(None, mode.keep_escapes)?;
    Ok(Expanded {
        text,
        words,
        set: lexer.set,
        unset: lexer.unset,
    })
}

struct Lexer<'a> {
    chars: Peekable<CharIndices<'a>>,
    length: usize,
    mode: Mode,
    lookup: &'a Lookup<'a>,
    depth: usize,
    set: Vec<Met>,
    unset: Vec<Met>,
}

/// Collects words.
#[derive(Default)]
struct Words {
    word: String,
    words: Vec<String>,
}

impl Words {
    /// Adds text in which blanks part words.
    fn loose(&mut self, text: &str) {
        for c in text.chars() {
            if !c.is_whitespace() {
                self.word.push(c);
            } else if !self.word.is_empty() {
                self.words.push(std::mem::take(&mut self.word));
            }
        }
    }

    fn finish(mut self) -> Vec<String> {
        if !self.word.is_empty() {
            self.words.push(self.word);
        }
        self.words
    }
}

type Result<T, E = ExpandError> = std::result::Result<T, E>;

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|(_, c)| *c)
    }

    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, c)| c)
    }

    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.length, |(at, _)| *at)
    }

    /// Expands up to `stop`, which is read too, or to the end.
    fn until(&mut self, stop: Option<char>, keep_escapes: bool) -> Result<(String, Vec<String>)> {
        if self.depth > MAX_DEPTH {
            return Err(ExpandError::TooDeep);
        }
        let outer = std::mem::replace(&mut self.mode.keep_escapes, keep_escapes);
        self.depth += 1;
        let result = self.until_inner(stop);
        self.depth -= 1;
        self.mode.keep_escapes = outer;
        result
    }

    fn until_inner(&mut self, stop: Option<char>) -> Result<(String, Vec<String>)> {
        let mut text = String::new();
        let mut words = Words::default();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next();
                return Ok((text, words.finish()));
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    words.loose(&value);
                    text.push_str(&value);
                }
                '\'' | '"' if !self.mode.plain_quotes => {
                    let value = if c == '"' {
                        self.double_quoted()?
                    } else {
                        self.single_quoted()?
                    };
                    words.word.push_str(&value);
                    text.push_str(&value);
                }
                _ => {
                    self.next();
                    self.plain(c, &mut text, &mut words);
                }
            }
        }
        match stop {
            Some('/') => Err(ExpandError::Slash(String::new())),
            Some(_) => Err(ExpandError::Brace),
            None => Ok((text, words.finish())),
        }
    }

    fn plain(&mut self, c: char, text: &mut String, words: &mut Words) {
        if c != self.mode.escape {
            words.loose(c.encode_utf8(&mut [0; 4]));
            text.push(c);
            return;
        }
        if self.mode.keep_escapes {
            words.word.push(c);
            text.push(c);
        }
        if let Some(escaped) = self.next() {
            words.word.push(escaped);
            text.push(escaped);
        }
    }

    fn single_quoted(&mut self) -> Result<String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(ExpandError::Quote("single")),
                Some('\'') => break,
                Some(c) => text.push(c),
            }
        }
        Ok(self.quoted(text, '\''))
    }

    fn double_quoted(&mut self) -> Result<String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(ExpandError::Quote("double")),
                Some('"') => break,
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) => {
                    self.next();
                    text.push_str(&self.in_double_quotes(c));
                }
            }
        }
        self.next();
        Ok(self.quoted(text, '"'))
    }

    /// A character inside of double quotes; the escape character escapes `"`, `$` and itself there.
    fn in_double_quotes(&mut self, c: char) -> String {
        if c != self.mode.escape {
            return c.to_string();
        }
        let mut text = String::new();
        if self.mode.keep_escapes {
            text.push(c);
        }
        match self.peek() {
            None => {}
            Some(next) if matches!(next, '"' | '$') || next == self.mode.escape => {
                self.next();
                text.push(next);
            }
            Some(_) => text.push(c),
        }
        text
    }

    fn quoted(&self, text: String, quote: char) -> String {
        if self.mode.keep_quotes {
            format!("{quote}{text}{quote}")
        } else {
            text
        }
    }

    fn dollar(&mut self) -> Result<String> {
        let start = self.at();
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            return Ok(self.value_or(&name, start, || format!("${name}")));
        }
        self.next();
        match self.peek() {
            None => return Err(ExpandError::Brace),
            Some(c @ ('{' | '}' | ':')) => return Err(ExpandError::Name(c)),
            Some(_) => {}
        }
        let name = self.name();
        match self.next() {
            None => Err(ExpandError::Brace),
            Some('}') => Ok(self.value_or(&name, start, || format!("${{{name}}}"))),
            Some('/') => self.replaced(&name, start),
            Some(':') => match self.next() {
                Some(operator) => self.modified(&name, operator, true, start),
                None => Err(ExpandError::Brace),
            },
            Some(operator) => self.modified(&name, operator, false, start),
        }
    }

    /// The value; without one nothing, or what was written.
    fn value_or(&mut self, name: &str, start: usize, written: impl Fn() -> String) -> String {
        match self.get(name, start) {
            Some(value) => value,
            None => {
                let range = start..self.at();
                let name = name.to_owned();
                self.unset.push(Met { name, range });
                if self.mode.keep_unset {
                    written()
                } else {
                    String::new()
                }
            }
        }
    }

    fn get(&mut self, name: &str, start: usize) -> Option<String> {
        let value = (self.lookup)(name)?;
        let range = start..self.at();
        let name = name.to_owned();
        self.set.push(Met { name, range });
        Some(value)
    }

    /// `${name:-word}` and its like; with a colon, an empty value counts as none.
    fn modified(
        &mut self,
        name: &str,
        operator: char,
        colon: bool,
        start: usize,
    ) -> Result<String> {
        let modifier = || format!("{}{operator}", if colon { ":" } else { "" });
        if !matches!(operator, '-' | '+' | '?' | '#' | '%') {
            let (name, modifier) = (name.to_owned(), modifier());
            return Err(ExpandError::Modifier { name, modifier });
        }
        let is_pattern = matches!(operator, '#' | '%');
        let (word, _) = self.until(Some('}'), is_pattern)?;
        let value = self.get(name, start);
        if value.is_none() && self.mode.keep_unset {
            return Ok(format!("${{{name}{}{word}}}", modifier()));
        }
        if is_pattern {
            let range = start..self.at();
            return match value {
                Some(value) => pattern::trimmed(&value, operator, &word),
                None => {
                    let name = name.to_owned();
                    self.unset.push(Met { name, range });
                    Ok(String::new())
                }
            };
        }
        let present = value.as_ref().filter(|value| !(colon && value.is_empty()));
        match (operator, present) {
            ('+', None) => Ok(String::new()),
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('?', None) => Err(ExpandError::Required {
                name: name.to_owned(),
                message: match (word.is_empty(), value.is_some()) {
                    (false, _) => format!("is required: {word}"),
                    (true, true) => "may not be empty".to_owned(),
                    (true, false) => "is required and has no value".to_owned(),
                },
            }),
            (_, Some(value)) => Ok(value.clone()),
            (_, None) => Ok(String::new()),
        }
    }

    /// `${name/pattern/replacement}`, `${name//pattern/replacement}`.
    fn replaced(&mut self, name: &str, start: usize) -> Result<String> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let (pattern, _) = self.until(Some('/'), true).map_err(|error| match error {
            ExpandError::Slash(_) => ExpandError::Slash(name.to_owned()),
            other => other,
        })?;
        let (replacement, _) = self.until(Some('}'), true)?;
        match self.get(name, start) {
            Some(value) => pattern::replaced(&value, &pattern, &replacement, all),
            None if self.mode.keep_unset => Ok(format!("${{{name}/{pattern}/{replacement}}}")),
            None => {
                let range = start..self.at();
                let name = name.to_owned();
                self.unset.push(Met { name, range });
                Ok(String::new())
            }
        }
    }

    /// A name, a number, or one of the shell's special parameters.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.peek() {
            Some(c) if c.is_numeric() => {
                while let Some(c) = self.peek().filter(|c| c.is_numeric()) {
                    self.next();
                    name.push(c);
                }
            }
            Some(c @ ('@' | '*' | '#' | '?' | '-' | '$' | '!')) => {
                self.next();
                name.push(c);
            }
            _ => {
                while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
                    self.next();
                    name.push(c);
                }
            }
        }
        name
    }
}

#[cfg(test)]
mod tests;
