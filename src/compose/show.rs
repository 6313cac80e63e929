//! One problem as text for people: message, source line, caret, help.
//!
//! A file may be long and its lines longer: only the lines that matter go to the renderer, and of a
//! very long line only the part around what is wrong.

use std::borrow::Cow;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level as Title, Renderer, Snippet};

use super::diagnostic::{Color, Diagnostic, FileId, Level, Sources, Span};
use super::sources::{SourceFile, char_start, is_obeyed, printable};

/// Bytes of a line that the renderer gets whole.
const LONG_LINE: usize = 500;
/// Bytes between the first and the last line that are shown together.
const MAX_WINDOW: usize = 32 << 10;
/// Columns from which on text is left in one line; what is not a terminal counts as this wide.
pub(crate) const WIDE: usize = 100;
/// Columns for text that are always taken, however narrow the terminal is.
const MIN_WIDTH: usize = 20;

/// A problem, without a line break at the end.
pub(super) fn problem(
    item: &Diagnostic,
    sources: &Sources,
    (color, width): (Color, usize),
) -> String {
    let renderer = match color {
        Color::Never => Renderer::plain(),
        Color::Always => Renderer::styled(),
    }
    .term_width(width);
    let title = match item.level {
        Level::Warning => Title::WARNING,
        Level::Error => Title::ERROR,
    };
    let marks = marks(item);
    let line_number_width = marks
        .iter()
        .filter_map(|mark| Some(sources.locate(mark.span)?.line.to_string().len()))
        .max()
        .unwrap_or(0);
    let message = wrapped(&item.message, width, "warning: ".len());
    let mut group = Group::with_title(title.primary_title(message));
    for snippet in snippets(&marks, sources) {
        group = group.element(snippet);
    }
    if let Some(help) = &item.help {
        let before = line_number_width + " = help: ".len();
        group = group.element(Title::HELP.message(wrapped(help, width, before)));
    }
    let rendered = renderer.render(&[group]);
    match item.span.and_then(|span| columns(span, sources)) {
        Some((of_part, of_line)) => rendered.replacen(&of_part, &of_line, 1),
        None => rendered,
    }
}

/// The place that the renderer names when it gets a part of a line, and the one that is true.
fn columns(span: Span, sources: &Sources) -> Option<(String, String)> {
    let file = sources.file(span.file)?;
    let line = file.line_range(file.line_at(span.start as usize));
    let location = sources.locate(span)?;
    let start = part_start(file, span.start as usize, line.start);
    if line.len() <= LONG_LINE || start == line.start {
        return None;
    }
    let shown =
        file.text.get(start..span.start as usize)?.chars().count() + "…".chars().count() + 1;
    let (path, line) = (printable(file.path.to_string_lossy()), location.line);
    Some((format!("{path}:{line}:{shown}"), location.to_string()))
}

fn part_start(file: &SourceFile, marked: usize, line_start: usize) -> usize {
    let start = char_start(&file.text, marked.saturating_sub(40));
    start.max(line_start)
}

/// Breaks text between words; the renderer indents the lines after the first by `before` columns. On
/// [`WIDE`] lines nothing is broken, so that it can be searched for.
fn wrapped(text: &str, width: usize, before: usize) -> String {
    if width >= WIDE {
        return text.to_owned();
    }
    let width = width.saturating_sub(before).max(MIN_WIDTH);
    let mut out = String::with_capacity(text.len() + 8);
    let mut column = 0;
    for word in text.split(' ') {
        let length = unicode_width::UnicodeWidthStr::width(word);
        if column > 0 {
            let breaks = column + 1 + length > width;
            out.push(if breaks { '\n' } else { ' ' });
            column = if breaks { 0 } else { column + 1 };
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// A place to point at.
#[derive(Clone, Copy)]
struct Mark<'a> {
    span: Span,
    label: Option<&'a str>,
    primary: bool,
}

fn marks(item: &Diagnostic) -> Vec<Mark<'_>> {
    let primary = item.span.map(|span| Mark {
        span,
        label: item.label.as_deref(),
        primary: true,
    });
    let related = item.related.iter().map(|(span, label)| Mark {
        span: *span,
        label: Some(label),
        primary: false,
    });
    primary.into_iter().chain(related).collect()
}

/// The places, with those that are near each other in one snippet; that of the problem itself first.
fn snippets<'a>(marks: &[Mark<'a>], sources: &'a Sources) -> Vec<Snippet<'a, Annotation<'a>>> {
    let mut groups: Vec<(FileId, Vec<Mark<'a>>, Range<usize>)> = Vec::new();
    for mark in marks {
        let Some(file) = sources.file(mark.span.file) else {
            continue;
        };
        let lines = file.line_range(file.line_at(mark.span.start as usize));
        let long = lines.len() > LONG_LINE;
        let near = groups.iter_mut().find_map(|(id, marks, window)| {
            let start = window.start.min(lines.start);
            let end = window.end.max(lines.end);
            let fits = *id == mark.span.file && !long && end - start <= MAX_WINDOW;
            let long_window = window.len() > LONG_LINE && marks.len() == 1 && {
                let of_first = file.line_range(file.line_at(marks[0].span.start as usize));
                of_first.len() > LONG_LINE
            };
            (fits && !long_window).then(|| {
                *window = start..end;
                marks
            })
        });
        match near {
            Some(marks) => marks.push(*mark),
            None => groups.push((mark.span.file, vec![*mark], lines)),
        }
    }
    let groups = groups.into_iter();
    groups
        .filter_map(|(id, marks, window)| Some(snippet(sources.file(id)?, &marks, window)))
        .collect()
}

