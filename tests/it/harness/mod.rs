//! Directories of their own for each test, containers in them, and what must not be left.

mod container;
pub(crate) mod http;
mod images;
mod leaks;
pub(crate) mod machine;
mod output;
mod project;
mod root;
mod scenario_images;
mod terminal;

use std::time::{Duration, Instant};

pub(crate) use container::{Container, Settings, spawn};
pub(crate) use images::{busybox as busybox_archive, install, install_examples};
pub(crate) use output::Output;
pub(crate) use project::{Row, Running, Stack, signal_to, stack};
pub(crate) use root::Root;
pub(crate) use scenario_images::load_into_docker;
pub(crate) use terminal::Terminal;

/// Longer than anything takes on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until `found` says something; the test fails with `what` when it never does.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    look(found).unwrap_or_else(|| panic!("never happened: {what}"))
}

/// Looks until `found` says something, for as long as tests are patient.
pub(crate) fn look<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let value = found();
        if value.is_some() || Instant::now() >= deadline {
            return value;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
