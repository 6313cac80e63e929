//! Which container of a service a command is about.

use clap::Args;

use super::context::Context;
use super::error::{Error, Result};
use super::project::Project;
use crate::compose::model::ServiceName;
use crate::engine::native::{HOOK_LABEL, observe_services};
use crate::plan::ObservedContainer;

/// A container of a service, as command lines name it.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Service whose container it is.
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    #[command(flatten)]
    pub(crate) which: Index,
}

/// `--index`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Index {
    /// The container with this number.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) index: u32,
}

impl Target {
    /// The container, in the project that the command is about.
    pub(crate) fn find(&self, context: &Context, among: Among) -> Result<ObservedContainer> {
        let project = Project::find(context)?;
        pick(
            context,
            (&project, &self.service),
            (self.which.index, among),
        )
    }
}

/// Which containers may be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Among {
    /// Those that run.
    Running,
    /// All; those that run first.
    All,
}

/// The container of a service: the one with this number; for 0 the first one, and one-off containers
/// only when there is no other.
pub(crate) fn pick(
    context: &Context,
    (project, service): (&Project, &str),
    (index, among): (u32, Among),
) -> Result<ObservedContainer> {
    let found = of_service(context, &project.name, service)?;
    chosen(found, (index, among)).ok_or_else(|| {
        let message = match index {
            0 => format!("service \"{service}\" is not running"),
            index => format!("service \"{service}\" is not running container #{index}"),
        };
        let start = || format!("start it with `stack up -d {service}`");
        Error::new(message).hint(project.if_unknown(service).unwrap_or_else(start))
    })
}

/// The containers of a service by number, one-off containers last.
pub(crate) fn of_service(
    context: &Context,
    project: &str,
    service: &str,
) -> Result<Vec<ObservedContainer>> {
    let services = [ServiceName::new(service)];
    let observed = observe_services(&context.paths, project, &services)?;
    let mut found: Vec<ObservedContainer> = observed
        .containers
        .into_values()
        // Those of steps before a start are no containers of the service.
        .filter(|container| !container.record.labels.contains_key(HOOK_LABEL))
        .collect();
    found.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(found)
}

fn order(container: &ObservedContainer) -> (bool, u32, &str) {
    let record = &container.record;
    (record.one_off, record.number, &record.name)
}

fn chosen(
    found: Vec<ObservedContainer>,
    (index, among): (u32, Among),
) -> Option<ObservedContainer> {
    let wanted = |container: &ObservedContainer| match index {
        0 => true,
        // One-off containers have no number.
        index => !container.record.one_off && container.record.number == index,
    };
    let (up, down): (Vec<_>, Vec<_>) = found
        .into_iter()
        .filter(wanted)
        .partition(ObservedContainer::is_up);
    let first = up.into_iter().next();
    match among {
        Among::Running => first,
        Among::All => first.or_else(|| down.into_iter().next()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::containers::tests::{container, exited, running};
    use std::sync::Arc;

    fn some(one_off: bool, number: u32, up: bool) -> ObservedContainer {
        let phase = if up { running() } else { exited(0) };
        let mut container = container("web", number, phase);
        let record = Arc::make_mut(&mut container.record);
        record.one_off = one_off;
        record.name = format!("{number}{}", if one_off { " once" } else { "" });
        container
    }

    #[test]
    fn one_offs_are_taken_only_when_there_is_no_other() {
        let name = |found: Vec<ObservedContainer>, index, among| {
            chosen(found, (index, among)).map(|container| container.record.name.clone())
        };
        let all = || {
            vec![
                some(false, 1, false),
                some(false, 2, true),
                some(true, 1, true),
            ]
        };
        let taken = |text: &str| Some(text.to_owned());
        assert_eq!(name(all(), 0, Among::Running), taken("2"));
        assert_eq!(name(all(), 1, Among::Running), None);
        assert_eq!(name(all(), 1, Among::All), taken("1"));
        let alone = || vec![some(true, 1, true)];
        assert_eq!(name(alone(), 0, Among::Running), taken("1 once"));
        assert_eq!(name(alone(), 1, Among::All), None);
        assert_eq!(name(vec![some(false, 1, false)], 0, Among::Running), None);
        assert_eq!(name(vec![some(false, 1, false)], 0, Among::All), taken("1"));
    }
}
