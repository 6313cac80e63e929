//! Problems of a stack file: each with its place, what is wrong, and what to do.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level as Title, Renderer, Snippet};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The file means something; perhaps not what was meant.
    Warning,
    /// There is no meaning that could be run.
    Error,
}

/// A place in a file; line and column count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file, relative to the caller's directory when it lies below it.
    pub file: PathBuf,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

/// A stretch of bytes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub(crate) file: FileId,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// The bytes `range` of a file.
    pub(crate) fn new(file: FileId, range: Range<usize>) -> Self {
        let at = |offset| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            file,
            start: at(range.start),
            end: at(range.end),
        }
    }

    /// Number of bytes.
    pub(crate) fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// From the start of this span to the end of another in the same file.
    pub(crate) fn to(self, end: Self) -> Self {
        Self {
            end: end.end.max(self.end),
            ..self
        }
    }

    /// The part of this span `from..to` bytes after its start.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        let at = |offset: usize| {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            self.start.saturating_add(offset).min(self.end)
        };
        Self {
            file: self.file,
            start: at(range.start),
            end: at(range.end),
        }
    }
}

/// A file among [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub(crate) struct FileId(u16);

/// One problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// What is wrong, in one line.
    pub message: String,
    /// Where; `None` when it belongs to no place in a file.
    pub span: Option<Span>,
    /// A few words under the caret.
    pub label: Option<String>,
    /// Other places that matter, each with a few words.
    pub related: Vec<(Span, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    fn new(level: Level, span: Option<Span>, message: impl Into<String>) -> Self {
        Self {
            level,
            message: printable(message.into()),
            span,
            label: None,
            related: Vec::new(),
            help: None,
        }
    }

    /// Adds a few words under the caret.
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(printable(label.into()));
        self
    }

    /// Adds another place.
    pub(crate) fn related(&mut self, span: Span, label: impl Into<String>) -> &mut Self {
        self.related.push((span, printable(label.into())));
        self
    }

    /// Says what to do.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(printable(help.into()));
        self
    }
}

/// A file may hold escape sequences; they must not reach a terminal through a message.
pub(super) fn printable(text: String) -> String {
    if !text.contains(|c: char| c.is_control()) {
        return text;
    }
    text.chars()
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let kept = (!c.is_control()).then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect()
}

/// A file that spans point into.
#[derive(Debug)]
struct SourceFile {
    path: PathBuf,
    text: Arc<str>,
    through: Option<Through>,
}

/// Why a file was read that nobody named to us.
#[derive(Debug, Clone, Copy)]
pub(super) struct Through {
    /// Where it is named.
    pub(super) span: Span,
    /// What it is named for: "included here".
    pub(super) what: &'static str,
}

/// The texts that spans point into.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<SourceFile>,
    /// Those of them that are no stack files, but hold variables.
    env_files: BTreeSet<FileId>,
}

impl Sources {
    /// Adds a file under the name it is shown with; `None` when there are too many to count.
    pub(crate) fn add(&mut self, path: PathBuf, text: Arc<str>) -> Option<FileId> {
        self.add_through(path, text, None)
    }

    /// Adds a file that another one names.
    pub(super) fn add_through(
        &mut self,
        path: PathBuf,
        text: Arc<str>,
        through: Option<Through>,
    ) -> Option<FileId> {
        let id = FileId(u16::try_from(self.files.len()).ok()?);
        self.files.push(SourceFile {
            path,
            text,
            through,
        });
        Some(id)
    }

    /// The way from a file to one that was named to us, the nearest first.
    pub(super) fn way(&self, span: Span) -> impl Iterator<Item = Through> {
        let next = |span: Span| self.file(span.file)?.through;
        // A file is only ever read through one that was read before it, so this ends.
        std::iter::successors(next(span), move |through| next(through.span))
    }

    /// Adds a file of variables.
    pub(super) fn add_env_file(&mut self, path: PathBuf, text: Arc<str>) -> Option<FileId> {
        let id = self.add(path, text)?;
        self.env_files.insert(id);
        Some(id)
    }

    /// Whether a place is in a file of variables.
    pub(super) fn is_env_file(&self, span: Span) -> bool {
        self.env_files.contains(&span.file)
    }

    fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(usize::from(id.0))
    }

    /// The whole line that a span starts on.
    pub(super) fn line(&self, span: Span) -> Option<&str> {
        let text = &self.file(span.file)?.text;
        let start = text.get(..span.start as usize)?.rfind('\n');
        let line = text.get(start.map_or(0, |at| at + 1)..)?;
        line.lines().next()
    }

    /// The text a span covers.
    pub(crate) fn text(&self, span: Span) -> Option<&str> {
        self.file(span.file)?
            .text
            .get(span.start as usize..span.end as usize)
    }

    /// File, line and column of a span's start.
    pub(crate) fn locate(&self, span: Span) -> Option<Location> {
        let file = self.file(span.file)?;
        let before = file.text.get(..span.start as usize)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Some(Location {
            file: file.path.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        })
    }
}

/// Collects the problems and texts of one load.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) sources: Sources,
    /// The texts of environment files are kept, so that their variables have places.
    pub(crate) trace: bool,
    /// Where the variables for templates are written, when the load is traced.
    pub(super) variable_places: HashMap<String, Span>,
    items: Vec<Diagnostic>,
}

/// More problems than this help nobody, and a hostile file could have millions.
const MAX_PROBLEMS: usize = 200;

