//! `stack up`.

mod choices;
mod conflicts;
mod orphans;
mod scale;
mod shared;

use std::io::Write as _;

use clap::Args;

use super::choice::timeout;
use super::context::{Context, Warnings};
use super::drive::{drive_within, note};
use super::error::Result;
use super::foreground::{self, Foreground};
use super::project::{Dependencies, select_to_make};
use super::reload::{self, Who};
use super::watch::{How, Setup};
use crate::compose::Loaded;
use crate::compose::model::ServiceName;
use crate::ui::LogOptions;
use choices::{selected, watched};

pub(super) use orphans::{orphans, say_orphans};
pub(super) use scale::scale;
pub(super) use shared::with_step_images;
pub(crate) use shared::{Prepared, Shared, Traits};

/// Flags of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    shared: Shared,
    /// Run in the background.
    #[arg(short, long)]
    pub(super) detach: bool,
    /// Wait until all services run or are healthy; implies --detach.
    #[arg(long)]
    pub(super) wait: bool,
    /// Longest time to wait for services, in seconds.
    #[arg(long, value_name = "SECONDS")]
    wait_timeout: Option<u64>,
    /// Stop everything as soon as one container ends.
    #[arg(long)]
    abort_on_container_exit: bool,
    /// Stop everything as soon as one container fails.
    #[arg(long)]
    abort_on_container_failure: bool,
    /// End with the exit code of this service; implies --abort-on-container-exit.
    #[arg(long, value_name = "SERVICE")]
    exit_code_from: Option<String>,
    /// Show the output of these services only.
    #[arg(long, value_name = "SERVICE")]
    attach: Vec<String>,
    /// Show the output of the services that the named ones need, too.
    #[arg(long)]
    attach_dependencies: bool,
    /// Do not show the output of these services.
    #[arg(long, value_name = "SERVICE")]
    no_attach: Vec<String>,
    /// Show output without colours.
    #[arg(long)]
    no_color: bool,
    /// Show output without the containers' names.
    #[arg(long)]
    no_log_prefix: bool,
    /// Show the time of each line of output.
    #[arg(long)]
    timestamps: bool,
    /// Do not wait for dependencies and do not start them.
    #[arg(long)]
    no_deps: bool,
    /// Make containers, but do not start them.
    #[arg(long)]
    no_start: bool,
    /// Time that containers are given to stop, in seconds.
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Replace containers of dependencies even if they are up to date.
    #[arg(long)]
    always_recreate_deps: bool,
    /// Give containers new volumes without a name, instead of those of the old ones.
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Follow the stack file and all that is read with it, and apply each edit: what has changed, and
    /// nothing else. In the foreground that is done anyway; with --detach the project's supervisor
    /// does it until `down`, or the next `up -d` without this flag.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    watch_file: Option<bool>,
    /// Watch files, and bring what changes into containers.
    #[arg(short, long)]
    watch: bool,
    /// Keys that do something while output is shown on a terminal: `d` leaves the services running,
    /// `w` watches files. Given by COMPOSE_MENU, too; on by default.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(super) menu: Option<bool>,
}

/// The flags that an edit of a stack file that is followed is applied with.
#[derive(Debug)]
pub(super) struct Flags {
    pub(super) shared: Shared,
    pub(super) traits: Traits,
}

impl Up {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        self.check()?;
        let traits = Traits {
            no_deps: self.no_deps,
            no_start: self.no_start,
            wait: self.wait,
            recreate_dependencies: self.always_recreate_deps,
            renew_volumes: self.renew_anon_volumes,
            timeout: self.timeout,
            dry_run: context.global.dry_run,
        };
        let in_background = self.detach || self.wait || self.no_start;
        let loaded = context.load(Warnings::Shown)?;
        let limit = self.wait_timeout.filter(|seconds| *seconds > 0);
        let limit = limit.map(std::time::Duration::from_secs);
        if context.global.dry_run && !in_background {
            // As Docker Compose: what follows the making of containers is left out.
            let traits = Traits {
                no_start: true,
                ..traits
            };
            let prepared = self.shared.prepare(context, &loaded, traits)?;
            drive_within(context, &prepared.project, &prepared.command, ("up", None))?;
            let what = "interactive run is not supported in dry-run mode";
            writeln!(std::io::stdout(), "end of 'compose up' output, {what}")?;
            return Ok(());
        }
        let watch = self.watch_setup(context, &loaded)?;
        let prepared = self.shared.prepare(context, &loaded, traits)?;
        // Networks and volumes alone have nothing to show.
        let in_background = in_background || prepared.selection.services.is_empty();
        if in_background {
            match self.watch_file {
                _ if context.global.dry_run => {}
                Some(true) => {
                    reload::follow(context, &prepared.project, Who::Project)?;
                    note("The stack file is followed: edits are applied until `stack down`");
                }
                _ => reload::unfollow(context, &prepared.project)?,
            }
            let project = &prepared.project;
            return drive_within(context, project, &prepared.command, ("up", limit));
        }
        if self.watch_file != Some(false) {
            reload::follow(context, &prepared.project, Who::Us)?;
        }
        self.in_foreground(context, prepared, (limit, watch))
    }

    /// What an edit of a stack file that is followed is applied with.
    pub(super) fn flags(self) -> Flags {
        let traits = Traits {
            no_deps: self.no_deps,
            no_start: self.no_start,
            ..Traits::default()
        };
        Flags {
            shared: self.shared,
            traits,
        }
    }

    /// What is watched, or can be when it is asked for with a key.
    fn watch_setup(&self, context: &Context, loaded: &Loaded) -> Result<Option<Setup>> {
        if self.detach || !self.watch && !self.menu(context) {
            return Ok(None);
        }
        let dependencies = match self.no_deps {
            true => Dependencies::LeftOut,
            false => Dependencies::Included,
        };
        let asked = (self.shared.services.as_slice(), dependencies);
        let selection = select_to_make(context, &loaded.stack, asked)?;
        let how = How {
            builds: !self.shared.no_build,
            prune: false,
            quiet: self.shared.quiet_build,
        };
        match self.watch {
            true => Setup::new(context, loaded, selection, how).map(Some),
            // A key that cannot do anything is no reason not to start.
            false => Ok(Setup::quietly(selection, how)),
        }
    }

    fn in_foreground(
        self,
        context: &Context,
        prepared: Prepared,
        (limit, watch): (Option<std::time::Duration>, Option<Setup>),
    ) -> Result<()> {
        let attached = self.attached(&prepared.selection)?;
        let exit_code_from = match &self.exit_code_from {
            Some(name) => Some(selected(&prepared.selection, name)?),
            None => None,
        };
        let paint = match self.no_color {
            true => crate::ui::Paint::Off,
            false => context.terminal.stdout,
        };
        let named: Vec<ServiceName> = self.shared.services.iter().map(ServiceName::new).collect();
        foreground::run(
            context,
            Foreground {
                project: prepared.project,
                watched: watched(&named, &attached, &prepared.selection),
                stopped: match named.is_empty() {
                    true => prepared.selection.services.clone(),
                    false => named,
                },
                selection: prepared.selection,
                command: prepared.command,
                attached,
                attach_new: self.attach.is_empty()
                    && (self.shared.services.is_empty() || self.attach_dependencies),
                on_exit: self.on_exit(),
                exit_code_from,
                timeout: timeout(self.timeout),
                limit,
                log: LogOptions {
                    prefix: !self.no_log_prefix,
                    timestamps: self.timestamps,
                    paint,
                },
                menu: self.menu(context),
                watch,
                watch_at_once: self.watch,
            },
        )
    }
}
