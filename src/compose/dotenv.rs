//! Environment files in Compose's dialect.
//!
//! `KEY=value`, `KEY: value`, `export KEY=value`, comments, single quotes (nothing is special
//! inside), double quotes (backslash escapes and templates), unquoted values (templates, a comment
//! after a space), quoted values over several lines, and `KEY` alone, which takes the caller's value.

use std::ops::Range;

use indexmap::IndexMap;

use super::template::{self, Lookup, TemplateErrorKind, Unset};

/// Bytes that the values of one file may become: each may repeat those before it.
const MAX_TEXT: usize = 64 << 20;

/// Variables of a file, in its order; `None`: named without a value, and the caller has none.
pub(super) type Variables = IndexMap<String, Option<String>>;

/// Why a file cannot be read, and which of its bytes are to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DotenvError {
    pub(super) range: Range<usize>,
    pub(super) kind: DotenvErrorKind,
}

/// What is wrong with an environment file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum DotenvErrorKind {
    #[error("`{0}` is not a variable name")]
    BadName(String),
    #[error("a quote that is never closed")]
    Unclosed,
    #[error("the file stands for more than {} MiB of text", MAX_TEXT >> 20)]
    TooLong,
    #[error(transparent)]
    Template(#[from] TemplateErrorKind),
}

/// The variables of a file that the command line names, in its order; those without a value, that the
/// caller has not either, are left out.
pub(crate) fn read_variables(
    text: &str,
    caller: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<(String, String)>, String> {
    let scope = Scope {
        first: caller,
        last: &|_| None,
    };
    let read = parse(text, &scope).map_err(|error| error.kind.to_string())?;
    let variables = read.variables.into_iter();
    Ok(variables
        .filter_map(|(name, value)| Some((name, value?)))
        .collect())
}

/// What a file says, and the variables it used that have no value.
#[derive(Debug, Default)]
pub(super) struct Dotenv {
    pub(super) variables: Variables,
    pub(super) unset: Vec<Unset>,
    /// Where each variable is written, the last time.
    pub(super) places: IndexMap<String, Range<usize>>,
}

/// Where a template finds its variables; between the two stand those above it in the file.
pub(super) struct Scope<'a> {
    /// Looked at first: the caller's.
    pub(super) first: &'a Lookup<'a>,
    /// Looked at last: those of earlier files.
    pub(super) last: &'a Lookup<'a>,
}

/// Reads a file.
pub(super) fn parse(text: &str, scope: &Scope<'_>) -> Result<Dotenv, DotenvError> {
    let mut reader = Reader {
        text,
        at: if text.starts_with('\u{feff}') { 3 } else { 0 },
        size: 0,
        scope,
        out: Dotenv::default(),
    };
    while reader.entry()? {}
    Ok(reader.out)
}

