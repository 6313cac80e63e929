//! `stack up`.

use std::collections::BTreeSet;

use clap::Args;
use indexmap::IndexMap;

use super::args::refuse;
use super::build_phase::{When, build_needed, name_built};
use super::choice::timeout;
use super::context::{Context, Warnings};
use super::drive::{drive_within, warn};
use super::error::{Error, Result};
use super::foreground::{self, Foreground, OnExit};
use super::image_phase::{Failures, Pull, Wanted, ensure};
use super::plan;
use super::project::{Dependencies, Selection, select};
use crate::compose::Loaded;
use crate::compose::model::{ServiceName, Stack};
use crate::control::{Command, Recreate, Up as UpCommand};
use crate::engine::native::observe;
use crate::ui::{LogOptions, ProgressMode};

/// Flags of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) shared: Shared,
    /// Run in the background.
    #[arg(short, long)]
    detach: bool,
    /// Wait until all services run or are healthy; implies --detach.
    #[arg(long)]
    wait: bool,
    /// Longest time to wait, in seconds.
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    wait_timeout: Option<u64>,
    /// Stop everything as soon as one container ends.
    #[arg(long, conflicts_with = "detach")]
    abort_on_container_exit: bool,
    /// Stop everything as soon as one container fails.
    #[arg(long, conflicts_with_all = ["detach", "abort_on_container_exit"])]
    abort_on_container_failure: bool,
    /// End with the exit code of this service; implies --abort-on-container-exit.
    #[arg(long, value_name = "SERVICE", conflicts_with = "detach")]
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
    /// Replace containers of dependencies even if they are up to date (not supported yet).
    #[arg(long)]
    always_recreate_deps: bool,
    /// Give containers new volumes without a name, instead of those of the old ones (not supported yet).
    #[arg(short = 'V', long)]
    renew_anon_volumes: bool,
    /// Watch files and update containers (not supported yet).
    #[arg(short, long)]
    watch: bool,
    /// A menu for the keyboard (not supported yet).
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    menu: Option<bool>,
}

/// Flags that `up`, `create` and `plan` have in common.
#[derive(Debug, Default, Args)]
pub(crate) struct Shared {
    /// Services to bring up with all that they need; none = all.
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Number of containers of a service.
    #[arg(long, value_name = "SERVICE=NUM")]
    pub(crate) scale: Vec<String>,
    /// Replace containers even if they are up to date.
    #[arg(long, conflicts_with = "no_recreate")]
    pub(crate) force_recreate: bool,
    /// Leave existing containers as they are, even if they are out of date.
    #[arg(long)]
    pub(crate) no_recreate: bool,
    /// Remove containers of services that the stack file does not have.
    #[arg(long)]
    pub(crate) remove_orphans: bool,
    /// Which images to fetch.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "policy")]
    pub(crate) pull: Pull,
    /// Fetch without showing it.
    #[arg(long)]
    pub(crate) quiet_pull: bool,
    /// Build images first, also those that are here.
    #[arg(long, conflicts_with = "no_build")]
    pub(crate) build: bool,
    /// Do not build images.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Build without showing it.
    #[arg(long, hide = true)]
    pub(crate) quiet_build: bool,
    /// Answer yes to all questions; there are none.
    #[arg(short, long, hide = true)]
    pub(crate) yes: bool,
}

/// How `up` treats what is there, beyond the shared flags.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traits {
    /// Leave dependencies alone.
    pub(crate) no_deps: bool,
    /// Make, do not start.
    pub(crate) no_start: bool,
    /// Wait for health.
    pub(crate) wait: bool,
    /// `--timeout`.
    pub(crate) timeout: Option<i64>,
    /// Nothing is done: no image is fetched.
    pub(crate) dry_run: bool,
}

/// A command to bring services up, and what it was made from.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// The name of the project.
    pub(crate) project: String,
    /// The selected services.
    pub(crate) selection: Selection,
    /// The command.
    pub(crate) command: Command,
}

