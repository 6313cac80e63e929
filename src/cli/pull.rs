//! `stack pull`.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};

use super::context::{Context, Warnings};
use super::drive::note;
use super::error::Result;
use super::image_phase::{Failures, Pull as When, Shown, Wanted, ensure, image_text};
use super::project::{Dependencies, Selection, select};
use super::rehearsal;
use crate::compose::Loaded;
use crate::compose::model::{PullPolicy, Service, ServiceName, Stack};
use crate::control::{self, Kind, ProgressState};
use crate::image::Reference;

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
    /// Taken for those who say it; images are fetched at the same time.
    #[arg(long, hide = true)]
    parallel: bool,
    /// Taken for those who say it; see `--parallel` of `stack`.
    #[arg(long, hide = true)]
    no_parallel: bool,
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
        if !context.global.dry_run {
            context.require_root()?;
        }
        let old = [
            (self.parallel, "--parallel"),
            (self.no_parallel, "--no-parallel"),
        ];
        for (_, flag) in old.iter().filter(|(given, _)| *given) {
            note(&format!(
                "option '{flag}' is DEPRECATED and will be ignored."
            ));
        }
        let loaded = context.load(Warnings::Shown)?;
        if self.services.is_empty() && loaded.stack.services.is_empty() {
            return Ok(());
        }
        let dependencies = match self.include_deps {
            true => Dependencies::Included,
            false => Dependencies::LeftOut,
        };
        let mut selection = select(&loaded.stack, &self.services, dependencies)?;
        let buildable = self.settle_policies(&loaded, &mut selection.stack);
        let skipped = self.leave_out(context, &mut selection, &buildable)?;
        show_skipped(context, skipped);
        let wanted = Wanted {
            stack: &selection.stack,
            services: &selection.services,
            positions: Some(&loaded.positions),
            pull: When::Policy,
            failures: match self.ignore_pull_failures {
                true => Failures::Ignored,
                false => Failures::Fatal,
            },
            shown: Shown::unless_quiet(self.quiet),
        };
        if context.global.dry_run {
            rehearse(context, &wanted);
            return Ok(());
        }
        let builds: Vec<&str> = wanted
            .services
            .iter()
            .filter(|name| buildable.contains(name))
            .map(ServiceName::as_str)
            .collect();
        match ensure(context, &wanted) {
            Err(error) if !builds.is_empty() => Err(error.hint(format!(
                "images that are built here may be in no registry: `stack build {}`",
                builds.join(" ")
            ))),
            other => other.map(drop),
        }
    }

    /// Gives each service the policy that counts here; those that can be built.
    fn settle_policies(&self, loaded: &Loaded, stack: &mut Stack) -> Vec<ServiceName> {
        let mut buildable = Vec::new();
        for (name, service) in &mut stack.services {
            let key = format!("services.{name}.pull_policy");
            let written = loaded.positions.has(&key);
            service.pull_policy = self.policy_of((service.pull_policy, written));
            if service.has_build {
                buildable.push(name.clone());
            }
            // What is asked of its registry is an image like any other.
            service.has_build = service.has_build && service.image.is_none();
        }
        buildable
    }

    /// Takes services out whose images are not fetched; those images, and why.
    fn leave_out(
        &self,
        context: &Context,
        selection: &mut Selection,
        buildable: &[ServiceName],
    ) -> Result<BTreeMap<String, &'static str>> {
        let store = context.images()?;
        let is_here = |image: &str| {
            let reference = image.parse::<Reference>().ok();
            reference.is_some_and(|image| store.get(&image).is_ok_and(|found| found.is_some()))
        };
        let mut skips = BTreeMap::new();
        selection.services.retain(|name| {
            // An image that is built here is in no registry, unless it has a name of its own.
            let service = selection.stack.services.get(name);
            let is_named = |service: &&Service| !service.has_build && service.image.is_some();
            let Some(service) = service.filter(is_named) else {
                return false;
            };
            let image = image_text(&selection.stack, name, service);
            let buildable = self.ignore_buildable && buildable.contains(name);
            let why = skipped(service.pull_policy, buildable, || is_here(&image));
            why.map(|why| skips.insert(image, why)).is_none()
        });
        Ok(skips)
    }

    /// When to fetch: as the flag says, else always, unless the stack file says otherwise in so many
    /// words (Docker Compose, `pull`).
    fn policy_of(&self, (policy, written): (PullPolicy, bool)) -> PullPolicy {
        match (self.policy, policy) {
            (Some(Policy::Always), _) => PullPolicy::Always,
            (Some(Policy::Missing), _) => PullPolicy::Missing,
            (None, PullPolicy::Never | PullPolicy::Build) => policy,
            (None, PullPolicy::Missing) if written => policy,
            (None, _) => PullPolicy::Always,
        }
    }
}

