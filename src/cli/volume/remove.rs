//! `stack volume rm`.

use std::io::Write as _;

use clap::Args;

use super::no_such_volume;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::objects::{all_of, refuse_used, users};
use crate::engine::native::objects::{remove_volume, volumes};

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
        context.refuse_dry_run("volume rm")?;
        context.require_root()?;
        let all = volumes(&context.paths)?;
        let users = users(context)?;
        let mut out = std::io::stdout().lock();
        let mut failures = Vec::new();
        for name in &self.volumes {
            if !all.iter().any(|record| record.name == *name) {
                match self.force {
                    true => writeln!(out, "{name}")?,
                    false => failures.push(no_such_volume(name)),
                }
                continue;
            }
            let removed = refuse_used("volume", name, users.of_volume(name))
                .and_then(|()| Ok(remove_volume(&context.paths, name)?));
            match removed {
                Ok(()) => writeln!(out, "{name}")?,
                Err(error) => failures.push(error),
            }
        }
        out.flush()?;
        all_of(failures)
    }
}
