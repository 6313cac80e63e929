//! `stack up`.

use std::io::Write as _;
use std::sync::Arc;

use clap::Args;
use indexmap::IndexMap;

use super::build_phase::{When, build_needed, name_built};
use super::choice::timeout;
use super::context::{Context, Warnings};
use super::drive::{drive_within, note, warn};
use super::error::{Error, Result};
use super::foreground::{self, Foreground};
use super::foreign::warn_of_foreign;
use super::image_phase::{Failures, Pull, Shown, Wanted, ensure};
use super::instances;
use super::plan;
use super::project::{Dependencies, Selection, select_to_make};
use super::provider;
use super::reload::{self, Who};
use super::up_choices::{selected, watched};
use super::volume::changed::{Answer, agreed};
use super::watch::{How, Setup};
use crate::compose::Loaded;
use crate::compose::model::{Service, ServiceName, ServiceNetwork, Stack};
use crate::control::{Command, Recreate, Up as UpCommand};
use crate::engine::native::{HOOK_LABEL, observe};
use crate::plan::{ObservedContainer, Phase};
use crate::state::records::ContainerRecord;
use crate::ui::{LogOptions, ProgressMode};

/// Flags of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(super) shared: Shared,
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
    pub(super) abort_on_container_exit: bool,
    /// Stop everything as soon as one container fails.
    #[arg(long)]
    pub(super) abort_on_container_failure: bool,
    /// End with the exit code of this service; implies --abort-on-container-exit.
    #[arg(long, value_name = "SERVICE")]
    pub(super) exit_code_from: Option<String>,
    /// Show the output of these services only.
    #[arg(long, value_name = "SERVICE")]
    pub(super) attach: Vec<String>,
    /// Show the output of the services that the named ones need, too.
    #[arg(long)]
    pub(super) attach_dependencies: bool,
    /// Do not show the output of these services.
    #[arg(long, value_name = "SERVICE")]
    pub(super) no_attach: Vec<String>,
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
    pub(super) always_recreate_deps: bool,
    /// Give containers new volumes without a name, instead of those of the old ones.
    #[arg(short = 'V', long)]
    pub(super) renew_anon_volumes: bool,
    /// Follow the stack file and all that is read with it, and apply each edit: what has changed, and
    /// nothing else. In the foreground that is done anyway; with --detach the project's supervisor
    /// does it until `down`, or the next `up -d` without this flag.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    watch_file: Option<bool>,
    /// Watch files, and bring what changes into containers.
    #[arg(short, long)]
    pub(super) watch: bool,
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
    #[arg(long)]
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
    #[arg(long)]
    pub(crate) build: bool,
    /// Do not build images.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Build without showing it.
    #[arg(long)]
    pub(crate) quiet_build: bool,
    /// Answer yes to all questions: volumes whose configuration has changed are made anew, and what is in
    /// them is lost.
    #[arg(short, long)]
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
    /// Replace dependencies, too.
    pub(crate) recreate_dependencies: bool,
    /// Replace containers, and give the new ones new volumes without a name.
    pub(crate) renew_volumes: bool,
    /// `--timeout`.
    pub(crate) timeout: Option<i64>,
    /// Nothing is done: no image is fetched.
    pub(crate) dry_run: bool,
}

/// The flags that an edit of a stack file that is followed is applied with.
#[derive(Debug)]
pub(super) struct Flags {
    pub(super) shared: Shared,
    pub(super) traits: Traits,
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

impl Shared {
    /// Refuses flags that cannot be had together.
    pub(super) fn check(&self) -> Result<()> {
        let message = match () {
            () if self.build && self.no_build => "--build and --no-build are incompatible",
            () if self.force_recreate && self.no_recreate => {
                "--force-recreate and --no-recreate are incompatible"
            }
            () => return Ok(()),
        };
        Err(Error::new(message))
    }

