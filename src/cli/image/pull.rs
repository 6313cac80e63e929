//! `stack image pull`.

use std::io::Write as _;

use clap::Args;

use super::reference;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::image_phase::fetch;
use crate::compose::source::Source as _;
use crate::image::Platform;

/// Flags of `image pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Names of images.
    #[arg(value_name = "NAME[:TAG|@DIGEST]", required = true)]
    images: Vec<String>,
    /// The machine that it is for, as `linux/arm64`; this one unless given.
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// Do not show it.
    #[arg(short, long)]
    quiet: bool,
}

impl Pull {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image pull")?;
        context.require_root()?;
        let text = self
            .platform
            .or_else(|| context.source.env("DOCKER_DEFAULT_PLATFORM"));
        let platform: Option<Platform> = text
            .map(|text| text.parse())
            .transpose()
            .map_err(|error| Error::new("bad platform").because(error))?;
        let images = self.images.iter().map(|text| reference(text));
        let images = images.collect::<Result<Vec<_>>>()?;
        let names = fetch(context, &images, (platform, self.quiet))?;
        let mut out = std::io::stdout().lock();
        for name in names {
            writeln!(out, "{name}")?;
        }
        Ok(out.flush()?)
    }
}
