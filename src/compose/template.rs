//! `$VAR` and `${VAR…}` in text: Compose's template language, shared by stack files and `.env`.
//!
//! Forms: `$V ${V} ${V:-default} ${V-default} ${V:?error} ${V?error} ${V:+other} ${V+other}`, with
//! templates again inside of default, error and other; `$$` is a dollar sign, and a dollar sign that
//! starts nothing stays as it is.

use std::ops::Range;

/// Templates inside of templates that are followed.
const MAX_DEPTH: usize = 32;

/// Bytes that one text may become. Variables made of variables double with every line.
const MAX_LENGTH: usize = 16 << 20;

/// Looks variables up.
pub(super) type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Why a text cannot be expanded, and which of its bytes are to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateError {
    pub(super) range: Range<usize>,
    pub(super) kind: TemplateErrorKind,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateErrorKind {
    #[error("`{0}` is not a variable reference")]
    Invalid(String),
    #[error("the braces of `{0}` are never closed")]
    Unclosed(String),
    #[error("templates nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("more than {} MiB once its variables are filled in", MAX_LENGTH >> 20)]
    TooLong,
    #[error("{}", required_text(.name, .message))]
    Required { name: String, message: String },
}

fn required_text(name: &str, message: &str) -> String {
    if message.is_empty() {
        format!("the variable `{name}` is required and has no value")
    } else {
        format!("the variable `{name}` is required: {message}")
    }
}

/// A variable that was used and has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unset {
    pub(super) name: String,
    pub(super) range: Range<usize>,
}

/// Expands a text; variables without a value become nothing and are added to `unset`.
pub(super) fn expand(
    text: &str,
    lookup: &Lookup<'_>,
    unset: &mut Vec<Unset>,
) -> Result<String, TemplateError> {
    let mut expander = Expander { lookup, unset };
    expander.text(text, 0, 0)
}

struct Expander<'a> {
    lookup: &'a Lookup<'a>,
    unset: &'a mut Vec<Unset>,
}

impl Expander<'_> {
    /// Expands a part of the whole text that starts at byte `base` of it.
    fn text(&mut self, text: &str, base: usize, depth: usize) -> Result<String, TemplateError> {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(found) = text[at..].find('$') {
            if out.len() > MAX_LENGTH {
                return Err(TemplateError {
                    range: base..base + text.len(),
                    kind: TemplateErrorKind::TooLong,
                });
            }
            out.push_str(&text[at..at + found]);
            at += found;
            let rest = &text[at + 1..];
            if rest.starts_with('$') {
                out.push('$');
                at += 2;
            } else if rest.starts_with('{') {
                let length = braced_length(rest).ok_or_else(|| TemplateError {
                    range: base + at..base + text.len(),
                    kind: TemplateErrorKind::Unclosed(text[at..].to_owned()),
                })?;
                let whole = base + at..base + at + length + 2;
                out.push_str(&self.braced(&rest[1..length], whole, depth)?);
                at += length + 2;
            } else {
                let name = name_of(rest);
                if name.is_empty() {
                    out.push('$');
                } else {
                    let range = base + at..base + at + 1 + name.len();
                    out.push_str(&self.plain(name, range));
                }
                at += 1 + name.len();
            }
        }
        out.push_str(&text[at..]);
        Ok(out)
    }

    fn plain(&mut self, name: &str, range: Range<usize>) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            let name = name.to_owned();
            self.unset.push(Unset { name, range });
            String::new()
        })
    }

    /// Expands `${body}`, which covers the bytes `whole` of the text.
    fn braced(
        &mut self,
        body: &str,
        whole: Range<usize>,
        depth: usize,
    ) -> Result<String, TemplateError> {
        let fail = |kind| TemplateError {
            range: whole.clone(),
            kind,
        };
        if depth >= MAX_DEPTH {
            return Err(fail(TemplateErrorKind::TooDeep));
        }
        let name = name_of(body);
        let rest = &body[name.len()..];
        if name.is_empty() {
            return Err(fail(TemplateErrorKind::Invalid(format!("${{{body}}}"))));
        }
        if rest.is_empty() {
            return Ok(self.plain(name, whole));
        }
        let value = (self.lookup)(name);
        let (value, operator) = match rest.strip_prefix(':') {
            // With a colon, an empty value counts as none.
            Some(operator) => (value.filter(|value| !value.is_empty()), operator),
            None => (value, rest),
        };
        let mut characters = operator.chars();
        let operator_char = characters.next();
        let argument = characters.as_str();
        let base = whole.end - 1 - argument.len();
        match (operator_char, value) {
            (Some('-' | '?'), Some(value)) => Ok(value),
            (Some('-'), None) | (Some('+'), Some(_)) => self.text(argument, base, depth + 1),
            (Some('+'), None) => Ok(String::new()),
            (Some('?'), None) => {
                let message = self.text(argument, base, depth + 1)?;
                let name = name.to_owned();
                Err(fail(TemplateErrorKind::Required { name, message }))
            }
            _ => Err(fail(TemplateErrorKind::Invalid(format!("${{{body}}}")))),
        }
    }
}

/// A variable that a text names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    /// `-`, `+` or `?`; `None` when the variable stands alone.
    pub(super) operator: Option<char>,
    /// What follows the operator, as it is written.
    pub(super) argument: &'a str,
}

/// The variables that a text names, those inside of defaults and alternatives too, in the order of
/// the text. What is no template is left out.
pub(super) fn references(text: &str) -> Vec<Reference<'_>> {
    let mut found = Vec::new();
    collect(text, 0, &mut found);
    found
}

