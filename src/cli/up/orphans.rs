//! Containers of services that the stack file does not have.

use std::sync::Arc;

use crate::cli::context::Context;
use crate::cli::drive::warn;
use crate::cli::error::Result;
use crate::compose::model::{ServiceName, Stack};
use crate::engine::native::{HOOK_LABEL, observe};
use crate::plan::{ObservedContainer, Phase};
use crate::state::records::ContainerRecord;

/// Says which containers belong to services that the stack file does not have, in Docker Compose's
/// words; ended ones of `run` among them. The list of recorded services is looked at first: it is
/// one file.
pub(super) fn warn_of_orphans(context: &Context, stack: &Stack) -> Result<()> {
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
pub(in crate::cli) fn orphans(
    context: &Context,
    stack: &Stack,
) -> Result<Vec<Arc<ContainerRecord>>> {
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
pub(in crate::cli) fn say_orphans<'a>(
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