    /// An edit replaces what it makes out of date, or nothing.
    pub(super) fn recreate_for_edit(&self) -> Recreate {
        match self.no_recreate {
            true => Recreate::None,
            false => Recreate::OutOfDate,
        }
    }

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
        let asked = instances::Asked {
            names: &self.services,
            dependencies,
            without_ports: None,
        };
        let loaded = &*instances::settle(context, loaded, &asked, traits.dry_run)?;
        let asked = (self.services.as_slice(), dependencies);
        let mut selection = select_to_make(context, &loaded.stack, asked)?;
        name_built(&mut selection.stack);
        check_names(context, &selection)?;
        if traits.no_deps {
            check_owners(context, &selection)?;
        }
        context.review(loaded, &selection.stack, &selection.services)?;
        warn_of_foreign(context, &selection.stack)?;
        let provided = provider::take(&mut selection);
        let scale = scale(&self.scale, &selection.stack)?;
        let project = selection.stack.name.to_string();
        let flag = |name: &str| context.says(loaded, name);
        let remove_orphans = self.remove_orphans || flag("COMPOSE_REMOVE_ORPHANS");
        let ignore_orphans = flag("COMPOSE_IGNORE_ORPHANS");
        if remove_orphans && ignore_orphans {
            let message = "cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans";
            return Err(Error::new(message));
        }
        if !remove_orphans && !ignore_orphans {
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
            let with_steps = with_step_images(&selection);
            let (stack, services) = match &with_steps {
                Some((stack, services)) => (stack, services),
                None => (&selection.stack, &selection.services),
            };
            let wanted = Wanted {
                stack,
                services,
                positions: Some(&loaded.positions),
                pull: self.pull,
                failures: Failures::Fatal,
                shown: Shown::unless_quiet(self.quiet_pull),
            };
            let mut ids = ensure(context, &wanted)?;
            ids.retain(|name, _| selection.services.contains(name));
            provider::bring_up(context, loaded, &provided, &mut selection.stack)?;
            ids
        };
        let recreate = match (
            self.force_recreate || traits.renew_volumes,
            self.no_recreate,
        ) {
            (true, _) => Recreate::All,
            (_, true) => Recreate::None,
            _ => Recreate::OutOfDate,
        };
        let is_named = |name: &&ServiceName| self.services.iter().any(|text| text == name.as_str());
        let dependencies = match self.services.is_empty() {
            true => Vec::new(),
            false => selection
                .services
                .iter()
                .filter(|name| !is_named(name))
                .cloned()
                .collect(),
        };
        let answer = match () {
            () if traits.dry_run && !self.yes => Answer::No,
            () if self.yes => Answer::Yes,
            () => Answer::Asked,
        };
        let agreed = agreed(context, (&selection.stack, &selection.services), answer)?;
        let command = Command::Up(Box::new(UpCommand {
            stack: selection.stack.clone(),
            services: selection.services.clone(),
            image_ids,
            scale,
            recreate,
            dependencies,
            recreate_dependencies: traits.recreate_dependencies,
            agreed,
            renew_volumes: traits.renew_volumes,
            no_start: traits.no_start,
            no_deps: traits.no_deps,
            all_resources: context.global.all_resources,
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

/// The selection with a service more for each image of a step before a start; `None` without any.
pub(super) fn with_step_images(selection: &Selection) -> Option<(Stack, Vec<ServiceName>)> {
    let mut steps = IndexMap::new();
    for name in &selection.services {
        let Some(service) = selection.stack.services.get(name) else {
            continue;
        };
        for (index, step) in service.pre_start.iter().enumerate() {
            if step.image.is_some() && step.image != service.image {
                let model = Service {
                    image: step.image.clone(),
                    pull_policy: service.pull_policy,
                    platform: service.platform.clone(),
                    ..Service::default()
                };
                let name = format!("{name} pre_start[{index}]");
                steps.insert(ServiceName::new(name), model);
            }
        }
    }
    if steps.is_empty() {
        return None;
    }
    let mut services = selection.services.clone();
    services.extend(steps.keys().cloned());
    let mut stack = selection.stack.clone();
    stack.services.extend(steps);
    Some((stack, services))
}

/// Reads `--scale SERVICE=NUM`.
pub(super) fn scale(texts: &[String], stack: &Stack) -> Result<IndexMap<ServiceName, u32>> {
    let mut scale = IndexMap::new();
    for text in texts {
        let parsed = text
            .split_once('=')
            .and_then(|(name, number)| Some((name, number.parse::<u32>().ok()?)));
        let Some((name, number)) = parsed else {
            return Err(Error::new(format!(
                "invalid --scale option \"{text}\". Should be SERVICE=NUM"
            ))
            .hint("the number is 0 or more, for example `--scale web=3`"));
        };
        let Some((name, service)) = stack.services.get_key_value(name) else {
            return Err(Error::new(format!("no such service: {name}: not found"))
                .hint(format!("it is named by `--scale {text}`")));
        };
        if let Some(own) = service.container_name.as_ref().filter(|_| number > 1) {
            return Err(Error::new(format!(
                "WARNING: The \"{name}\" service is using the custom container name \"{own}\". \
                 Docker requires each container to have a unique name. \
                 Remove the custom name to scale the service"
            )));
        }
        scale.insert(name.clone(), number);
    }
    Ok(scale)
}

/// Refuses two containers of one name: of two services that are brought up, or of one of them and one
/// that has a container.
fn check_names(context: &Context, selection: &Selection) -> Result<()> {
    let stack = &selection.stack;
    let mut names: IndexMap<&str, &ServiceName> = IndexMap::new();
    for service in &selection.services {
        let model = stack.services.get(service);
        let Some(name) = model.and_then(|model| model.container_name.as_deref()) else {
            continue;
        };
        if let Some(first) = names.insert(name, service) {
            return Err(name_taken(service, name, first));
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let observed = observe(&context.paths, Some(stack.name.as_str()))?;
    for container in observed.containers.values() {
        let record = &container.record;
        // That of a service which the stack file has no more goes, or is told of.
        let stays = stack.services.contains_key(&record.service)
            || stack.disabled_services.contains_key(&record.service);
        if let Some(service) = names.get(record.name.as_str())
            && **service != record.service
            && !selection.services.contains(&record.service)
            && stays
        {
            return Err(name_taken(service, &record.name, &record.service));
        }
    }
    Ok(())
}

fn name_taken(service: &ServiceName, name: &str, other: &ServiceName) -> Error {
    Error::new(format!(
        "services.{service}: container name \"{name}\" is already in use by service {other}"
    ))
    .hint("each container needs a name of its own")
}

/// Refuses to leave out services whose containers do not exist, and share something.
fn check_owners(context: &Context, selection: &Selection) -> Result<()> {
    let observed = observe(&context.paths, Some(selection.stack.name.as_str()))?;
    for service in &selection.services {
        let Some(model) = selection.stack.services.get(service) else {
            continue;
        };
        for (what, owner) in owners(model) {
            let here = selection.services.contains(&owner);
            if !here && observed.of_service(&owner).next().is_none() {
                return Err(Error::new(format!(
                    "cannot share {what} with service {owner}: container missing"
                ))
                .hint(format!("bring it up with `stack up {owner}`")));
            }
        }
    }
    Ok(())
}

/// The services whose containers a service shares something with, and what.
fn owners(model: &Service) -> Vec<(&'static str, ServiceName)> {
    let of_service = |text: &Option<String>| {
        let name = text.as_deref()?.strip_prefix("service:")?;
        Some(ServiceName::new(name))
    };
    let network = match &model.network {
        ServiceNetwork::Service(owner) => Some(owner.clone()),
        _ => None,
    };
    let all = [
        ("network namespace", network),
        ("PID namespace", of_service(&model.pid)),
        ("IPC namespace", of_service(&model.ipc)),
    ];
    all.into_iter()
        .filter_map(|(what, owner)| Some((what, owner?)))
        .collect()
}

/// Says which containers belong to services that the stack file does not have, in Docker Compose's
/// words; ended ones of `run` among them. The list of recorded services is looked at first: it is
/// one file.
fn warn_of_orphans(context: &Context, stack: &Stack) -> Result<()> {
    if context.desired(stack.name.as_str())?.is_none() {
        return Ok(());
    }
    say_orphans(context, orphans(context, stack)?.iter());
    Ok(())
}

fn is_known(stack: &Stack, name: &ServiceName) -> bool {
    stack.services.contains_key(name) || stack.disabled_services.contains_key(name)
}

/// Containers of services that the stack file does not have, and one-off containers that have ended.
pub(super) fn orphans(context: &Context, stack: &Stack) -> Result<Vec<Arc<ContainerRecord>>> {
    let observed = observe(&context.paths, Some(stack.name.as_str()))?;
    let is_orphan = |container: &ObservedContainer| match container.record.one_off {
        true => matches!(container.phase, Phase::Exited(_)),
        false => !is_known(stack, &container.record.service),
    };
    let mut orphans: Vec<Arc<ContainerRecord>> = observed
        .containers
        .into_values()
        .filter(|container| !container.record.labels.contains_key(HOOK_LABEL))
        .filter(is_orphan)
        .map(|container| container.record)
        .collect();
    orphans.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(orphans)
}

/// Says that these are there.
pub(super) fn say_orphans<'a>(
    context: &Context,
    orphans: impl Iterator<Item = &'a Arc<ContainerRecord>>,
) {
    let orphans: Vec<&str> = orphans.map(|orphan| orphan.name.as_str()).collect();
    if !orphans.is_empty() {
        let message = format!(
            "Found orphan containers ({}) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.",
            orphans.join(", ")
        );
        warn(&message, context.terminal.stderr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::ProjectName;

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
            separator: Default::default(),
        }
    }

    #[test]
    fn scale_is_a_service_and_a_number() {
        let good = scale(&["web=3".to_owned(), "db=1".to_owned()], &stack()).unwrap();
        assert_eq!(good.values().copied().collect::<Vec<_>>(), [3, 1]);
        for (text, word) in [
            ("web", "invalid --scale option"),
            ("web=-1", "invalid --scale option"),
            ("web=x", "invalid --scale option"),
            ("wep=2", "no such service: wep"),
            ("db=2", "custom container name"),
        ] {
            let error = scale(&[text.to_owned()], &stack()).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
