//! The shim: one small process per container that makes it, owns its output, and sees its end.

use std::path::Path;
use std::process::ExitCode;

/// Runs the shim of the container in `bundle`; its standard input is a connection of
/// [`protocol`](super::protocol) to the process that started it.
pub fn main(bundle: &Path) -> ExitCode {
    todo!()
}