impl Up {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        refuse(&[
            ("--always-recreate-deps", self.always_recreate_deps),
            ("--renew-anon-volumes", self.renew_anon_volumes),
            ("--watch", self.watch),
            ("--menu", self.menu == Some(true)),
        ])?;
        let traits = Traits {
            no_deps: self.no_deps,
            no_start: self.no_start,
            wait: self.wait,
            timeout: self.timeout,
            dry_run: context.global.dry_run,
        };
        let in_background = self.detach || self.wait || self.no_start || context.global.dry_run;
        let loaded = context.load(Warnings::Shown)?;
        let prepared = self.shared.prepare(context, &loaded, traits)?;
        if in_background {
            let limit = self.wait_timeout.filter(|seconds| *seconds > 0);
            let limit = limit.map(std::time::Duration::from_secs);
            let project = &prepared.project;
            return drive_within(context, project, &prepared.command, ("up", limit));
        }
        self.in_foreground(context, prepared)
    }

    fn in_foreground(self, context: &Context, prepared: Prepared) -> Result<()> {
        let attached = self.attached(&prepared.selection)?;
        let exit_code_from = match &self.exit_code_from {
            Some(name) => Some(selected(&prepared.selection, name)?),
            None => None,
        };
        let on_exit = match (
            self.abort_on_container_exit,
            self.abort_on_container_failure,
        ) {
            (true, _) => OnExit::Abort,
            (_, true) => OnExit::AbortOnFailure,
            _ if exit_code_from.is_some() => OnExit::Abort,
            _ => OnExit::GoOn,
        };
        let paint = match self.no_color {
            true => crate::ui::Paint::Off,
            false => context.terminal.stdout,
        };
        foreground::run(
            context,
            Foreground {
                project: prepared.project,
                selection: prepared.selection,
                command: prepared.command,
                attached,
                on_exit,
                exit_code_from,
                timeout: timeout(self.timeout),
                log: LogOptions {
                    prefix: !self.no_log_prefix,
                    timestamps: self.timestamps,
                    paint,
                },
            },
        )
    }

    /// The services whose output is shown.
    fn attached(&self, selection: &Selection) -> Result<BTreeSet<ServiceName>> {
        for name in self.attach.iter().chain(&self.no_attach) {
            selected(selection, name)?;
        }
        let named = &self.shared.services;
        let shown = |name: &ServiceName| {
            let is_in = |list: &[String]| list.iter().any(|other| other == name.as_str());
            let wanted = match (self.attach.is_empty(), named.is_empty()) {
                (false, _) => is_in(&self.attach),
                (true, false) => is_in(named) || self.attach_dependencies,
                (true, true) => true,
            };
            let attach = selection
                .stack
                .services
                .get(name)
                .is_some_and(|service| service.attach);
            wanted && !is_in(&self.no_attach) && (attach || is_in(&self.attach))
        };
        Ok(selection
            .services
            .iter()
            .filter(|name| shown(name))
            .cloned()
            .collect())
    }
}

fn selected(selection: &Selection, name: &str) -> Result<ServiceName> {
    let found = selection
        .services
        .iter()
        .find(|known| known.as_str() == name);
    found.cloned().ok_or_else(|| {
        Error::new(format!(
            "no such service: {name} is not among the selected ones"
        ))
    })
}

impl Shared {
    /// Selects the services, makes sure of their images and puts the command together.
    pub(crate) fn prepare(
        &self,
        context: &Context,
        loaded: &Loaded,
        traits: Traits,
    ) -> Result<Prepared> {
        let dependencies = match traits.no_deps {
            true => Dependencies::LeftOut,
            false => Dependencies::Included,
        };
        let mut selection = select(&loaded.stack, &self.services, dependencies)?;
        name_built(&mut selection.stack);
        context.review(loaded, &selection.stack, &selection.services)?;
        let scale = scale(&self.scale, &selection.stack)?;
        let project = selection.stack.name.to_string();
        let remove_orphans = self.remove_orphans || context.env_flag("COMPOSE_REMOVE_ORPHANS");
        if !remove_orphans && !context.env_flag("COMPOSE_IGNORE_ORPHANS") {
            warn_of_orphans(context, &selection.stack)?;
        }
        let image_ids = if traits.dry_run {
            plan::known_images(context, &selection)?
        } else {
            context.require_root()?;
            let mode = match self.quiet_build {
                true => ProgressMode::Quiet,
                false => context.progress_mode(),
            };
            build_needed(
                context,
                (&selection.stack, &selection.services),
                (When::of(self.build, self.no_build), mode),
            )?;
            let wanted = Wanted {
                stack: &selection.stack,
                services: &selection.services,
                positions: Some(&loaded.positions),
                pull: self.pull,
                failures: Failures::Fatal,
                quiet: self.quiet_pull,
            };
            ensure(context, &wanted)?
        };
        let recreate = match (self.force_recreate, self.no_recreate) {
            (true, _) => Recreate::All,
            (_, true) => Recreate::None,
            _ => Recreate::OutOfDate,
        };
        let command = Command::Up(Box::new(UpCommand {
            stack: selection.stack.clone(),
            services: selection.services.clone(),
            image_ids,
            scale,
            recreate,
            no_start: traits.no_start,
            no_deps: traits.no_deps,
            remove_orphans,
            timeout: timeout(traits.timeout),
            wait: traits.wait,
        }));
        Ok(Prepared {
            project,
            selection,
            command,
        })
    }
}

