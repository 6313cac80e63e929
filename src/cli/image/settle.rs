//! `stack image settle`: what a pull leaves behind to wait for the disk.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::Result;

/// Flags of `image settle`.
#[derive(Debug, Args)]
pub(crate) struct Settle {}

impl Settle {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.require_root()?;
        Ok(context.images()?.settle()?)
    }
}
