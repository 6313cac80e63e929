//! Dockerfile text → instructions with spans.
//!
//! Owns the grammar: parser directives, continued lines, here-documents, flags, exec and shell forms.
//! Never expands a variable and never decides what a stage means. All mistakes are found at once,
//! each with its place.

pub mod instruction;

pub use instruction::Dockerfile;