/// `format: raw`: each line is taken as it is, up to the line break.
pub(super) fn parse_raw(text: &str, lookup: &Lookup<'_>) -> Result<Dotenv, DotenvError> {
    let mut out = Dotenv::default();
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let range = at..at + whole.trim_end().len();
        at += whole.len();
        let line = whole.trim_end_matches(['\n', '\r']);
        let line = line.trim_start_matches('\u{feff}').trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (line.to_owned(), lookup(line)),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            let kind = DotenvErrorKind::BadName(name);
            return Err(DotenvError { range, kind });
        }
        out.places.insert(name.clone(), range);
        out.variables.insert(name, value);
    }
    Ok(out)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    size: usize,
    scope: &'a Scope<'a>,
    out: Dotenv,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn skip_while(&mut self, skipped: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !skipped(c)).unwrap_or(rest.len());
    }

    fn skip_blanks(&mut self) {
        self.skip_while(|c| c.is_whitespace() && c != '\n');
    }

    fn skip_line(&mut self) {
        self.skip_while(|c| c != '\n');
    }

    fn fail<T>(&self, range: Range<usize>, kind: DotenvErrorKind) -> Result<T, DotenvError> {
        Err(DotenvError { range, kind })
    }

    /// Reads one variable; `false` at the end.
    fn entry(&mut self) -> Result<bool, DotenvError> {
        loop {
            self.skip_while(char::is_whitespace);
            if !self.rest().starts_with('#') {
                break;
            }
            self.skip_line();
        }
        if self.rest().is_empty() {
            return Ok(false);
        }
        if let Some(after) = self.rest().strip_prefix("export")
            && after.starts_with([' ', '\t'])
        {
            self.at += "export".len();
            self.skip_blanks();
        }
        let start = self.at;
        let (name, has_value) = self.name()?;
        let value = if has_value {
            self.skip_blanks();
            Some(self.value()?)
        } else {
            (self.scope.first)(&name)
        };
        // A value without a name is read, and no variable.
        if !name.is_empty() {
            self.out.places.insert(name.clone(), start..self.at);
            self.out.variables.insert(name, value);
        }
        Ok(true)
    }

    /// The name, and whether a value follows.
    fn name(&mut self) -> Result<(String, bool), DotenvError> {
        let start = self.at;
        let rest = self.rest();
        let end = rest.find(['=', ':', '\n', '#']).unwrap_or(rest.len());
        let separator = rest[end..].chars().next();
        let name = rest[..end].trim().to_owned();
        let valid = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']');
        if !name.chars().all(valid) || (name.is_empty() && separator.is_none()) {
            let range = start..start + rest[..end].trim_end().len();
            return self.fail(range, DotenvErrorKind::BadName(name));
        }
        self.at = start + end;
        let has_value = matches!(separator, Some('=' | ':'));
        if has_value {
            self.at += 1;
        } else {
            self.skip_line();
        }
        Ok((name, has_value))
    }

    fn value(&mut self) -> Result<String, DotenvError> {
        match self.rest().chars().next() {
            Some('\'') => self.single_quoted(),
            Some('"') => self.double_quoted(),
            _ => self.unquoted(),
        }
    }

    /// Where the quote that opens here is closed.
    fn closing_quote(&self, quote: char) -> Result<usize, DotenvError> {
        let mut escaped = false;
        for (offset, character) in self.rest().char_indices().skip(1) {
            if escaped {
                escaped = false;
            } else if character == '\\' {
                escaped = true;
            } else if character == quote {
                return Ok(self.at + offset);
            }
        }
        let end = self.at + self.rest().find('\n').unwrap_or(self.rest().len());
        self.fail(self.at..end, DotenvErrorKind::Unclosed)
    }

    fn single_quoted(&mut self) -> Result<String, DotenvError> {
        let end = self.closing_quote('\'')?;
        let value = self.text[self.at + 1..end].replace("\\'", "'");
        // As in Compose, what follows on the line is the next variable.
        self.at = end + 1;
        Ok(value)
    }

    fn double_quoted(&mut self) -> Result<String, DotenvError> {
        let start = self.at;
        let end = self.closing_quote('"')?;
        let value = unescape(&self.text[start + 1..end]);
        // As in Compose, what follows on the line is the next variable.
        self.at = end + 1;
        self.expand(&value, start..end + 1)
    }

    fn unquoted(&mut self) -> Result<String, DotenvError> {
        let start = self.at;
        self.skip_line();
        let line = &self.text[start..self.at];
        // Only a space starts a comment: `a#b` and a leading `#` are part of the value.
        let comment = line.find(" #").unwrap_or(line.len());
        let value = line[..comment].trim_end();
        let value = value.to_owned();
        self.expand(&value, start..start + value.len())
    }

    fn expand(&mut self, value: &str, range: Range<usize>) -> Result<String, DotenvError> {
        if !value.contains('$') {
            return Ok(value.to_owned());
        }
        let Dotenv {
            variables, unset, ..
        } = &mut self.out;
        let lookup = |name: &str| {
            (self.scope.first)(name)
                .or_else(|| variables.get(name).cloned().flatten())
                .or_else(|| (self.scope.last)(name))
        };
        let mut missing = Vec::new();
        let expanded = template::expand(value, &lookup, &mut missing);
        self.size += expanded.as_ref().map_or(0, String::len);
        if self.size > MAX_TEXT {
            return self.fail(range, DotenvErrorKind::TooLong);
        }
        unset.extend(missing.into_iter().map(|variable| Unset {
            name: variable.name,
            range: range.clone(),
        }));
        expanded.map_err(|error| DotenvError {
            range,
            kind: error.kind.into(),
        })
    }
}

