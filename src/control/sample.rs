//! Stacks for tests.

use super::Up;
use crate::compose::model::Stack;
use crate::compose::source::MemorySource;
use crate::compose::{LoadOptions, load};

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