fn show_skipped(context: &Context, images: BTreeMap<String, &'static str>) {
    if images.is_empty() {
        return;
    }
    let mut progress = context.progress("pull");
    for (image, why) in images {
        progress.update(&control::Progress {
            kind: Kind::Image,
            name: image,
            state: ProgressState::Skipped,
            detail: (!why.is_empty()).then(|| why.to_owned()),
        });
    }
    progress.finish();
}

/// Shows what would be fetched.
fn rehearse(context: &Context, wanted: &Wanted<'_>) {
    let images: BTreeSet<String> = wanted
        .services
        .iter()
        .filter_map(|name| Some((name, wanted.stack.services.get(name)?)))
        .map(|(name, service)| image_text(wanted.stack, name, service))
        .collect();
    let states = [ProgressState::Pulling, ProgressState::Pulled];
    rehearsal::show_images(context, images.iter().map(String::as_str), states);
}

/// Why an image is not fetched, in Docker Compose's words, which may be none; `None` when it is.
fn skipped(
    policy: PullPolicy,
    buildable: bool,
    is_here: impl FnOnce() -> bool,
) -> Option<&'static str> {
    match policy {
        PullPolicy::Never | PullPolicy::Build => Some(""),
        PullPolicy::Missing if is_here() => Some("Image is already present locally"),
        _ if buildable => Some("Image can be built"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_not_fetched_has_a_reason() {
        let day = PullPolicy::Every(Duration::from_secs(86_400));
        let here = Some("Image is already present locally");
        for (policy, buildable, is_here, expected) in [
            (PullPolicy::Never, false, true, Some("")),
            (PullPolicy::Build, true, false, Some("")),
            (PullPolicy::Missing, true, true, here),
            (PullPolicy::Missing, false, false, None),
            (PullPolicy::Missing, true, false, Some("Image can be built")),
            (PullPolicy::Always, true, true, Some("Image can be built")),
            (PullPolicy::Always, false, true, None),
            (day, false, true, None),
        ] {
            let given = skipped(policy, buildable, || is_here);
            assert_eq!(given, expected, "{policy:?} {buildable} {is_here}");
        }
    }

    #[test]
    fn pull_fetches_always_unless_the_file_or_the_flag_says_otherwise() {
        let day = PullPolicy::Every(Duration::from_secs(86_400));
        let pull = |policy| Pull {
            services: vec![],
            policy,
            quiet: false,
            ignore_buildable: false,
            ignore_pull_failures: false,
            include_deps: false,
            parallel: false,
            no_parallel: false,
        };
        for (flag, policy, written, expected) in [
            (None, PullPolicy::Missing, false, PullPolicy::Always),
            (None, PullPolicy::Missing, true, PullPolicy::Missing),
            (None, PullPolicy::Always, true, PullPolicy::Always),
            (None, PullPolicy::Never, true, PullPolicy::Never),
            (None, PullPolicy::Build, true, PullPolicy::Build),
            (None, day, true, PullPolicy::Always),
            (
                Some(Policy::Missing),
                PullPolicy::Always,
                true,
                PullPolicy::Missing,
            ),
            (
                Some(Policy::Always),
                PullPolicy::Never,
                true,
                PullPolicy::Always,
            ),
            (
                Some(Policy::Missing),
                PullPolicy::Never,
                true,
                PullPolicy::Missing,
            ),
        ] {
            assert_eq!(
                pull(flag).policy_of((policy, written)),
                expected,
                "{flag:?} {policy:?} {written}"
            );
        }
    }
}
