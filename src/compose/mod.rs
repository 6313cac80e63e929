//! From text to model: YAML with spans, interpolation, merging, validation, diagnostics, rendering.
//!
//! Owns what a stack file means. Never reads a file, the environment or a clock by itself: all
//! comes through [`Source`](source::Source). The invariant: what [`load()`] returns is complete and
//! consistent, and every problem of the files is reported at once, each with its place.
//!
//! The way: [`load`](mod@load) has the phases in order. `reader` makes a tree with spans of each file,
//! `shape` holds it against the one table of keys in `schema`, `merge` makes one tree of them; `typed`
//! makes the [`model`] of it and [`render`] the output of `stack config`.

mod bytes;
mod check;
mod complete;
pub mod concerns;
pub mod config;
#[cfg(test)]
mod corpus;
mod decode;
mod defaults;
pub mod diagnostic;
mod dotenv;
mod duration;
mod environment;
pub mod explain;
mod forms;
mod hints;
mod interpolate;
mod json_schema;
mod layers;
pub mod load;
mod members;
mod merge;
pub mod model;
mod moment;
mod mounts;
mod paths;
mod ports;
mod project;
mod raw;
mod reader;
pub mod render;
mod running;
mod scalar;
mod schema;
mod shape;
mod show;
pub mod source;
mod sources;
mod template;
#[cfg(test)]
mod tests;
mod tree;
mod typed;
mod unique;
mod vocabulary;

pub(crate) use dotenv::read_variables;
pub(crate) use duration::format as go_duration;

pub use diagnostic::{Color, Diagnostic, Diagnostics, Level, Location};
pub use json_schema::json_schema;
pub use load::{LoadOptions, Loaded, Positions, Skip, load};
pub use project::instance::{BadInstance, Instance, instance};

/// Reads a size in bytes (`64m`, `1gb`); `None` = it is none.
pub fn parse_bytes(text: &str) -> Option<u64> {
    u64::try_from(bytes::parse(text).ok()?).ok()
}
