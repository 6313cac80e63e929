//! Where everything lies on disk, how it is written, and who may write it.
//!
//! Owns the folder layout, atomic replacement, locks and the records of containers, networks,
//! volumes and projects, and the journal of what happened. Decides nothing.
//!
//! ```text
//! <root>/images/ layers/            the image store's own
//!        volumes/<name>/            volume.json, data/
//!        networks/<name>/           network.json, leases/<address> (content: container id)
//!        projects/<name>/           desired.json, logs/<service>.<n>/
//!        containers/<id>/           container.json, status.json and the runtime's bundle
//!        events/                    the journal of what happened to containers
//! <run>/projects/<name>/            lock, api.sock, supervisor.log
//!       shims/<id>.sock
//! ```
//!
//! Invariant: an object is a directory that appears and goes by `rename`; a file is replaced by
//! `rename`; nobody ever sees half of either.

mod files;
pub mod journal;
mod lock;
mod paths;
pub mod records;
mod socket;

pub use files::{
    StateError, disk_usage, empty_gone, read_json, remove_dir, remove_file, retire_dir, sweep_gone,
    write_json,
};
pub use lock::Lock;
pub use paths::Paths;
pub use socket::SocketPath;
