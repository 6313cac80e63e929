//! The question before something is deleted, as Docker asks it.

use std::io::{self, BufRead as _, Write as _};

use super::error::Result;

/// Warns, and asks on standard error whether to go on. Nothing, or the end of standard input, is a no.
pub(super) fn confirm(warning: &str) -> Result<bool> {
    let mut talk = io::stderr().lock();
    write!(
        talk,
        "WARNING! {warning}\nAre you sure you want to continue? [y/N] "
    )?;
    talk.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}
