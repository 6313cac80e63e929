//! The texts that spans point into, and where in them a span lies.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

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
        let file = self.file.to_string_lossy();
        write!(f, "{}:{}:{}", printable(file), self.line, self.column)
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

/// A file that spans point into.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) text: Arc<str>,
    through: Option<Through>,
    /// Where each line starts; made when the first place is asked for.
    lines: OnceLock<Vec<u32>>,
}

impl SourceFile {
    fn lines(&self) -> &[u32] {
        self.lines.get_or_init(|| {
            let breaks = self.text.bytes().zip(1u32..);
            let starts = breaks.filter(|(byte, _)| *byte == b'\n');
            std::iter::once(0)
                .chain(starts.map(|(_, after)| after))
                .collect()
        })
    }

    /// The line that a byte lies in, from 0.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.lines()
            .partition_point(|start| *start as usize <= offset)
            .saturating_sub(1)
    }

    /// The bytes of a line, without its line break.
    pub(super) fn line_range(&self, line: usize) -> Range<usize> {
        let lines = self.lines();
        let start = lines.get(line).map_or(self.text.len(), |at| *at as usize);
        let end = lines
            .get(line + 1)
            .map_or(self.text.len(), |next| *next as usize - 1);
        start..end.max(start)
    }
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
    /// The last file of each name: many services may read the same one.
    by_path: HashMap<PathBuf, FileId>,
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
        let known = self.by_path.get(&path).copied();
        if let Some(id) = known
            && through.is_none()
            && self.file(id).is_some_and(|file| file.text == text)
        {
            return Some(id);
        }
        let id = FileId(u16::try_from(self.files.len()).ok()?);
        self.by_path.insert(path.clone(), id);
        self.files.push(SourceFile {
            path,
            text,
            through,
            lines: OnceLock::new(),
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

    /// The whole line that a span starts on.
    pub(super) fn line(&self, span: Span) -> Option<&str> {
        let file = self.file(span.file)?;
        let line = file.line_range(file.line_at(span.start as usize));
        file.text.get(line)
    }

    pub(super) fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(usize::from(id.0))
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
        let start = span.start as usize;
        let line = file.line_at(start);
        let before = file.text.get(file.line_range(line).start..start)?;
        Some(Location {
            file: file.path.clone(),
            line: line + 1,
            column: before.chars().count() + 1,
        })
    }
}

/// Text with nothing in it that a terminal would obey: escape sequences, and marks that turn the
/// direction of writing, are shown as `\u{…}`.
pub(super) fn printable(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    if !text.contains(is_obeyed) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match is_obeyed(character) {
            true => out.extend(character.escape_default()),
            false => out.push(character),
        }
    }
    out
}

/// The start of the character that a byte is in; `str::floor_char_boundary` is younger than the compiler
/// that is asked for.
pub(super) fn char_start(text: &str, offset: usize) -> usize {
    let mut start = offset.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    start
}

/// Control characters, and Unicode's invisible ones for the direction of text.
pub(super) fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}