impl Problems {
    /// Records an error; the result takes labels and help.
    pub(crate) fn error(
        &mut self,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Diagnostic::new(Level::Error, span.into(), message))
    }

    /// Records a warning; the result takes labels and help.
    pub(crate) fn warn(
        &mut self,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.push(Diagnostic::new(Level::Warning, span.into(), message))
    }

    /// Takes over a problem of another collection with the same texts.
    pub(super) fn record(&mut self, item: Diagnostic) {
        self.push(item);
    }

    fn push(&mut self, item: Diagnostic) -> &mut Diagnostic {
        if self.items.len() > MAX_PROBLEMS {
            // The last place is overwritten: an error must stay an error.
            self.items.pop();
        }
        self.items.push(item);
        let last = self.items.len() - 1;
        &mut self.items[last]
    }

    /// Whether an error was recorded.
    pub(crate) fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.level == Level::Error)
    }

    /// Whether an error was recorded about this stretch of a file.
    pub(crate) fn has_error_in(&self, span: Span) -> bool {
        self.items.iter().any(|item| {
            item.level == Level::Error
                && item.span.is_some_and(|found| {
                    found.file == span.file && found.start >= span.start && found.end <= span.end
                })
        })
    }

    /// The problems alone.
    pub(super) fn into_items(self) -> Vec<Diagnostic> {
        self.items
    }

    /// All problems, in the order of the files, those without a place last.
    pub(crate) fn finish(self) -> Diagnostics {
        Diagnostics::of(self.items, Arc::new(self.sources))
    }
}

impl Diagnostics {
    /// Problems whose places are in these sources, brought into the order of the files.
    pub(super) fn of(mut items: Vec<Diagnostic>, sources: Arc<Sources>) -> Self {
        for item in &mut items {
            for through in item.span.iter().flat_map(|span| sources.way(*span)) {
                if !item.related.iter().any(|(span, _)| *span == through.span) {
                    item.related.push((through.span, through.what.to_owned()));
                }
            }
        }
        items.sort_by_key(|item| match item.span {
            Some(span) => (false, span.file, span.start),
            None => (true, FileId(0), 0),
        });
        items.dedup();
        Self { items, sources }
    }
}

/// All problems of one load, in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    pub(crate) sources: Arc<Sources>,
}

/// Whether a rendering uses colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Plain text.
    Never,
    /// ANSI colours.
    Always,
}

impl Diagnostics {
    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Number of problems.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|item| item.level == Level::Error)
    }

    /// The place of a problem.
    pub fn location(&self, diagnostic: &Diagnostic) -> Option<Location> {
        self.sources.locate(diagnostic.span?)
    }

    /// Text for people, at most `width` columns: the source line with a caret under what is wrong.
    /// One empty line stands between two problems, a line break at the end.
    pub fn render(&self, color: Color, width: usize) -> String {
        let renderer = match color {
            Color::Never => Renderer::plain(),
            Color::Always => Renderer::styled(),
        }
        .term_width(width);
        let parts: Vec<String> = self
            .items
            .iter()
            .map(|item| renderer.render(&[self.group(item)]))
            .collect();
        if parts.is_empty() {
            return String::new();
        }
        parts.join("\n\n") + "\n"
    }

    fn group<'a>(&'a self, item: &'a Diagnostic) -> Group<'a> {
        let title = match item.level {
            Level::Warning => Title::WARNING,
            Level::Error => Title::ERROR,
        };
        let mut group = Group::with_title(title.primary_title(item.message.as_str()));
        let primary = item.span.map(|span| (span.file, span));
        let mut files: Vec<FileId> = primary.iter().map(|(file, _)| *file).collect();
        files.extend(item.related.iter().map(|(span, _)| span.file));
        files.dedup();
        for file in files {
            if let Some(snippet) = self.snippet(item, file) {
                group = group.element(snippet);
            }
        }
        if let Some(help) = &item.help {
            group = group.element(Title::HELP.message(help.as_str()));
        }
        group
    }

    fn snippet<'a>(
        &'a self,
        item: &'a Diagnostic,
        file: FileId,
    ) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let source = self.sources.file(file)?;
        let mut snippet = Snippet::source(source.text.as_ref())
            .path(source.path.to_string_lossy())
            .fold(true);
        if let Some(span) = item.span.filter(|span| span.file == file) {
            let annotation = AnnotationKind::Primary.span(range(span, &source.text));
            snippet = snippet.annotation(annotation.label(item.label.as_deref()));
        }
        for (span, label) in item.related.iter().filter(|(span, _)| span.file == file) {
            let annotation = AnnotationKind::Context.span(range(*span, &source.text));
            snippet = snippet.annotation(annotation.label(label.as_str()));
        }
        Some(snippet)
    }
}

/// The bytes to underline: the first line of a span that runs over several.
fn range(span: Span, text: &str) -> Range<usize> {
    let (start, end) = (span.start as usize, span.end as usize);
    match text.get(start..end) {
        Some(covered) => start..start + covered.find('\n').unwrap_or(covered.len()),
        None => 0..0,
    }
}

/// One line for each problem: `file:line:column: error: message (help)`.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            if let Some(location) = self.location(item) {
                write!(f, "{location}: ")?;
            }
            f.write_str(match item.level {
                Level::Warning => "warning: ",
                Level::Error => "error: ",
            })?;
            f.write_str(&item.message)?;
            if let Some(help) = &item.help {
                write!(f, " ({help})")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The candidate that a misspelt word most likely means.
pub(crate) fn suggestion<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // An absurdly long key would make the comparison quadratic for no use.
    if word.len() > 64 {
        return None;
    }
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
