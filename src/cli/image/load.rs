//! `stack image load`.

use std::io::{self, IsTerminal, Write as _};
use std::path::PathBuf;

use clap::Args;

use super::Shown;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::control::ProgressState;

/// Flags of `image load`.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Archive (of `docker save`, or an OCI archive) or directory (an OCI image layout); standard
    /// input unless given.
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Do not print the names of the images.
    #[arg(short, long)]
    quiet: bool,
}

impl Load {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image load")?;
        context.require_root()?;
        let store = context.images()?;
        let name = match &self.input {
            Some(path) if path.as_os_str() != "-" => path.to_string_lossy(),
            _ => "archive".into(),
        };
        let shown = Shown::new(
            context,
            &name,
            [ProgressState::Loading, ProgressState::Loaded],
        );
        let tell = |step| shown.step(&step);
        let names = match &self.input {
            Some(path) if path.as_os_str() != "-" => store.load_path(path, &tell)?,
            _ if io::stdin().is_terminal() => {
                return Err(Error::new("no archive was given")
                    .hint("name one with `-i FILE`, or send one to standard input"));
            }
            _ => store.load(io::stdin(), &tell)?,
        };
        crate::cli::image_phase::settle_later(context, &store);
        shown.done();
        if !self.quiet {
            let mut out = io::stdout().lock();
            for name in names {
                writeln!(out, "Loaded image: {}", name.familiar())?;
            }
            out.flush()?;
        }
        Ok(())
    }
}
