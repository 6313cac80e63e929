//! `--dry-run`: the progress that a command would show, and why, with nothing done.

use jiff::Timestamp;

use super::context::Context;
use super::error::Result;
use super::plan;
use crate::control::{Command, Kind, Progress, ProgressState, rehearse};
use crate::plan::Desired;

/// Shows what a command would do to a project.
pub(super) fn show(context: &Context, project: &str, command: &Command) -> Result<()> {
    let mut desired = context
        .desired(project)?
        .unwrap_or_else(|| Desired::new(project));
    command.apply(&mut desired, Timestamp::now());
    let plan = plan::of(context, &desired)?;
    let mut progress = context.progress("");
    for change in rehearse(&plan) {
        progress.rehearse(&change);
    }
    plan::refuse_fatal(&plan)
}

/// Shows what would become of images.
pub(super) fn show_images<'a>(
    context: &Context,
    images: impl IntoIterator<Item = &'a str>,
    states: [ProgressState; 2],
) {
    let mut progress = context.progress("");
    for name in images {
        for state in states {
            progress.rehearse(&Progress {
                kind: Kind::Image,
                name: name.to_owned(),
                state,
                detail: None,
            });
        }
    }
}
