//! `stack down`.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};

use super::choice::timeout;
use super::context::Context;
use super::drive::{drive, tell_hooks, warn};
use super::error::Result;
use super::image::remove::{Force, remove_image};
use super::images::names;
use super::project::Project;
use super::provider;
use super::rehearsal;
use crate::compose::Loaded;
use crate::compose::model::{Separator, ServiceName};
use crate::control::{self, Command, ProgressState};
use crate::engine::native::observe;
use crate::image::Reference;
use crate::state::records::ContainerRecord;

/// Flags of `down`.
#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Services whose containers are removed; none = the whole project.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Remove named and unnamed volumes, too.
    #[arg(short, long)]
    volumes: bool,
    /// Time that containers are given to stop, in seconds.
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Remove containers of services that the stack file does not have; `down` always does.
    #[arg(long)]
    remove_orphans: bool,
    /// Remove the images of the services: all, or those without a name of their own.
    #[arg(long, value_enum, value_name = "WHICH")]
    rmi: Option<Rmi>,
}

/// `--rmi`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rmi {
    /// Every image that a service uses.
    All,
    /// Only those without an `image:` in the stack file.
    Local,
}

impl Down {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let (project, loaded) = Project::find_with_stack(context)?;
        let services = project.known(&self.services)?;
        let observed = observe(&context.paths, Some(&project.name))?;
        let owned = observed
            .networks
            .values()
            .any(|network| network.project == project.name)
            || self.volumes
                && observed
                    .volumes
                    .values()
                    .any(|volume| volume.project == project.name);
        let nothing = observed.containers.is_empty() && !owned && project.desired()?.is_none();
        let images = self.images(loaded.as_ref(), &services, observed.containers.values());
        let named = services.clone();
        if !nothing {
            tell_hooks(context, &project, loaded.as_ref())?;
            let command = Command::Down {
                volumes: self.volumes,
                timeout: timeout(self.timeout),
                services,
            };
            drive(context, &project.name, &command, "down")?;
        } else if is_without_resources(context, loaded.as_ref()) {
            let name = &project.name;
            let message = format!("Warning: No resource found to remove for project \"{name}\".");
            warn(&message, context.terminal.stderr);
        }
        let taken_down = provider::take_down(context, loaded.as_ref(), &named);
        if context.global.dry_run {
            let states = [ProgressState::Removing, ProgressState::Removed];
            rehearsal::show_images(context, images.iter().map(String::as_str), states);
            return Ok(());
        }
        remove_images(context, &images)?;
        taken_down
    }

    /// The images that go too.
    fn images<'a>(
        &self,
        loaded: Option<&Loaded>,
        named: &[ServiceName],
        containers: impl Iterator<Item = &'a crate::plan::ObservedContainer>,
    ) -> BTreeSet<String> {
        let Some(which) = self.rmi else {
            return BTreeSet::new();
        };
        let concerned = |name: &ServiceName| named.is_empty() || named.contains(name);
        let in_file = |name: &ServiceName| {
            loaded.is_some_and(|loaded| loaded.stack.services.contains_key(name))
        };
        // An image that was built without a name is called after project and service. Where there is a
        // file, that says whether it was.
        let own = |record: &ContainerRecord| {
            let parts = [record.project.as_str(), record.service.as_str()];
            let mut names = Separator::ALL
                .iter()
                .map(|separator| separator.join(&parts));
            record.template.has_build
                && names.any(|name| record.image == name)
                && !in_file(&record.service)
        };
        let mut images: BTreeSet<String> = containers
            .map(|container| &container.record)
            .filter(|record| concerned(&record.service))
            .filter(|record| which == Rmi::All || own(record))
            .map(|record| record.image.clone())
            .collect();
        if let Some(loaded) = loaded {
            let services = loaded.stack.services.iter();
            let wanted = services
                .filter(|(name, _)| concerned(name))
                .filter(|(_, service)| which == Rmi::All || service.image.is_none());
            images.extend(wanted.map(|(name, service)| {
                super::image_phase::image_text(&loaded.stack, name, service)
            }));
        }
        images
    }
}

/// Nothing says what the project would have: it was named without a file, or its file has no service.
fn is_without_resources(context: &Context, loaded: Option<&Loaded>) -> bool {
    let global = &context.global;
    let only_named = global.project_name.is_some() && global.files.is_empty();
    only_named || loaded.is_none_or(|loaded| loaded.stack.services.is_empty())
}

fn remove_images(context: &Context, images: &BTreeSet<String>) -> Result<()> {
    if images.is_empty() {
        return Ok(());
    }
    let store = context.images()?;
    let mut progress = context.progress("down");
    for text in images {
        let Ok(reference) = text.parse::<Reference>() else {
            continue;
        };
        if store.get(&reference)?.is_none() {
            continue;
        }
        let mut tell = |state, detail| {
            progress.update(&control::Progress {
                kind: control::Kind::Image,
                name: full_name(&reference),
                state,
                detail,
            });
        };
        tell(ProgressState::Removing, None);
        match remove_image(context, &store, &reference, Force::No) {
            Ok(_) => tell(ProgressState::Removed, None),
            // Another project may use it: that is no failure of `down`.
            Err(error) => {
                tell(ProgressState::InUse, None);
                let message = format!("image {text} stays: {}", error.summary());
                progress.above(|| warn(&message, context.terminal.stderr));
            }
        }
    }
    Ok(())
}

/// The name of an image with its tag.
fn full_name(reference: &Reference) -> String {
    let (name, tag) = names(reference);
    format!("{name}:{tag}")
}