fn collect<'a>(text: &'a str, depth: usize, found: &mut Vec<Reference<'a>>) {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let Some(length) = rest.starts_with('{').then(|| braced_length(rest)).flatten() else {
            let name = name_of(rest);
            if !name.is_empty() {
                found.push(Reference {
                    name,
                    operator: None,
                    argument: "",
                });
            }
            rest = &rest[name.len()..];
            continue;
        };
        let body = &rest[1..length];
        rest = &rest[length + 1..];
        let name = name_of(body);
        if name.is_empty() {
            continue;
        }
        let after = &body[name.len()..];
        let mut characters = after.strip_prefix(':').unwrap_or(after).chars();
        let operator = characters.next();
        let argument = characters.as_str();
        found.push(Reference {
            name,
            operator,
            argument,
        });
        // Docker Compose does not look into the text after a `?`.
        if matches!(operator, Some('-' | '+')) && depth < MAX_DEPTH {
            collect(argument, depth + 1, found);
        }
    }
}

/// The variable name that a text starts with; empty when it starts with none.
fn name_of(text: &str) -> &str {
    let starts = text.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    if !starts {
        return "";
    }
    let end = text
        .find(|c: char| c != '_' && !c.is_ascii_alphanumeric())
        .unwrap_or(text.len());
    &text[..end]
}

/// Where the brace that opens a text is closed again, in Compose's way of looking for it
/// (`template/template.go`): on the same line, and when the braces do not come out even it is the last
/// one there. What follows an opening brace is skipped, so `{}` opens one that it does not close.
fn braced_length(text: &str) -> Option<usize> {
    let name = name_of(&text[1..]).len();
    let operator = text[1 + name..].trim_start_matches(':');
    if !operator.starts_with(['-', '+', '?']) {
        return text.find('}');
    }
    let line = text.lines().next().unwrap_or(text);
    let last = line.rfind('}')?;
    let mut open = 0usize;
    let mut bytes = line.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' => {
                open += 1;
                bytes.next();
            }
            b'}' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    Some(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/root".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("a$HOME".to_owned()),
            _ => None,
        }
    }

    fn run(text: &str) -> Result<String, String> {
        expand(text, &lookup, &mut Vec::new()).map_err(|error| error.kind.to_string())
    }

    #[test]
    fn every_form_expands_as_compose_does() {
        let table = [
            ("plain", "plain"),
            ("$HOME/x", "/root/x"),
            ("${HOME}x", "/rootx"),
            ("$$HOME", "$HOME"),
            ("$(date) $5 $. a$", "$(date) $5 $. a$"),
            ("${X}", ""),
            ("${X:-d}", "d"),
            ("${X-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${HOME:+y}", "y"),
            ("${EMPTY:+y}", ""),
            ("${EMPTY+y}", "y"),
            ("${X+y}", ""),
            ("${HOME:?e}", "/root"),
            ("${EMPTY?e}", ""),
            ("${X:-${Y:-z}}", "z"),
            ("${X:-$HOME}", "/root"),
            ("${X:-{a}b}", "{a}b"),
            ("${X:-a}}", "a}"),
            ("${X:-{}", "{"),
            ("${X:-{}}", "{}"),
            ("${X:-{}}x}", "{}}x"),
            ("${HOME}\n}", "/root\n}"),
            ("${X:-$$a}", "$a"),
            ("${X:-a:b-c?d}", "a:b-c?d"),
            ("${HOME:-${Y!}}", "/root"),
            ("$DOLLAR", "a$HOME"),
            ("é${HOME}é", "é/rooté"),
        ];
        for (text, expected) in table {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for text in [
            "${X:-\n}", "${", "${}", "${X", "${X!}", "${X.y}", "${X:y}", "${X }", "${1}",
        ] {
            assert!(run(text).is_err(), "{text}");
        }
        let error = expand("ab${X:?need $HOME}", &lookup, &mut Vec::new()).unwrap_err();
        assert_eq!(error.range, 2..18);
        assert_eq!(
            error.kind.to_string(),
            "the variable `X` is required: need /root"
        );
        let error = expand("${X:-${Y!}}", &lookup, &mut Vec::new()).unwrap_err();
        assert_eq!(error.range, 5..10);
    }

    #[test]
    fn unset_variables_are_reported_where_they_stand() {
        let mut unset = Vec::new();
        expand("a$X ${Y:-$Z}", &lookup, &mut unset).unwrap();
        let found: Vec<_> = unset.into_iter().map(|u| (u.name, u.range)).collect();
        assert_eq!(found, [("X".to_owned(), 1..3), ("Z".to_owned(), 9..11)]);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let text = "${X:-".repeat(1000) + &"}".repeat(1000);
        assert_eq!(
            run(&text),
            Err("templates nested deeper than 32 levels".to_owned())
        );
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(text in "[${}:?+a-c-]{0,40}|.{0,60}") {
            if let Err(error) = expand(&text, &lookup, &mut Vec::new()) {
                prop_assert!(text.get(error.range).is_some());
            }
        }

        #[test]
        fn text_without_dollar_stays(text in "[^$]{0,60}") {
            prop_assert_eq!(run(&text), Ok(text));
        }

        #[test]
        fn escaped_text_comes_back(text in ".{0,60}") {
            prop_assert_eq!(run(&text.replace('$', "$$")), Ok(text));
        }
    }
}