/// Backslash escapes of double quotes. An escaped dollar sign stays one after the templates.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('$') => out.push_str("$$"),
            Some(escaped @ ('\\' | '"' | '\'')) => out.push(escaped),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "HOME").then(|| "/root".to_owned())
    }

    const SCOPE: Scope<'static> = Scope {
        first: &lookup,
        last: &|name| (name == "EARLIER").then(|| "before".to_owned()),
    };

    fn show(text: &str) -> String {
        match parse(text, &SCOPE) {
            Ok(read) => {
                let shown: Vec<String> = read
                    .variables
                    .iter()
                    .map(|(name, value)| format!("{name}={value:?}"))
                    .collect();
                shown.join(" ").replace("Some(", "").replace(')', "")
            }
            Err(error) => format!("{}: {}", error.kind, &text[error.range]),
        }
    }

    #[test]
    fn values_are_read_as_compose_does() {
        let table = [
            (
                "A=1\nB= 2 \nexport C=3\nD: 4",
                r##"A="1" B="2" C="3" D="4""##,
            ),
            ("E\nHOME\nF=", r##"E=None HOME="/root" F="""##),
            (r"A='x $HOME \' y' # c", r##"A="x $HOME ' y""##),
            (
                r##"B="x $HOME \n \" \$HOME" # c"##,
                r##"B="x /root \n \" $HOME""##,
            ),
            (
                "C=x $HOME # c\nD=x#y\nE=#y",
                r##"C="x /root" D="x#y" E="#y""##,
            ),
            ("F=\"a\nb\"\nG='a\nb'", r##"F="a\nb" G="a\nb""##),
            ("A=1\nB=${A}2\nC=${NOPE:-x}", r##"A="1" B="12" C="x""##),
            ("A=$$A\nB='$A'", r##"A="$A" B="$A""##),
            ("1A=2\nA.B=3\nA-B=4", r##"1A="2" A.B="3" A-B="4""##),
            ("# c\n\n  A=1\n\tB=2\r\nC=3\r\n", r##"A="1" B="2" C="3""##),
            ("A=1\nA=2", r##"A="2""##),
            (
                "A='a' b\nB=\"b\"c=2 d\n=x\né=1",
                r##"A="a" b=None B="b" c="2 d" é="1""##,
            ),
            ("HOME=/x\nB=$HOME", r##"HOME="/x" B="/root""##),
            ("\u{feff}A=1", r##"A="1""##),
            (
                "A = 1\nexportB=2\nexport=3",
                r##"A="1" exportB="2" export="3""##,
            ),
            ("A=x 'y' \"z\"", r##"A="x 'y' \"z\"""##),
        ];
        for (text, expected) in table {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let table = [
            ("A=1\nA B=1", "`A B` is not a variable name: A B"),
            ("A=\"x", "a quote that is never closed: \"x"),
            ("A='x", "a quote that is never closed: 'x"),
            ("A=${X:?no}", "the variable `X` is required: no: ${X:?no}"),
        ];
        for (text, expected) in table {
            assert_eq!(show(text), expected, "{text}");
        }
    }

    #[test]
    fn raw_lines_are_taken_as_they_are() {
        let read = parse_raw("\u{feff}A='x' # c\n# d\nB= y \r\n C\n", &lookup);
        let read: Vec<_> = read.unwrap().variables.into_iter().collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read,
            [
                ("A".to_owned(), some("'x' # c")),
                ("B".to_owned(), some(" y ")),
                ("C".to_owned(), None),
            ]
        );
        let error = parse_raw("A=1\nexport B=2\n", &lookup).unwrap_err();
        assert_eq!(error.range, 4..14);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail_badly(text in "[A=:'\"$#{}\\\\ \n]{0,30}|.{0,60}") {
            if let Err(error) = parse(&text, &SCOPE) {
                prop_assert!(text.get(error.range).is_some());
            }
            if let Err(error) = parse_raw(&text, &lookup) {
                prop_assert!(text.get(error.range).is_some());
            }
        }

        #[test]
        fn single_quoted_text_comes_back(value in "[^'\\\\]{0,30}") {
            let read = parse(&format!("A='{value}'"), &SCOPE).unwrap();
            prop_assert_eq!(read.variables.get("A"), Some(&Some(value)));
        }
    }
}
