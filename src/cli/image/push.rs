//! `stack image push`.

use clap::Args;

use super::reference;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::image_phase::{Failures, Shown};
use crate::cli::push::{Wanted, print, send};

/// Flags of `image push`.
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// Names of images; their registries get them.
    #[arg(value_name = "NAME[:TAG]", required = true)]
    images: Vec<String>,
    /// Do not show it.
    #[arg(short, long)]
    quiet: bool,
}

impl Push {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image push")?;
        context.require_root()?;
        let images = self.images.iter().map(|text| {
            let reference = reference(text)?;
            Ok((reference.familiar(), reference))
        });
        let wanted = Wanted {
            images: images.collect::<Result<_>>()?,
            failures: Failures::Fatal,
            shown: match self.quiet {
                true => Shown::Nothing,
                false => Shown::All,
            },
        };
        let sent = send(context, wanted)?;
        match self.quiet {
            true => Ok(()),
            false => print(&sent),
        }
    }
}
