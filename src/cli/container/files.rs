//! `stack container cp`, `export` and `commit`: the files of one container.

use std::io::Write as _;

use clap::Args;

use super::one::One;
use crate::cli::commit::Made;
use crate::cli::context::Context;
use crate::cli::cp::{Copying, Manner};
use crate::cli::error::Result;
use crate::cli::export::Output;
use crate::ui::Progress;

/// Flags of `container cp`.
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// What is copied: CONTAINER:PATH, a path of this machine, or `-` for an archive on standard input.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where it is copied to: a path of this machine, CONTAINER:PATH, or `-` for an archive on standard
    /// output.
    #[arg(value_name = "DESTINATION")]
    destination: String,
    #[command(flatten)]
    manner: Manner,
    /// Say nothing of it; nothing ever is.
    #[arg(short, long, hide = true)]
    quiet: bool,
}

/// Flags of `container export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    output: Output,
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// Flags of `container commit`.
#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
    #[command(flatten)]
    made: Made,
}

impl Cp {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let copying = Copying {
            source: &self.source,
            destination: &self.destination,
            manner: self.manner,
            named: "containers",
        };
        let find = |name: &str| {
            context.require_root()?;
            Ok(vec![One::find(context, name)?.listed.container])
        };
        copying.run(context, &mut Progress::Quiet, &find)
    }
}

impl Export {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        context.require_root()?;
        let one = One::find(context, &self.container)?;
        let container = &one.listed.container;
        self.output.write(context, container, &mut Progress::Quiet)
    }
}

impl Commit {
    /// Does it, and prints the id of the image.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        context.require_root()?;
        let find = || Ok(One::find(context, &self.container)?.listed.container);
        if let Some(id) = self.made.make(context, find, &mut Progress::Quiet)? {
            writeln!(std::io::stdout(), "{id}")?;
        }
        Ok(())
    }
}
