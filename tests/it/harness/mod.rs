//! Directories of their own for each test, containers in them, and what must not be left.

mod container;
mod leaks;
mod root;

use std::time::{Duration, Instant};

pub(crate) use container::{Container, Settings, spawn};
pub(crate) use root::Root;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until `found` says something; the test fails with `what` when it never does.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
