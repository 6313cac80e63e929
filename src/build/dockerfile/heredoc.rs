//! Here-documents: finding `<<NAME` in a line, reading what stands below it.

use super::instruction::{Heredoc, Word};
use super::lines::{self, Lines, Origin};
use super::words::Part;
use crate::build::expand::{Mode, expand};
use crate::compose::diagnostic::Problems;

/// `<<NAME` as a word says it, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opening {
    pub(super) name: String,
    expand: bool,
    strip_tabs: bool,
    descriptor: Option<u32>,
}

/// What a word says when it opens a here-document.
pub(super) fn opening(word: &str) -> Option<Opening> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = word[digits..].strip_prefix("<<")?;
    let (rest, strip_tabs) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let none = |_: &str| None;
    let plain = Mode {
        keep_unset: true,
        ..Mode::word('\\')
    };
    let kept = Mode::shown('\\');
    let [name] = <[String; 1]>::try_from(expand(rest, plain, &none).ok()?.words).ok()?;
    let [raw] = <[String; 1]>::try_from(expand(rest, kept, &none).ok()?.words).ok()?;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    Some(Opening {
        expand: quotes(&name) == quotes(&raw),
        name,
        strip_tabs,
        descriptor: word[..digits].parse().ok(),
    })
}

/// Reads the here-documents that a line opens; `None` when one has no end, which is recorded.
pub(super) fn read(
    part: Part<'_>,
    lines: &mut Lines<'_>,
    origin: Origin,
    problems: &mut Problems,
) -> Option<Vec<Heredoc>> {
    if !part.text().contains("<<") {
        return Some(Vec::new());
    }
    let words = expand(part.text(), Mode::raw(), &|_| None).map_or(Vec::new(), |text| text.words);
    let mut from = 0;
    let mut found = Vec::new();
    for word in words {
        let Some(opening) = opening(&word) else {
            continue;
        };
        let at = part.text()[from..].find(&word).map_or(from, |at| from + at);
        let end = (at + word.len()).min(part.text().len());
        from = end;
        let name = Word::new(opening.name.clone(), part.cut(at..end).span);
        let below = lines.peek();
        let Some((content, range)) = lines.heredoc(&opening.name, opening.strip_tabs) else {
            unended(&name, below.map(|(start, _)| start), lines, problems);
            return None;
        };
        found.push(Heredoc {
            name,
            content: Word::new(content, lines::span(origin, range)),
            expand: opening.expand,
            strip_tabs: opening.strip_tabs,
            descriptor: opening.descriptor,
        });
    }
    Some(found)
}

fn unended(name: &Word, start: Option<usize>, lines: &Lines<'_>, problems: &mut Problems) {
    let text = &name.value;
    let close = start
        .map(|start| lines.text_from(start))
        .is_some_and(|below| below.lines().any(|line| line.trim() == text.as_str()));
    let help = if close {
        format!(
            "there is a line with `{text}`, but with blanks around it; with `<<-{text}` tabs may stand before it"
        )
    } else {
        format!("a line with nothing but `{text}` ends it")
    };
    problems
        .error(name.span, format!("the here-document `{text}` has no end"))
        .label("opened here")
        .help(help);
}
