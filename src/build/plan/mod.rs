//! What is to be built: stages, steps, each with its values settled.
//!
//! Pure. [`Plan`]'s `Display` is the format of its tests and of `--print`-like output.

pub mod step;

pub use step::{Action, Mount, Plan, Stage, Step};
