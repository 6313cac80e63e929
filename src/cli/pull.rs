//! `stack pull`.

use clap::{Args, ValueEnum};

use super::context::{Context, Warnings};
use super::error::Result;
use super::image_phase::{Failures, Pull as When, Wanted, ensure};
use super::project::{Dependencies, select};
use crate::compose::model::PullPolicy;

/// Flags of `pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Services whose images are fetched; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Which images to fetch; all of them unless given.
    #[arg(long, value_enum, value_name = "WHEN")]
    policy: Option<Policy>,
    /// Do not show it.
    #[arg(short, long)]
    quiet: bool,
    /// Leave out images that can be built.
    #[arg(long)]
    ignore_buildable: bool,
    /// Go on when an image cannot be fetched.
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Images of services that the named ones need, too.
    #[arg(long)]
    include_deps: bool,
}

/// `--policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Policy {
    /// Also those that are here.
    Always,
    /// Those that are not here.
    Missing,
}

impl Pull {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("pull")?;
        context.require_root()?;
        let loaded = context.load(Warnings::Shown)?;
        let dependencies = match self.include_deps {
            true => Dependencies::Included,
            false => Dependencies::LeftOut,
        };
        let mut selection = select(&loaded.stack, &self.services, dependencies)?;
        selection.services.retain(|name| {
            // An image that is built here is in no registry, unless it has a name of its own; and
            // `pull_policy: never` holds for `pull`, too.
            selection.stack.services.get(name).is_some_and(|service| {
                let elsewhere = match service.has_build {
                    true => !self.ignore_buildable && service.image.is_some(),
                    false => true,
                };
                let allowed = !matches!(service.pull_policy, PullPolicy::Never | PullPolicy::Build);
                elsewhere && allowed
            })
        });
        let wanted = Wanted {
            stack: &selection.stack,
            services: &selection.services,
            positions: Some(&loaded.positions),
            pull: match self.policy {
                Some(Policy::Missing) => When::Missing,
                Some(Policy::Always) | None => When::Always,
            },
            failures: match self.ignore_pull_failures {
                true => Failures::Ignored,
                false => Failures::Fatal,
            },
            quiet: self.quiet,
        };
        ensure(context, &wanted)?;
        Ok(())
    }
}
