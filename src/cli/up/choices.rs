//! What the flags of `up` mean together.

use std::collections::BTreeSet;

use super::Up;
use crate::cli::context::{Context, says_yes};
use crate::cli::error::{Error, Result};
use crate::cli::foreground::OnExit;
use crate::cli::project::Selection;
use crate::compose::model::ServiceName;

impl Up {
    /// Refuses flags that cannot be had together, in Docker Compose's words and order.
    pub(super) fn check(&self) -> Result<()> {
        let shared = &self.shared;
        let aborts = self.on_exit() == OnExit::Abort;
        let attaches = self.attach_dependencies || !self.attach.is_empty();
        let fails = self.abort_on_container_failure;
        let detaches = self.detach || self.wait;
        let table = [
            (
                aborts && fails,
                "--abort-on-container-failure cannot be combined with --abort-on-container-exit",
            ),
            (
                self.wait && (attaches || aborts),
                "--wait cannot be combined with --abort-on-container-exit, --attach or --attach-dependencies",
            ),
            (
                detaches && (attaches || aborts || fails || self.watch),
                "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch",
            ),
            (
                self.renew_anon_volumes && shared.no_recreate,
                "--no-recreate and --renew-anon-volumes are incompatible",
            ),
            (
                self.always_recreate_deps && shared.no_recreate,
                "--always-recreate-deps and --no-recreate are incompatible",
            ),
            (
                shared.no_build && self.watch,
                "--no-build and --watch are incompatible",
            ),
            (
                !self.attach.is_empty() && self.attach_dependencies,
                "cannot combine --attach and --attach-dependencies",
            ),
        ];
        shared.check()?;
        match table.into_iter().find(|(together, _)| *together) {
            Some((_, message)) => Err(Error::new(message)),
            None => Ok(()),
        }
    }

    /// What the end of a container means for the others.
    pub(super) fn on_exit(&self) -> OnExit {
        match self.abort_on_container_failure {
            _ if self.abort_on_container_exit => OnExit::Abort,
            true => OnExit::AbortOnFailure,
            false if self.exit_code_from.is_some() => OnExit::Abort,
            false => OnExit::GoOn,
        }
    }

    /// The services whose output is shown: the named ones, or all, and dependencies when asked for;
    /// none with `attach: false` unless it is named by `--attach`.
    pub(super) fn attached(&self, selection: &Selection) -> Result<BTreeSet<ServiceName>> {
        let is_in =
            |list: &[String], name: &ServiceName| list.iter().any(|other| other == name.as_str());
        let unknown: Vec<&str> = self
            .attach
            .iter()
            .filter(|name| selected(selection, name).is_err())
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            return Err(Error::new(format!(
                "cannot attach to services not included in up: {}",
                unknown.join(", ")
            )));
        }
        let named = &self.shared.services;
        let shown = |name: &&ServiceName| {
            if !self.attach.is_empty() {
                return is_in(&self.attach, name);
            }
            let service = selection.stack.services.get(*name);
            let attach = service.is_some_and(|service| service.attach);
            attach && (named.is_empty() || is_in(named, name) || self.attach_dependencies)
        };
        let services = selection.services.iter().filter(shown);
        let services = services.filter(|name| !is_in(&self.no_attach, name));
        Ok(services.cloned().collect())
    }

    /// Whether keys do something (`--menu`, `COMPOSE_MENU`): on a terminal they do.
    pub(super) fn menu(&self, context: &Context) -> bool {
        if !context.can_have_menu() {
            return false;
        }
        let given = context.setting("COMPOSE_MENU");
        self.menu
            .unwrap_or_else(|| given.is_none_or(|value| says_yes(&value)))
    }
}

/// The services whose ends are waited for: those that were named; else those that are shown; else all.
pub(super) fn watched(
    named: &[ServiceName],
    attached: &BTreeSet<ServiceName>,
    selection: &Selection,
) -> BTreeSet<ServiceName> {
    match (named.is_empty(), attached.is_empty()) {
        (false, _) => named.iter().cloned().collect(),
        (true, false) => attached.clone(),
        (true, true) => selection.services.iter().cloned().collect(),
    }
}

/// A service that is brought up, by its name.
pub(super) fn selected(selection: &Selection, name: &str) -> Result<ServiceName> {
    let found = selection
        .services
        .iter()
        .find(|known| known.as_str() == name);
    found
        .cloned()
        .ok_or_else(|| Error::new(format!("no such service: {name}: not found")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Wrapper {
        #[command(flatten)]
        up: Up,
    }

    fn up(flags: &str) -> Up {
        let words = std::iter::once("up").chain(flags.split_whitespace());
        Wrapper::try_parse_from(words).unwrap().up
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused_in_docker_compose_s_words() {
        let detach = "--detach cannot be combined with";
        for (flags, expected) in [
            ("--wait --attach web", "--wait cannot be combined with"),
            (
                "--wait --exit-code-from web",
                "--wait cannot be combined with",
            ),
            ("-d --attach web", detach),
            ("-d --abort-on-container-failure", detach),
            ("-d -w", detach),
            (
                "--build --no-build",
                "--build and --no-build are incompatible",
            ),
            ("-V --no-recreate", "--no-recreate and --renew-anon-volumes"),
            (
                "--force-recreate --no-recreate",
                "--force-recreate and --no-recreate",
            ),
            (
                "--always-recreate-deps --no-recreate",
                "--always-recreate-deps and",
            ),
            ("--no-build -w", "--no-build and --watch"),
            (
                "--attach web --attach-dependencies",
                "cannot combine --attach and",
            ),
            (
                "--abort-on-container-exit --abort-on-container-failure",
                "--abort-on-container-failure cannot be combined",
            ),
        ] {
            let error = up(flags).check().unwrap_err().summary();
            assert!(error.starts_with(expected), "{flags}: {error}");
        }
        for flags in [
            "-d --wait-timeout 3",
            "--abort-on-container-failure --exit-code-from web",
            "--menu=false",
            "-V --force-recreate --always-recreate-deps -y --quiet-build",
        ] {
            assert!(up(flags).check().is_ok(), "{flags}");
        }
    }

    #[test]
    fn the_code_of_one_service_means_that_the_first_end_stops_all() {
        for (flags, expected) in [
            ("", OnExit::GoOn),
            ("--exit-code-from a", OnExit::Abort),
            ("--abort-on-container-exit", OnExit::Abort),
            ("--abort-on-container-failure", OnExit::AbortOnFailure),
            (
                "--abort-on-container-failure --exit-code-from a",
                OnExit::AbortOnFailure,
            ),
        ] {
            assert_eq!(up(flags).on_exit(), expected, "{flags}");
        }
    }

    #[test]
    fn a_menu_is_given_or_taken_with_an_equals_sign() {
        assert_eq!(up("--menu=false web").menu, Some(false));
        let named = up("--menu web");
        assert_eq!((named.menu, named.shared.services.len()), (Some(true), 1));
    }
}
