//! File events → debounced change sets, and what follows them (`develop.watch`).
//!
//! Owns the kernel's file events, the comparison of a tree with what it was, the rules of
//! `develop.watch`, and the copying of files into running containers. Never starts, stops or builds
//! anything: it says what has changed and what should follow, the command line does it.
//!
//! An event says *look there* and nothing else: what is reported is the difference between what was
//! known of a path and what stands there when it has become quiet. So a file that an editor makes and
//! removes while it saves is never reported, events that the kernel had to drop are made up for by
//! looking everywhere, and a machine without file events is served by looking every now and then.
//!
//! Invariant: a directory is registered before it is read, so nothing gets lost between the two; what
//! is reported was different at some time after [`Watcher::start`] has returned.

mod change;
mod debounce;
pub mod initial;
mod interest;
mod links;
mod register;
pub mod rules;
pub mod sync;
mod tree;
mod watcher;

pub use change::{Change, Changes};
pub use interest::Interest;
pub use register::Limit;
pub use watcher::{Told, Watch, WatchError, Watcher};
