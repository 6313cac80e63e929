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
        let services = project.named(&self.services)?;
        let Some(desired) = project.desired()? else {
            return Ok(());
        };
        if let Some(loaded) = &loaded
            && is_edited(&loaded.stack, desired)
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

/// Whether a service that was brought up is another one in the stack file by now, or is not in it any
/// more. One that was not brought up may have been left out then, and means nothing.
fn is_edited(stack: &Stack, desired: &Desired) -> bool {
    let recorded: Vec<ServiceName> = desired.services.keys().cloned().collect();
    let mut all = stack.clone();
    // What a profile has switched on for the last `up` need not be on now.
    all.services.extend(stack.disabled_services.clone());
    let touched = Touched::find(desired, &all, &recorded);
    !touched.changed.is_empty() || !touched.removed.is_empty()
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
            ("services: {web: {image: a}}", true),
            (
                "services: {web: {image: a}, db: {image: b}, other: {image: a}}",
                false,
            ),
            (
                "services: {web: {image: a}, db: {image: b}, off: {image: a, profiles: [x]}}",
                false,
            ),
        ] {
            assert_eq!(is_edited(&sample::stack(text), &desired), edited, "{text}");
        }
    }
}
