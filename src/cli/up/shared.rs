//! What `up`, `create` and `plan` have in common: their flags, and the way to their command.

use clap::Args;
use indexmap::IndexMap;

use super::conflicts::{check_names, check_owners};
use super::orphans::warn_of_orphans;
use super::scale::scale;
use crate::cli::build_phase::{When, build_needed, name_built};
use crate::cli::choice::timeout;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::foreign::warn_of_foreign;
use crate::cli::image_phase::{Failures, Pull, Shown, Wanted, ensure};
use crate::cli::project::{Dependencies, Selection, select_to_make};
use crate::cli::volume::changed::{Answer, agreed};
use crate::cli::{instances, plan, provider};
use crate::compose::Loaded;
use crate::compose::model::{Service, ServiceName, Stack};
use crate::control::{Command, Recreate, Up as UpCommand};
use crate::ui::ProgressMode;

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

impl Shared {
    /// Refuses flags that cannot be had together.
    pub(in crate::cli) fn check(&self) -> Result<()> {
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
    pub(in crate::cli) fn recreate_for_edit(&self) -> Recreate {
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
        let mut selection = self.select(context, loaded, dependencies)?;
        let provided = provider::take(&mut selection);
        let scale = scale(&self.scale, &selection.stack)?;
        let remove_orphans = self.settle_orphans(context, loaded, &selection.stack)?;
        let image_ids = match traits.dry_run {
            true => plan::known_images(context, &selection)?,
            false => {
                let ids = self.images(context, loaded, &selection)?;
                provider::bring_up(context, loaded, &provided, &mut selection.stack)?;
                ids
            }
        };
        let chosen = (&selection.stack, selection.services.as_slice());
        let agreed = agreed(context, chosen, self.answer(traits))?;
        let command = Command::Up(Box::new(UpCommand {
            stack: selection.stack.clone(),
            services: selection.services.clone(),
            image_ids,
            scale,
            recreate: self.recreate(traits),
            dependencies: self.dependencies(&selection),
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
            project: selection.stack.name.to_string(),
            selection,
            command,
        })
    }

    /// The services that are asked for; refuses those that cannot be brought up beside what is there.
    fn select(
        &self,
        context: &Context,
        loaded: &Loaded,
        dependencies: Dependencies,
    ) -> Result<Selection> {
        let asked = (self.services.as_slice(), dependencies);
        let mut selection = select_to_make(context, &loaded.stack, asked)?;
        name_built(&mut selection.stack);
        check_names(context, &selection)?;
        if dependencies == Dependencies::LeftOut {
            check_owners(context, &selection)?;
        }
        context.review(loaded, &selection.stack, &selection.services)?;
        warn_of_foreign(context, &selection.stack)?;
        Ok(selection)
    }

    /// Whether orphans are removed; when they are neither that nor ignored, they are told of.
    fn settle_orphans(&self, context: &Context, loaded: &Loaded, stack: &Stack) -> Result<bool> {
        let flag = |name: &str| context.says(loaded, name);
        let remove = self.remove_orphans || flag("COMPOSE_REMOVE_ORPHANS");
        let ignore = flag("COMPOSE_IGNORE_ORPHANS");
        if remove && ignore {
            let message = "cannot combine COMPOSE_IGNORE_ORPHANS and --remove-orphans";
            return Err(Error::new(message));
        }
        if !remove && !ignore {
            warn_of_orphans(context, stack)?;
        }
        Ok(remove)
    }

    /// Builds and fetches what is missing; the ids of the images of the selected services.
    fn images(
        &self,
        context: &Context,
        loaded: &Loaded,
        selection: &Selection,
    ) -> Result<IndexMap<ServiceName, String>> {
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
        let with_steps = with_step_images(selection);
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
        Ok(ids)
    }

    fn recreate(&self, traits: Traits) -> Recreate {
        match (
            self.force_recreate || traits.renew_volumes,
            self.no_recreate,
        ) {
            (true, _) => Recreate::All,
            (_, true) => Recreate::None,
            _ => Recreate::OutOfDate,
        }
    }

    /// The selected services that nobody has named.
    fn dependencies(&self, selection: &Selection) -> Vec<ServiceName> {
        if self.services.is_empty() {
            return Vec::new();
        }
        let is_named = |name: &&ServiceName| self.services.iter().any(|text| text == name.as_str());
        let services = selection.services.iter();
        services.filter(|name| !is_named(name)).cloned().collect()
    }

    /// What is said when a volume is to be made anew.
    fn answer(&self, traits: Traits) -> Answer {
        match () {
            () if self.yes => Answer::Yes,
            () if traits.dry_run => Answer::No,
            () => Answer::Asked,
        }
    }
}

/// The selection with a service more for each image of a step before a start; `None` without any.
pub(in crate::cli) fn with_step_images(selection: &Selection) -> Option<(Stack, Vec<ServiceName>)> {
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
