//! Stacks for tests.

use super::Up;
use crate::compose::model::Stack;
use crate::compose::source::MemorySource;
use crate::compose::{LoadOptions, load};
use crate::plan::Desired;

/// What a stack file of the project `shop` means.
pub(crate) fn stack(text: &str) -> Stack {
    let source = MemorySource::new().file("/shop/stack.yaml", text);
    let options = LoadOptions {
        working_dir: "/shop".into(),
        ..LoadOptions::default()
    };
    load(&source, &options).unwrap().stack
}

/// `up` of all its services.
pub(crate) fn up(text: &str) -> Up {
    let stack = stack(text);
    let services = stack.services.keys().cloned().collect();
    Up::new(stack, services)
}

/// What is asked of each service, in a line.
pub(crate) fn summary(desired: &Desired) -> String {
    let lines = desired.services.iter().map(|(name, service)| {
        let since = service.since.as_second();
        let orphan = if service.orphan { " orphan" } else { "" };
        let (run, replicas) = (service.run, service.replicas);
        format!("{name} {run:?} x{replicas} since {since}{orphan}")
    });
    lines.collect::<Vec<_>>().join("; ")
}
