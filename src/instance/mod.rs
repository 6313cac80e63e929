//! Copies of one project side by side: which ports of the host each has, and what is kept of it.
//!
//! Owns the choice of ports and of address ranges ([`ports`], [`subnets`]; pure) and the record of an
//! instance ([`record`]). What an
//! instance is called is decided by the loader; that its containers, networks and volumes are its own
//! follows from its name. Never touches a container.
//!
//! Invariant: a port that was given to an instance is written down, under one lock, before anything
//! is started: no two instances are given the same one, and each `up` gives it again.

pub mod holders;
pub mod ports;
pub mod record;
pub mod subnets;

pub use ports::{Address, Choice, Given, Holder, NoPort, Wanted};
pub use record::Record;