/// Lines with marks under them; of a very long line, which has but one mark, a part.
fn snippet<'a>(
    file: &'a SourceFile,
    marks: &[Mark<'a>],
    window: Range<usize>,
) -> Snippet<'a, Annotation<'a>> {
    let snippet = match marks {
        [mark] if window.len() > LONG_LINE => part_of_line(file, *mark, window.clone()),
        _ => {
            let snippet = Snippet::source(without_obeyed(&file.text[window.clone()]));
            let annotations = marks.iter().map(|mark| {
                let range = underlined(mark.span, file);
                annotation(mark, moved(range, file, window.start))
            });
            snippet.annotations(annotations)
        }
    };
    snippet
        .line_start(file.line_at(window.start) + 1)
        .path(printable(file.path.to_string_lossy()))
        .fold(true)
}

/// The part of a very long line around a place.
fn part_of_line<'a>(
    file: &'a SourceFile,
    mark: Mark<'a>,
    line: Range<usize>,
) -> Snippet<'a, Annotation<'a>> {
    let marked = underlined(mark.span, file);
    let text = &file.text;
    let start = part_start(file, marked.start, line.start);
    let end = char_start(text, (marked.start + 200).min(line.end)).max(start);
    let (before, after) = (start > line.start, end < line.end);
    let dots = |there: bool| if there { "…" } else { "" };
    let shown = format!(
        "{}{}{}",
        dots(before),
        without_obeyed(&text[start..end]),
        dots(after)
    );
    let inside = marked.start.min(end)..marked.end.min(end);
    let moved = moved(inside, file, start);
    let shift = dots(before).len();
    Snippet::source(shown).annotation(annotation(&mark, moved.start + shift..moved.end + shift))
}

fn annotation<'a>(mark: &Mark<'a>, range: Range<usize>) -> Annotation<'a> {
    let kind = match mark.primary {
        true => AnnotationKind::Primary,
        false => AnnotationKind::Context,
    };
    kind.span(range).label(mark.label)
}

/// The bytes to underline: the first line of a span that runs over several.
fn underlined(span: Span, file: &SourceFile) -> Range<usize> {
    let (start, end) = (span.start as usize, span.end as usize);
    match file.text.get(start..end) {
        Some(covered) => start..start + covered.find(['\n', '\r']).unwrap_or(covered.len()),
        None => 0..0,
    }
}

/// Where bytes of the file stand in the text that is shown from `start` on.
fn moved(range: Range<usize>, file: &SourceFile, start: usize) -> Range<usize> {
    let length = |to: usize| {
        let text = file.text.get(start..to.max(start)).unwrap_or("");
        without_obeyed(text).len()
    };
    length(range.start)..length(range.end)
}

/// Source text without what a terminal would obey; the renderer itself takes care of the control
/// characters of ASCII.
fn without_obeyed(text: &str) -> Cow<'_, str> {
    let bad = |c: char| !c.is_ascii() && is_obeyed(c);
    match text.contains(bad) {
        true => Cow::Owned(text.replace(bad, "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}
