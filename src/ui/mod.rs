//! What people see: progress, the view of logs, tables, colours, durations in words.
//!
//! Owns the form of output and what the terminal can show. Never looks at a container or decides
//! anything about one; what it is given, it shows. Standard output is data, standard error is talk.
//!
//! Invariant: control characters that somebody else chose (an image, a registry, a stack file) do
//! not reach the terminal, except within a container's own output. Nothing carries its meaning by
//! colour alone.

pub(crate) mod build;
pub(crate) mod log_view;
pub(crate) mod progress;
pub(crate) mod raw_mode;
pub(crate) mod table;
pub(crate) mod template;
pub(crate) mod terminal;
pub(crate) mod text;
pub(crate) mod why;
pub(crate) mod words;

pub(crate) use log_view::{LogOptions, LogView};
pub(crate) use progress::{Progress, ProgressMode};
pub(crate) use table::{Spacing, Table};
pub(crate) use template::{Template, TemplateError};
pub(crate) use terminal::{Ansi, Paint, Style, Terminal};
