//! Dockerfile text → instructions with spans.
//!
//! Owns the grammar: parser directives, continued lines, here-documents, flags, exec and shell forms.
//! Never expands a variable and never decides what a stage means. All mistakes are found at once,
//! each with its place.
//!
//! `lines` joins continued lines, `words` cuts them, `parse` goes from instruction to instruction, and
//! `arguments`, `run` and `transfer` read what each takes; `render` writes an instruction again.

mod arguments;
mod duration;
mod flags;
mod heredoc;
pub mod instruction;
mod lines;
mod parse;
mod render;
mod run;
mod source;
#[cfg(test)]
mod tests;
mod transfer;
mod words;

pub use instruction::Dockerfile;
pub use source::Source;
