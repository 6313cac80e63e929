//! The machine's own runtime.

mod observe;

pub use observe::{networks, observe, observe_container, projects};
