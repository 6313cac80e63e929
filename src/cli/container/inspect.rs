//! `stack container inspect`.

use clap::Args;

use crate::cli::choice::Format;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::inspect::{Sizes, inspect_containers};

/// Flags of `container inspect`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// `json`, or a Go template for a line about each.
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Say how much they take on the disk.
    #[arg(short, long)]
    size: bool,
}

impl Inspect {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let sizes = match self.size {
            true => Sizes::Reckoned,
            false => Sizes::LeftOut,
        };
        inspect_containers(context, (&self.containers, sizes), self.format.as_ref())
    }
}
