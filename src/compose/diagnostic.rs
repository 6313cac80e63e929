//! Problems of a stack file: each with its place, what is wrong, and what to do.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::show;
pub(super) use super::sources::Through;
use super::sources::char_start;
pub(super) use super::sources::printable;
pub(crate) use super::sources::{FileId, Sources};
pub use super::sources::{Location, Span};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The file means something; perhaps not what was meant.
    Warning,
    /// There is no meaning that could be run.
    Error,
}

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
            message: sayable(message.into()),
            span,
            label: None,
            related: Vec::new(),
            help: None,
        }
    }

    /// Adds a few words under the caret.
    pub(crate) fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = Some(sayable(label.into()));
        self
    }

    /// Adds another place.
    pub(crate) fn related(&mut self, span: Span, label: impl Into<String>) -> &mut Self {
        self.related.push((span, sayable(label.into())));
        self
    }

    /// Says what to do.
    pub(crate) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(sayable(help.into()));
        self
    }
}

/// Bytes of a quoted word that are shown; of a longer one the start and the end.
const MAX_QUOTED: usize = 160;

/// What a message may say: nothing that a terminal would obey, and no word of a hostile length.
fn sayable(text: String) -> String {
    let text = printable(&text);
    if text.len() <= MAX_QUOTED {
        return text;
    }
    let parts: Vec<String> = text.split('`').map(shortened).collect();
    parts.join("`")
}

fn shortened(part: &str) -> String {
    if part.len() <= MAX_QUOTED {
        return part.to_owned();
    }
    let head = char_start(part, MAX_QUOTED * 2 / 3);
    let tail = char_start(part, part.len() - MAX_QUOTED / 4);
    format!("{} … {}", &part[..head], &part[tail..])
}

/// Collects the problems and texts of one load.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    pub(crate) sources: Sources,
    /// The texts of environment files are kept, so that their variables have places.
    pub(crate) trace: bool,
    /// Where the variables for templates are written, when the load is traced.
    pub(super) variable_places: HashMap<String, Span>,
    pub(crate) budget: Budget,
    /// The files that variables are looked for in, after the environment, as a message names them.
    pub(crate) variable_files: Option<String>,
    items: Vec<Diagnostic>,
    errors: usize,
    warnings: usize,
    /// Takes what is said about a problem that is only counted.
    uncounted: Option<Box<Diagnostic>>,
}

/// How much was said at some time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    items: usize,
    errors: usize,
    warnings: usize,
}

/// More problems of one level than this help nobody, and a hostile file could have millions.
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
        let count = match item.level {
            Level::Error => &mut self.errors,
            Level::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count > MAX_PROBLEMS {
            return self.uncounted.insert(Box::new(item));
        }
        self.items.push(item);
        let last = self.items.len() - 1;
        &mut self.items[last]
    }

    /// How much was said so far, for [`forget_since`](Self::forget_since).
    pub(super) fn mark(&self) -> Mark {
        Mark {
            items: self.items.len(),
            errors: self.errors,
            warnings: self.warnings,
        }
    }

    /// Forgets what was said since.
    pub(super) fn forget_since(&mut self, mark: Mark) {
        self.items.truncate(mark.items);
        self.errors = mark.errors;
        self.warnings = mark.warnings;
    }

    /// Whether an error was recorded.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// What to do about a variable that has no value: where it was looked for.
    pub(super) fn where_to_set(&self) -> String {
        let files = self.variable_files.as_deref().unwrap_or("`.env`");
        format!("set it in the environment or in {files}")
    }

    /// Whether further errors are only counted: no work is worth doing for what they say.
    pub(super) fn is_full(&self) -> bool {
        self.errors >= MAX_PROBLEMS
    }

    /// The candidate that a misspelt word most likely means. Costs nothing once nobody would read it:
    /// each of a hundred thousand unknown names against each known one takes minutes.
    pub(super) fn suggestion<'a>(
        &self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Option<&'a str> {
        match self.is_full() {
            true => None,
            false => suggestion(word, candidates),
        }
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
        let counted = self.errors + self.warnings;
        Diagnostics {
            more: counted.saturating_sub(self.items.len()),
            ..Diagnostics::of(self.items, Arc::new(self.sources))
        }
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
        items.sort_by_key(|item| {
            let place = item.span.map(|span| (span.file, span.start));
            (place.is_none(), place)
        });
        items.dedup();
        Self {
            items: items.into_boxed_slice(),
            sources,
            more: 0,
        }
    }
}

