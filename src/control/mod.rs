//! The control loop: what to look at next, and when.
//!
//! Owns the supervisor, one per project: it keeps the desired state on disk, plans after every
//! event, lets an engine run what is ready, probes health, and answers on a unix socket. Never
//! knows what a namespace is.
//!
//! Invariant: everything it must remember is on disk before it acts on it. Killed at any
//! instruction, the next one starts by observing and goes on.

mod api;
pub mod chronicle;
mod client;
mod command;
pub mod edit;
mod event;
pub mod follow;
mod found_ended;
mod health;
mod progress;
mod reconcile;
mod rehearsal;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod simulation;
mod status;
pub mod supervisor;
mod turn;
mod verdict;
pub mod why;

pub use client::{Client, ClientError, Events, supervisor_arguments};
pub use command::{Act, Command, OneOff, Recreate, Removal, Single, Up, pre_stop};
pub use edit::{Edit, Touched};
pub use event::{Event, Kind, Progress, ProgressState};
pub use rehearsal::{rehearse, rehearse_one_off};
