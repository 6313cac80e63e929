//! `stack volume create`.

use std::io::Write as _;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::objects::pair;
use crate::compose::model::Volume;
use crate::engine::native::objects::create_volume;

/// Flags of `volume create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name; none = a random one, as of a volume without a name.
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
    /// Driver of the volume.
    #[arg(short, long, value_name = "DRIVER", default_value = "local")]
    driver: String,
    /// Option of the driver (`type`, `o`, `device`); can be given several times.
    #[arg(short, long = "opt", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Label; can be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
}

impl Create {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("volume create")?;
        context.require_root()?;
        let wanted = Volume {
            name: self.name.unwrap_or_default(),
            driver: Some(self.driver),
            driver_opts: self.options.iter().map(|text| pair(text)).collect(),
            labels: self.labels.iter().map(|text| pair(text)).collect(),
            ..Volume::default()
        };
        let name = create_volume(&context.paths, &wanted)?;
        writeln!(std::io::stdout(), "{name}")?;
        Ok(())
    }
}
