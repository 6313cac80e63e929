//! `stack restart`.

use clap::Args;

use super::choice::timeout;
use super::context::Context;
use super::drive::{drive, tell_hooks, warn};
use super::error::Result;
use super::project::Project;
use crate::compose::model::{ServiceName, Stack};
use crate::control::{Command, Touched};
use crate::plan::Desired;

/// Flags of `restart`.
#[derive(Debug, Args)]
pub(crate) struct Restart {
    /// Services to restart; none = all.
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Time that containers are given to stop, in seconds.
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
    /// Do not restart services that depend on them with `restart: true`.
    #[arg(long)]
    no_deps: bool,
}

impl Restart {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let (project, loaded) = Project::find_with_stack(context)?;
        let Some(services) = project.concerned(&self.services)? else {
            return Ok(());
        };
        let Some(desired) = project.desired()? else {
            return Ok(());
        };
        if let Some(loaded) = &loaded
            && is_edited(&loaded.stack, desired, &services)
        {
            let message =
                "the stack file has changed since \"up\"; restart does not apply that: stack up -d";
            warn(message, context.terminal.stderr);
        }
        tell_hooks(context, &project, loaded.as_ref())?;
        let command = Command::Restart {
            services,
            timeout: timeout(self.timeout),
            no_deps: self.no_deps,
        };
        drive(context, &project.name, &command, "restart")
    }
}

/// Whether one of these services (none = all), having been brought up, is another one in the stack file by
/// now. One that was not brought up may have been left out then, and means nothing.
fn is_edited(stack: &Stack, desired: &Desired, services: &[ServiceName]) -> bool {
    let concerned = |name: &&ServiceName| services.is_empty() || services.contains(name);
    let recorded = desired.services.keys().filter(concerned).cloned();
    let recorded: Vec<ServiceName> = recorded.collect();
    let mut all = stack.clone();
    // What a profile has switched on for the last `up` need not be on now.
    all.services.extend(stack.disabled_services.clone());
    let touched = Touched::find(desired, &all, &recorded);
    !touched.changed.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::sample;

    fn brought_up(text: &str) -> Desired {
        let mut desired = Desired::new("shop");
        let up = Command::Up(Box::new(sample::up(text)));
        up.apply(&mut desired, jiff::Timestamp::UNIX_EPOCH);
        desired
    }

    #[test]
    fn a_change_of_what_was_brought_up_is_an_edit() {
        let first = "services: {web: {image: a}, db: {image: b}}";
        let desired = brought_up(first);
        for (text, edited) in [
            (first, false),
            ("services: {db: {image: b}, web: {image: a}}", false),
            ("services: {web: {image: a}, db: {image: c}}", true),
            ("services: {web: {image: a}}", false),
            (
                "services: {web: {image: a}, db: {image: b}, other: {image: a}}",
                false,
            ),
            (
                "services: {web: {image: a}, db: {image: b}, off: {image: a, profiles: [x]}}",
                false,
            ),
        ] {
            let stack = sample::stack(text);
            assert_eq!(is_edited(&stack, &desired, &[]), edited, "{text}");
        }
        let other = sample::stack("services: {web: {image: a}, db: {image: c}}");
        let only = |name: &str| is_edited(&other, &desired, &[ServiceName::new(name)]);
        assert!(
            only("db") && !only("web"),
            "what is not restarted is not told of"
        );
    }
}
