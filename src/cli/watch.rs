//! `stack watch`: what changes in the sources goes into the containers.

mod copies;
mod exec;
mod following;
mod rebuild;
mod session;
mod setup;

use std::io::{self, Write as _};

use clap::{ArgAction, Args};

use super::context::{Context, Warnings};
use super::drive::{block_on, drive, show, warn};
use super::error::{Error, Result};
use super::foreground::Interrupts;
use super::project::{Dependencies, select};
use super::up::{Shared, Traits};
use crate::compose::model::{PullPolicy, Stack};
use crate::ui::Terminal;

pub(crate) use following::Following;
pub(crate) use session::{Said, fill};
use setup::nothing_to_watch;
pub(crate) use setup::{How, Setup};

/// Flags of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Services to watch, with all that they need; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Do not build and start services before watching.
    #[arg(long)]
    no_up: bool,
    /// Remove images that have lost their name to a newer one.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    prune: bool,
    /// Hide what builds print.
    #[arg(long)]
    quiet: bool,
}

impl Watch {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("watch")?;
        context.require_root()?;
        let mut loaded = context.load(Warnings::Shown)?;
        let how = How {
            builds: true,
            prune: self.prune,
            quiet: self.quiet,
        };
        if self.services.is_empty() && loaded.stack.services.is_empty() {
            return Err(nothing_to_watch());
        }
        let selection = select(&loaded.stack, &self.services, Dependencies::Included)?;
        // Before anything is started: a mistake in a rule is one whatever runs.
        let setup = Setup::new(context, &loaded, selection, how)?;
        if !self.no_up {
            build_watched(&mut loaded.stack);
            let shared = Shared {
                services: self.services,
                quiet_pull: self.quiet,
                quiet_build: self.quiet,
                ..Shared::default()
            };
            let prepared = shared.prepare(context, &loaded, Traits::default())?;
            drive(context, &prepared.project, &prepared.command, "up")?;
            context.release_images();
        }
        watch(context, setup)
    }
}

/// Images of services that are watched are built whenever watching begins.
fn build_watched(stack: &mut Stack) {
    let services = stack.services.values_mut();
    for service in services.chain(stack.disabled_services.values_mut()) {
        if service.has_build && !service.watch.is_empty() {
            service.pull_policy = PullPolicy::Build;
        }
    }
}

/// Watches until it is interrupted.
fn watch(context: &Context, setup: Setup) -> Result<()> {
    block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let mut following = Following::start(context, setup);
        let mut progress = context.progress("watch");
        loop {
            let said = tokio::select! {
                biased;
                () = interrupts.next() => return Err(Error::interrupted()),
                said = following.next() => said?,
            };
            match said {
                Said::Line(text) => print(format!("{text}\n").as_bytes())?,
                Said::Output(line) => print(&line)?,
                Said::Complaint(line) => {
                    // When nobody reads it there is nobody to tell.
                    let _ = io::stderr().write_all(&line);
                }
                Said::Warning(text) => warn(&text, context.terminal.stderr),
                Said::Problem(error) => {
                    let width = crate::ui::terminal::width_for_problems();
                    Terminal::say(&error.render(context.terminal.stderr, width));
                }
                Said::Begins => progress.begin("watch"),
                Said::Event(event) => {
                    // How it ended is told by the watch itself.
                    let _ = show(&event, &mut progress, context.terminal.stderr);
                }
                Said::Ends => progress.finish(),
            }
        }
    })
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}