/// Reads `--scale SERVICE=NUM`.
fn scale(texts: &[String], stack: &Stack) -> Result<IndexMap<ServiceName, u32>> {
    let mut scale = IndexMap::new();
    for text in texts {
        let parsed = text
            .split_once('=')
            .and_then(|(name, number)| Some((name, number.parse::<u32>().ok()?)));
        let Some((name, number)) = parsed else {
            return Err(Error::new(format!("`{text}` is no scale"))
                .hint("write it as SERVICE=NUMBER, for example `--scale web=3`"));
        };
        let Some((name, service)) = stack.services.get_key_value(name) else {
            return Err(Error::new(format!(
                "no such service: {name} (in `--scale {text}`)"
            )));
        };
        if service.container_name.is_some() && number > 1 {
            return Err(Error::new(format!(
                "service {name} has a `container_name`, so it cannot have {number} containers"
            ))
            .hint("remove `container_name`: each container needs a name of its own"));
        }
        scale.insert(name.clone(), number);
    }
    Ok(scale)
}

/// Says which containers belong to services that the stack file does not have, in Docker Compose's
/// words. The list of recorded services is looked at first: it is one file.
fn warn_of_orphans(context: &Context, stack: &Stack) -> Result<()> {
    let project = stack.name.as_str();
    let Some(desired) = context.desired(project)? else {
        return Ok(());
    };
    let known = |name: &ServiceName| {
        stack.services.contains_key(name) || stack.disabled_services.contains_key(name)
    };
    if desired.services.keys().all(known) {
        return Ok(());
    }
    let observed = observe(&context.paths, Some(project))?;
    let mut orphans: Vec<&str> = observed
        .containers
        .values()
        .filter(|container| !container.record.one_off && !known(&container.record.service))
        .map(|container| container.record.name.as_str())
        .collect();
    orphans.sort_unstable();
    if !orphans.is_empty() {
        let message = format!(
            "Found orphan containers ([{}]) for this project. If you removed or renamed this service in your stack file, you can run this command with the --remove-orphans flag to clean it up.",
            orphans.join(" ")
        );
        warn(&message, context.terminal.stderr);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::{ProjectName, Service};

    fn stack() -> Stack {
        let mut services = IndexMap::new();
        services.insert(ServiceName::new("web"), Service::default());
        let named = Service {
            container_name: Some("the-db".to_owned()),
            ..Service::default()
        };
        services.insert(ServiceName::new("db"), named);
        Stack {
            name: ProjectName::new("shop"),
            working_dir: "/shop".into(),
            files: Vec::new(),
            services,
            disabled_services: IndexMap::new(),
            networks: IndexMap::new(),
            volumes: IndexMap::new(),
            unused_networks: IndexMap::new(),
            unused_volumes: IndexMap::new(),
            configs: IndexMap::new(),
            secrets: IndexMap::new(),
            models: IndexMap::new(),
        }
    }

    #[test]
    fn scale_is_a_service_and_a_number() {
        let good = scale(&["web=3".to_owned(), "db=1".to_owned()], &stack()).unwrap();
        assert_eq!(good.values().copied().collect::<Vec<_>>(), [3, 1]);
        for (text, word) in [
            ("web", "is no scale"),
            ("web=-1", "is no scale"),
            ("web=x", "is no scale"),
            ("wep=2", "no such service: wep"),
            ("db=2", "container_name"),
        ] {
            let error = scale(&[text.to_owned()], &stack()).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