/// How much the files of one load may stand for, whatever multiplies it: aliases, ranges of ports,
/// variables inside of variables. Bounds memory and time.
#[derive(Debug)]
pub(crate) struct Budget {
    values: usize,
    bytes: usize,
    spent: bool,
}

/// Values of all files of a load, with every alias and range counted as what it stands for.
pub(super) const MAX_VALUES: usize = 1_000_000;
/// Bytes of text of all these values.
pub(super) const MAX_TEXT: usize = 128 << 20;

impl Default for Budget {
    fn default() -> Self {
        Self {
            values: MAX_VALUES,
            bytes: MAX_TEXT,
            spent: false,
        }
    }
}

/// A load stands for more than any machine should hold; says of what it is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    #[error("the files stand for more than {MAX_VALUES} values")]
    Values,
    #[error("the files stand for more than {} MiB of text", MAX_TEXT >> 20)]
    Text,
}

impl Budget {
    /// Takes values with this much text.
    pub(super) fn take(&mut self, values: usize, bytes: usize) -> Result<(), TooMuch> {
        let left = self.values.checked_sub(values).ok_or(TooMuch::Values);
        let left_bytes = self.bytes.checked_sub(bytes).ok_or(TooMuch::Text);
        match (left, left_bytes) {
            (Ok(values), Ok(bytes)) => {
                (self.values, self.bytes) = (values, bytes);
                Ok(())
            }
            (Err(error), _) | (_, Err(error)) => {
                self.spent = true;
                Err(error)
            }
        }
    }

    /// Whether more was asked for than there was: nothing more is worth reading.
    pub(super) fn is_spent(&self) -> bool {
        self.spent
    }

    /// What is left: values and bytes.
    pub(super) fn left(&self) -> (usize, usize) {
        (self.values, self.bytes)
    }
}

/// All problems of one load, in the order of the files.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    // A box: errors hold this, and everything that can fail is as large as they are.
    items: Box<[Diagnostic]>,
    /// Problems that were counted only.
    more: usize,
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
        let shown = self.items.iter();
        let mut parts: Vec<String> = shown
            .map(|item| show::problem(item, &self.sources, (color, width)))
            .collect();
        parts.extend(self.rest());
        if parts.is_empty() {
            return String::new();
        }
        parts.join("\n\n") + "\n"
    }

    fn rest(&self) -> Option<String> {
        match self.more {
            0 => None,
            1 => Some("… and 1 more problem".to_owned()),
            more => Some(format!("… and {more} more problems")),
        }
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
        match self.rest() {
            Some(rest) => write!(f, "\n{rest}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// Names that a misspelt one is held against.
const MAX_CANDIDATES: usize = 2000;

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
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates.into_iter().take(MAX_CANDIDATES) {
        let most = 1 + candidate.len().min(word.len()) / 5;
        // A distance is never less than the difference of the lengths.
        if candidate.len().abs_diff(lower.len()) > 4 * most {
            continue;
        }
        let distance = strsim::osa_distance(&lower, candidate);
        if distance <= most && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The one candidate that a word is a part of: `healthy` for `service_healthy`.
pub(super) fn completion<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let mut matching = candidates.into_iter().filter(|candidate| {
        let ends = candidate.strip_suffix(word);
        word.len() >= 4 && ends.is_some_and(|before| before.ends_with(['_', '-']))
    });
    matching.next().filter(|_| matching.next().is_none())
}
