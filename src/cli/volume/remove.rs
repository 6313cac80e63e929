//! `stack volume rm`.

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::objects::{Kind, Missing, users};
use crate::engine::native::objects::{remove_volume, volume};

/// Flags of `volume rm`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Names of volumes.
    #[arg(value_name = "VOLUME", required = true)]
    volumes: Vec<String>,
    /// A volume that is not there is no failure.
    #[arg(short, long)]
    force: bool,
}

impl Remove {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let users = users(context)?;
        let missing = match self.force {
            true => Missing::Removed,
            false => Missing::Fails,
        };
        Kind::Volume.remove(context, (&self.volumes, missing), |name| {
            if volume(&context.paths, name)?.is_none() {
                return Ok(false);
            }
            Kind::Volume.refuse_used(name, users.of_volume(name))?;
            remove_volume(&context.paths, name)?;
            Ok(true)
        })
    }
}
