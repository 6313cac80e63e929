//! `stack container pause` and `unpause`.

use clap::Args;

use super::one::{One, each};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::pause::{To, turn};
use crate::plan::Phase;

/// Flags of `container pause` and `container unpause`.
#[derive(Debug, Args)]
pub(crate) struct Freeze {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Freeze {
    /// `container pause`.
    pub(super) fn pause(self, context: &Context) -> Result<()> {
        self.to(context, To::Frozen)
    }

    /// `container unpause`.
    pub(super) fn unpause(self, context: &Context) -> Result<()> {
        self.to(context, To::Thawed)
    }

    fn to(self, context: &Context, to: To) -> Result<()> {
        context.refuse_dry_run("container pause")?;
        context.require_root()?;
        each(&self.containers, |name| {
            let one = One::find(context, name)?;
            let container = &one.listed.container;
            let why_not = match (to, &container.phase) {
                (To::Frozen, Phase::Running { .. }) | (To::Thawed, Phase::Paused { .. }) => {
                    return turn(context, container, to).map_err(Error::new);
                }
                (To::Frozen, Phase::Paused { .. }) => "is already paused",
                (To::Thawed, Phase::Running { .. }) => "is not paused",
                _ => "is not running",
            };
            Err(Error::new(format!("container {name} {why_not}")))
        })
    }
}
