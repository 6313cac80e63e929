//! `stack image tag`.

use clap::Args;

use super::{meant, reference};
use crate::cli::context::Context;
use crate::cli::error::Result;

/// Flags of `image tag`.
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Name of the image, its id, or the first digits of it.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The name it gets.
    #[arg(value_name = "TARGET")]
    target: String,
}

impl Tag {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image tag")?;
        context.require_root()?;
        let target = reference(&self.target)?;
        let source = meant(context, &self.source)?;
        Ok(context.images()?.tag(&source, &target)?)
    }
}
