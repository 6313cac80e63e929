//! `--dry-run`: the progress that a command would show, and why, with nothing done.

use jiff::Timestamp;

use super::context::Context;
use super::error::Result;
use super::plan;
use crate::control::{Command, Kind, OneOff, Progress, ProgressState, rehearse, rehearse_one_off};
use crate::plan::Desired;

/// Shows what a command would do to a project.
pub(super) fn show(context: &Context, project: &str, command: &Command) -> Result<()> {
    let mut desired = context
        .desired(project)?
        .unwrap_or_else(|| Desired::new(project));
    command.apply(&mut desired, Timestamp::now());
    let (plan, observed) = plan::of(context, &desired)?;
    let mut progress = context.progress("");
    for change in rehearse(command, (&desired, &observed), &plan) {
        progress.rehearse(&change);
    }
    plan::refuse_fatal(&plan)
}

/// Shows what `run` would do: bring up what is needed, and make a container of this name.
pub(super) fn show_run(
    context: &Context,
    needed: Option<&Command>,
    (one_off, name): (&OneOff, &str),
) -> Result<()> {
    let project = one_off.stack.name.as_str();
    let now = Timestamp::now();
    let mut desired = context
        .desired(project)?
        .unwrap_or_else(|| Desired::new(project));
    let run = Command::Run(Box::new(one_off.clone()));
    for command in needed.into_iter().chain([&run]) {
        command.apply(&mut desired, now);
    }
    desired.one_offs = one_off.model().into_iter().cloned().collect();
    let (plan, observed) = plan::of(context, &desired)?;
    let state = (&desired, &observed);
    let mut progress = context.progress("");
    let before = rehearse(needed.unwrap_or(&run), state, &plan);
    let own = rehearse_one_off(one_off, name, state, &plan);
    for change in before.iter().chain(&own) {
        progress.rehearse(change);
    }
    plan::refuse_fatal(&plan)
}

/// Shows what would become of images.
pub(super) fn show_images<'a>(
    context: &Context,
    images: impl IntoIterator<Item = &'a str>,
    states: [ProgressState; 2],
) {
    show_all(context, (Kind::Image, images), states);
}

/// Shows what would become of objects of a kind.
pub(super) fn show_all<'a>(
    context: &Context,
    (kind, names): (Kind, impl IntoIterator<Item = &'a str>),
    states: [ProgressState; 2],
) {
    let mut progress = context.progress("");
    for name in names {
        for state in states {
            progress.rehearse(&Progress {
                kind,
                name: name.to_owned(),
                state,
                detail: None,
            });
        }
    }
}
