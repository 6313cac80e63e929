//! Which project a command is about, from a stack file or from what was recorded.

use super::choice::nearest;
use super::context::{Context, Warnings};
use super::error::{Error, Result};
use super::instances::{From, project_name};
use super::reload;
use crate::compose::Loaded;
use crate::compose::model::{ServiceName, Stack};
use crate::plan::Desired;

/// The project that a command is about.
#[derive(Debug)]
pub(crate) struct Project {
    /// Its name.
    pub(crate) name: String,
    /// Its stack file; `None` when only its name was given.
    pub(crate) loaded: Option<Loaded>,
    /// What was recorded; `None` when nothing was brought up.
    pub(crate) desired: Option<Desired>,
}

impl Project {
    /// Finds the project as Docker Compose does: `-p` without `-f` needs no stack file, and
    /// `COMPOSE_PROJECT_NAME` is enough where there is none to load.
    pub(crate) fn find(context: &Context) -> Result<Self> {
        let files_given = !context.global.files.is_empty();
        let (name, loaded) = match &context.global.project_name {
            Some(name) if !files_given => {
                (project_name(context, checked(name)?, From::Flag)?, None)
            }
            _ => match (context.load(Warnings::Hidden), context.given_name()) {
                (Ok(loaded), _) => (loaded.stack.name.to_string(), Some(loaded)),
                (Err(_), Some(name)) if !files_given => {
                    let name = checked(&name)?;
                    (project_name(context, name, From::Environment)?, None)
                }
                (Err(error), _) => (reload::broken_project(context).ok_or(error)?, None),
            },
        };
        Ok(Self {
            desired: context.desired(&name)?,
            name,
            loaded,
        })
    }

    /// The services of the file and of what was recorded.
    fn services(&self) -> impl Iterator<Item = &ServiceName> {
        let stack = self.loaded.as_ref().map(|loaded| &loaded.stack);
        let of_file = stack
            .into_iter()
            .flat_map(|stack| stack.services.keys().chain(stack.disabled_services.keys()));
        let recorded = self
            .desired
            .iter()
            .flat_map(|desired| desired.services.keys());
        of_file.chain(recorded)
    }

    /// Checks the names of services that the command line gave.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<ServiceName>> {
        if self.loaded.is_none() && self.desired.is_none() {
            return Ok(names.iter().map(ServiceName::new).collect());
        }
        names.iter().map(|name| self.service(name)).collect()
    }

    /// Checks the name of one service.
    pub(crate) fn service(&self, name: &str) -> Result<ServiceName> {
        let known = self.services().find(|known| known.as_str() == name);
        known
            .cloned()
            .ok_or_else(|| no_such_service(name, self.services().map(ServiceName::as_str)))
    }
}

/// The services that a command brings up.
#[derive(Debug)]
pub(crate) struct Selection {
    /// The stack with all of them switched on.
    pub(crate) stack: Stack,
    /// The services, in the order of the file.
    pub(crate) services: Vec<ServiceName>,
}

/// Whether the services that the named ones need come with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dependencies {
    /// They do.
    Included,
    /// They do not (`--no-deps`).
    LeftOut,
}

/// Selects services of a stack; no name = all that the profiles switch on.
pub(crate) fn select(
    stack: &Stack,
    names: &[String],
    dependencies: Dependencies,
) -> Result<Selection> {
    let selection = select_any(stack, names, dependencies)?;
    if selection.services.is_empty() {
        let error = Error::new("no service selected");
        return Err(match selection.stack.disabled_services.is_empty() {
            true => error.hint("the stack file has no services"),
            false => error.hint("all services have profiles: name a service, or use --profile"),
        });
    }
    Ok(selection)
}

/// The same for `up`, which needs none where networks and volumes alone are enough to make.
pub(crate) fn select_to_make(
    context: &Context,
    stack: &Stack,
    (names, dependencies): (&[String], Dependencies),
) -> Result<Selection> {
    match context.global.all_resources {
        true => select_any(stack, names, dependencies),
        false => select(stack, names, dependencies),
    }
}

fn select_any(stack: &Stack, names: &[String], dependencies: Dependencies) -> Result<Selection> {
    let known = || stack.services.keys().chain(stack.disabled_services.keys());
    for name in names {
        if !known().any(|known| known.as_str() == name) {
            return Err(no_such_service(name, known().map(ServiceName::as_str)));
        }
    }
    let named: Vec<ServiceName> = names.iter().map(ServiceName::new).collect();
    let stack = stack.select(&named)?;
    let mut services: Vec<ServiceName> = stack.services.keys().cloned().collect();
    if dependencies == Dependencies::LeftOut && !named.is_empty() {
        services.retain(|service| named.contains(service));
    }
    Ok(Selection { stack, services })
}

fn no_such_service<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let error = Error::new(format!("no such service: {name}"));
    match nearest(name, known) {
        Some(alike) => error.hint(format!("did you mean `{alike}`?")),
        None => error,
    }
}

/// A project's name becomes a directory: only names that the loader would give are taken.
fn checked(name: &str) -> Result<String> {
    let good =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "_-".contains(char);
    let starts_well =
        name.starts_with(|char: char| char.is_ascii_lowercase() || char.is_ascii_digit());
    if starts_well && name.chars().all(good) {
        return Ok(name.to_owned());
    }
    Err(Error::new(format!("`{name}` is no project name"))
        .hint("use lower-case letters, digits, `-` and `_`, and begin with a letter or a digit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_name_is_never_a_path() {
        for good in ["shop", "0a", "a_b-c"] {
            assert_eq!(checked(good).unwrap(), good);
        }
        for bad in ["", "..", "a/b", "-a", "A", "a b", "_a", "a\0"] {
            assert!(checked(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn recorded_services_are_known_without_a_file() {
        let mut project = Project {
            name: "shop".to_owned(),
            loaded: None,
            desired: None,
        };
        let names = ["anything".to_owned()];
        assert_eq!(project.named(&names).unwrap().len(), 1);
        project.desired = Some(Desired::new("shop"));
        let error = project.named(&names).unwrap_err().to_string();
        assert_eq!(error, "error: no such service: anything");
    }
}
