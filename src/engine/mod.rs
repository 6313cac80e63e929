//! What carries a plan out. Decides nothing.

mod error;
pub mod native;

pub use error::EngineError;
