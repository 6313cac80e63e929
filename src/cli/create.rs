//! `stack create`.

use clap::Args;

use super::context::{Context, Warnings};
use super::drive::drive;
use super::error::Result;
use super::up::{Shared, Traits};

/// Flags of `create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    shared: Shared,
}

impl Create {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        self.shared.check()?;
        let loaded = context.load(Warnings::Shown)?;
        let traits = Traits {
            no_start: true,
            dry_run: context.global.dry_run,
            ..Traits::default()
        };
        if self.shared.services.is_empty() && loaded.stack.services.is_empty() {
            // All services have profiles that are off.
            return Ok(());
        }
        let prepared = self.shared.prepare(context, &loaded, traits)?;
        drive(context, &prepared.project, &prepared.command, "create")
    }
}
