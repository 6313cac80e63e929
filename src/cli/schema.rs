//! `stack schema`.

use std::io::Write as _;

use super::error::Result;

/// Prints the JSON Schema of the stack file.
pub(crate) fn run() -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(crate::compose::json_schema().as_bytes())?;
    Ok(out.flush()?)
}
