//! From text to model: YAML with spans, interpolation, merging, validation, diagnostics, rendering.
//!
//! Owns what a stack file means. Never reads a file, the environment or a clock by itself: all
//! comes through [`Source`](source::Source). The invariant: what [`load()`] returns is complete and
//! consistent, and every problem of the files is reported at once, each with its place.

pub mod diagnostic;
pub mod load;
pub mod model;
pub mod render;
pub mod source;

pub use diagnostic::{Diagnostic, Diagnostics, Level, Location};
pub use load::{LoadOptions, Loaded, load};
