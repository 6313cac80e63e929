//! `stack plan`: what `up` would do, and why.

use std::io::Write as _;

use clap::Args;
use indexmap::IndexMap;
use jiff::Timestamp;

use super::context::{Context, Warnings};
use super::error::{Error, Result};
use super::image_phase::{image_by_id, image_text};
use super::project::Selection;
use super::up::{Shared, Traits};
use crate::compose::model::ServiceName;
use crate::control::Command;
use crate::engine::native::observe;
use crate::image::Reference;
use crate::plan::{self, Desired, Observed};

/// Flags of `plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    shared: Shared,
    /// Do not wait for dependencies and do not start them.
    #[arg(long)]
    no_deps: bool,
    /// Make containers, but do not start them.
    #[arg(long)]
    no_start: bool,
}

impl Plan {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        self.shared.check()?;
        let loaded = context.load(Warnings::Shown)?;
        let traits = Traits {
            no_deps: self.no_deps,
            no_start: self.no_start,
            dry_run: true,
            ..Traits::default()
        };
        let prepared = self.shared.prepare(context, &loaded, traits)?;
        show(context, &prepared.project, &prepared.command)
    }
}

/// Prints what a command would do to a project.
fn show(context: &Context, project: &str, command: &Command) -> Result<()> {
    let now = Timestamp::now();
    let mut desired = context
        .desired(project)?
        .unwrap_or_else(|| Desired::new(project));
    command.apply(&mut desired, now);
    let (plan, _) = of(context, &desired)?;
    let mut out = std::io::stdout().lock();
    if plan.is_empty() {
        writeln!(out, "nothing to do")?;
    } else {
        write!(out, "{plan}")?;
    }
    out.flush()?;
    refuse_fatal(&plan)
}

/// What is to be done to make the machine match a project's desired state, and what there is.
pub(crate) fn of(context: &Context, desired: &Desired) -> Result<(plan::Plan, Observed)> {
    let mut observed = observe(&context.paths, Some(&desired.project))?;
    let store = context.images()?;
    for service in desired.services.values() {
        let Some(text) = &service.service.image else {
            continue;
        };
        if let Ok(reference) = text.parse::<Reference>()
            && let Some(image) = store.get(&reference)?
        {
            observed.images.insert(text.clone(), image.id.to_string());
        }
    }
    let plan = plan::plan(desired, &observed, Timestamp::now());
    Ok((plan, observed))
}

/// Fails when something keeps a plan from being carried out.
pub(crate) fn refuse_fatal(plan: &plan::Plan) -> Result<()> {
    let fatal: Vec<String> = plan
        .problems
        .iter()
        .filter(|problem| problem.fatal)
        .map(|problem| format!("{}: {}", problem.service, problem.message))
        .collect();
    match fatal.is_empty() {
        true => Ok(()),
        false => Err(Error::several(fatal)),
    }
}

/// Ids of the images that are here; nothing is fetched.
pub(crate) fn known_images(
    context: &Context,
    selection: &Selection,
) -> Result<IndexMap<ServiceName, String>> {
    let store = context.images()?;
    let mut ids = IndexMap::new();
    for name in &selection.services {
        let Some(service) = selection.stack.services.get(name) else {
            continue;
        };
        if let Some(image) = image_by_id(&store, service)? {
            ids.insert(name.clone(), image.id.to_string());
            continue;
        }
        let reference: Reference = image_text(&selection.stack, name, service)
            .parse()
            .map_err(|error| {
                Error::new(format!("service {name}: bad image name")).because(error)
            })?;
        if let Some(image) = store.get(&reference)? {
            ids.insert(name.clone(), image.id.to_string());
        }
    }
    Ok(ids)
}
