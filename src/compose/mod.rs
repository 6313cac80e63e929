//! From text to model: YAML with spans, interpolation, merging, validation, diagnostics, rendering.
//!
//! Owns what a stack file means. Never reads a file, the environment or a clock by itself: all
//! comes through [`Source`](source::Source).

pub mod model;
