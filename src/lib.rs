//! `stack` reads a Compose file and makes the machine match it.
//!
//! See `docs/ARCHITECTURE.md` for the way of the data and the map of the folders.
pub mod build;
pub mod cli;
pub mod compose;
pub mod control;
pub mod engine;
pub mod graph;
pub mod image;
pub mod instance;
pub mod net;
pub mod plan;
pub mod runtime;
pub mod state;
mod sys;
mod transfer;
pub mod ui;
pub mod watch;
