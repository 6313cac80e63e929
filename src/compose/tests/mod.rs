//! The whole way from text to model, in memory: what a loaded stack means, and what is said of a wrong one.

mod hostile;
mod loading;
mod mistakes;
mod problems;
mod services;
mod words;

use crate::compose::diagnostic::Diagnostics;
use crate::compose::load::{LoadOptions, Loaded, load};
use crate::compose::model::Service;
use crate::compose::source::MemorySource;

/// A project in the directory `/p`.
pub(super) fn options() -> LoadOptions {
    LoadOptions {
        working_dir: "/p".into(),
        ..LoadOptions::default()
    }
}

/// Loads the project in `/p` that has these files.
pub(super) fn try_load(files: &[(&str, &str)]) -> Result<Loaded, Diagnostics> {
    let source = files
        .iter()
        .fold(MemorySource::new(), |source, (path, text)| {
            source.file(format!("/p/{path}"), *text)
        });
    load(&source, &options())
}

/// A stack file without mistakes.
pub(super) fn loaded(text: &str) -> Loaded {
    try_load(&[("stack.yaml", text)]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The service `a`, given its keys in flow style.
fn service(keys: &str) -> Service {
    let text = format!(
        "services:\n  a: {{image: a, {keys}}}\n  b: {{image: b}}\nnetworks: {{n: {{}}, m: {{}}}}\nvolumes: {{vol: {{}}}}\n"
    );
    loaded(&text).stack.services.swap_remove("a").unwrap()
}
