//! `--instance`: the command line's side of copies of a project.

use std::borrow::Cow;
use std::path::Path;

use super::context::Context;
use super::drive::{note, warn};
use super::error::{Error, Result};
use super::project::{Dependencies, select_to_make};
use crate::compose::model::{ServiceName, Stack};
use crate::compose::{Loaded, instance as instance_named};
use crate::instance::holders::{Holders, ranges};
use crate::instance::subnets::GivenSubnet;
use crate::instance::{Record, ports, subnets};

/// What is brought up.
pub(super) struct Asked<'a> {
    /// The services; none = all.
    pub(super) names: &'a [String],
    /// Whether those that they need come with them.
    pub(super) dependencies: Dependencies,
    /// The one whose ports are not published.
    pub(super) without_ports: Option<&'a ServiceName>,
}

/// Chooses the ports of an instance before it is brought up, tells which are not those of the file,
/// and, unless nothing is to be done, writes them down. What is no instance stays as it is.
pub(super) fn settle<'a>(
    context: &Context,
    loaded: &'a Loaded,
    asked: &Asked<'_>,
    dry_run: bool,
) -> Result<Cow<'a, Loaded>> {
    let Some(instance) = &loaded.instance else {
        warn_of_other_directory(context, loaded)?;
        return Ok(Cow::Borrowed(loaded));
    };
    let project = loaded.stack.name.as_str();
    let lock = match dry_run {
        true => None,
        false => Some(Record::lock(&context.paths)?),
    };
    let before = Record::read(&context.paths, project)?;
    if let Some(before) = &before {
        refuse_other_directory(before, &loaded.stack.working_dir)?;
    }
    let (before, subnets_before) = before
        .map(|record| (record.ports, record.subnets))
        .unwrap_or_default();
    let holders = Holders::find(&context.paths, project)?;
    let mut given = before.clone();
    // What the file says may depend on the ports; once is enough, for those it names are variables.
    for _ in 0..2 {
        let written = context.load_with_ports(&given)?;
        let selection = select_to_make(context, &written.stack, (asked.names, asked.dependencies))?;
        let mut services = selection.services;
        services.retain(|name| asked.without_ports != Some(name));
        let wanted = ports::wanted(&selection.stack, &services);
        let choices = ports::choose(&wanted, &given, &|address| holders.of(address))
            .map_err(|error| Error::new(error.to_string()))?;
        choices
            .iter()
            .filter(|choice| choice.given.is_moved())
            .filter(|choice| choice.held_by.is_some() || given == before)
            .for_each(|choice| note(&choice.to_string()));
        let kept = ports::merged(&written.stack, given.clone(), &choices);
        let settled = ports::variables(&kept) == ports::variables(&given);
        given = kept;
        if settled {
            break;
        }
    }
    let mut settled = context.load_with_ports(&given)?;
    ports::apply(&mut settled.stack, &given);
    let ranges = choose_ranges(context, &settled, &subnets_before)?;
    subnets::apply(&mut settled.stack, &ranges);
    if !dry_run {
        let mut record = Record::new(instance, &loaded.stack.working_dir);
        (record.ports, record.subnets) = (given, ranges);
        record.write(&context.paths, project)?;
    }
    drop(lock);
    Ok(Cow::Owned(settled))
}

/// Moves the ports of a one-off container of an instance as those of its services are moved: further,
/// where the service itself runs. They last as long as the container, so nothing is written down.
pub(super) fn settle_one_off(
    context: &Context,
    loaded: &Loaded,
    (stack, service): (&mut Stack, &ServiceName),
) -> Result<()> {
    let wanted = ports::wanted(stack, std::slice::from_ref(service));
    if loaded.instance.is_none() || wanted.is_empty() {
        return Ok(());
    }
    let holders = Holders::find(&context.paths, stack.name.as_str())?;
    let choices = ports::choose(&wanted, &[], &|address| holders.beside(address))
        .map_err(|error| Error::new(error.to_string()))?;
    for choice in choices.iter().filter(|choice| choice.given.is_moved()) {
        note(&choice.to_string());
    }
    let given: Vec<_> = choices.into_iter().map(|choice| choice.given).collect();
    ports::apply(stack, &given);
    Ok(())
}

/// Chooses ranges for the networks that the file gives one, and tells which are others.
fn choose_ranges(
    context: &Context,
    loaded: &Loaded,
    before: &[GivenSubnet],
) -> Result<Vec<GivenSubnet>> {
    let networks = &loaded.stack.networks;
    if networks.values().all(|network| network.subnets.is_empty()) {
        return Ok(before.to_vec());
    }
    let taken = ranges(&context.paths, loaded.stack.name.as_str())?;
    let choices = subnets::choose(networks, before, &taken);
    choices
        .iter()
        .filter(|choice| choice.given.is_moved())
        .for_each(|choice| note(&choice.to_string()));
    Ok(choices.into_iter().map(|choice| choice.given).collect())
}

/// Two directories that make the same name would take each other's containers away.
fn refuse_other_directory(before: &Record, directory: &Path) -> Result<()> {
    if before.working_dir == directory || !before.working_dir.exists() {
        return Ok(());
    }
    Err(Error::new(format!(
        "instance {} of project {} is that of {}, not of {}",
        before.name,
        before.of,
        before.working_dir.display(),
        directory.display()
    ))
    .hint("give this one a name of its own: `--instance NAME`"))
}

/// Says that a project which is brought up in another directory is taken over: what people want who
/// have a second copy of it is an instance. Who names the project knows which one it is.
fn warn_of_other_directory(context: &Context, loaded: &Loaded) -> Result<()> {
    if context.given_name().is_some() {
        return Ok(());
    }
    let Some(before) = context.desired(loaded.stack.name.as_str())? else {
        return Ok(());
    };
    let (theirs, ours) = (&before.working_dir, &loaded.stack.working_dir);
    if theirs != ours && theirs.exists() && !before.services.is_empty() {
        let message = format!(
            "project {} was brought up from {}, and is taken over; for a copy of its own beside it: stack up --instance auto",
            before.project,
            theirs.display(),
        );
        warn(&message, context.terminal.stderr);
    }
    Ok(())
}

/// The name of the project that a name without a stack file means, with the instance that was given.
pub(super) fn project_name(context: &Context, name: String, from: From) -> Result<String> {
    let given = context.global.instance.clone();
    let text = match from {
        From::Flag => given,
        From::Environment => given.or_else(|| context.env("STACK_INSTANCE")),
    };
    let text = text.unwrap_or_default();
    let place = (name.as_str(), context.working_dir());
    let found = instance_named(&context.source, &text, place)
        .map_err(|error| Error::new(error.to_string()))?;
    Ok(found.map_or(name, |instance| instance.project()))
}

/// Where a project's name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// `-p`: it is the whole name, unless the instance is given by a flag, too.
    Flag,
    /// `COMPOSE_PROJECT_NAME`.
    Environment,
}
