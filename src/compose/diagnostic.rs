//! Problems of a stack file: each with its place, what is wrong, and what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The file as the user named it.
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

/// A file among [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FileId(pub(crate) u16);

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

/// The texts that spans point into.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<(PathBuf, Arc<str>)>,
}

/// All problems of one load, in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    sources: Arc<Sources>,
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
    pub fn location(&self, _diagnostic: &Diagnostic) -> Option<Location> {
        todo!()
    }

    /// Text for people: the source line with a caret under what is wrong.
    pub fn render(&self, _color: Color, _width: usize) -> String {
        todo!()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl std::error::Error for Diagnostics {}

/// Where each part of the model was written.
#[derive(Debug, Clone, Default)]
pub struct Positions {
    _sources: Arc<Sources>,
}

impl Positions {
    /// The place of a value by its dotted path (`services.web.image`); of its nearest parent that
    /// was written when the value itself is a default.
    pub fn of(&self, _path: &str) -> Option<Location> {
        todo!()
    }
}

impl Sources {
    /// Name of a file.
    pub(crate) fn path(&self, file: FileId) -> Option<&Path> {
        self.files
            .get(usize::from(file.0))
            .map(|(path, _)| path.as_path())
    }
}
