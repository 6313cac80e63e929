//! Which project a command is about, from a stack file or from what was recorded.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Deserialize;

use super::choice::nearest;
use super::context::{Context, Reading};
use super::error::{Error, Result};
use super::instances::{From, project_name};
use super::reload;
use crate::compose::Loaded;
use crate::compose::model::{Hook, ServiceName, Stack};
use crate::plan::Desired;
use crate::state::{Paths, read_json};

/// The project that a command is about.
#[derive(Debug)]
pub(crate) struct Project {
    /// Its name.
    pub(crate) name: String,
    /// The services of its stack file, those that no profile switches on too; `None` when only its name
    /// was given.
    services: Option<Vec<ServiceName>>,
    /// Those of them that are switched on.
    on: Vec<ServiceName>,
    /// A service of the file has something to be run before it is stopped.
    has_stop_hooks: bool,
    /// A service of the file is provided by a program.
    has_providers: bool,
    paths: Paths,
    recorded: OnceCell<Option<Desired>>,
}

impl Project {
    /// Finds the project as Docker Compose does: `-p` without `-f` needs no stack file, and
    /// `COMPOSE_PROJECT_NAME` is enough where there is none to load.
    ///
    /// Of the file only names are read into the model, which is all that most commands need; whatever
    /// is wrong with it is told all the same.
    pub(crate) fn find(context: &Context) -> Result<Self> {
        Ok(Self::read(context, Reading::Names)?.0)
    }

    /// The same with the whole file, when there is one.
    pub(crate) fn find_with_stack(context: &Context) -> Result<(Self, Option<Loaded>)> {
        Self::read(context, Reading::Model)
    }

    fn read(context: &Context, reading: Reading) -> Result<(Self, Option<Loaded>)> {
        let files_given = !context.global.files.is_empty();
        let (name, loaded) = match &context.global.project_name {
            Some(name) if !files_given => {
                (project_name(context, checked(name)?, From::Flag)?, None)
            }
            _ => match (context.load_to_find(reading), context.given_name()) {
                (Ok(loaded), _) => (loaded.stack.name.to_string(), Some(loaded)),
                (Err(_), Some(name)) if !files_given => {
                    let name = checked(&name)?;
                    (project_name(context, name, From::Environment)?, None)
                }
                (Err(error), _) => (reload::broken_project(context).ok_or(error)?, None),
            },
        };
        let services = loaded.as_ref().map(Loaded::service_names);
        let mut on = services.clone().unwrap_or_default();
        on.retain(|name| loaded.as_ref().is_some_and(|loaded| loaded.is_on(name)));
        let project = Self {
            services,
            on,
            has_stop_hooks: loaded
                .as_ref()
                .is_some_and(|loaded| loaded.has_service_key("pre_stop")),
            has_providers: loaded
                .as_ref()
                .is_some_and(|loaded| loaded.has_service_key("provider")),
            paths: context.paths.clone(),
            recorded: OnceCell::new(),
            name,
        };
        Ok((project, loaded))
    }

    /// What was recorded; `None` when nothing was brought up.
    pub(crate) fn desired(&self) -> Result<Option<&Desired>> {
        if self.recorded.get().is_none() {
            // Nobody else can have set it meanwhile.
            let _ = self.recorded.set(read_json(&self.recorded_at())?);
        }
        Ok(self.recorded.get().and_then(Option::as_ref))
    }

    /// Whether anything was brought up.
    pub(crate) fn was_up(&self) -> bool {
        self.recorded_at().exists()
    }

    /// Whether something is to be run before a container is stopped, by the stack file or by what was
    /// recorded.
    pub(crate) fn has_stop_hooks(&self) -> Result<bool> {
        #[derive(Deserialize)]
        struct Hooks {
            #[serde(default)]
            pre_stop: BTreeMap<ServiceName, Vec<Hook>>,
        }
        if self.has_stop_hooks {
            return Ok(true);
        }
        let recorded: Option<Hooks> = read_json(&self.recorded_at())?;
        Ok(recorded.is_some_and(|hooks| hooks.pre_stop.values().any(|hooks| !hooks.is_empty())))
    }

    /// Whether a service of the stack file is provided by a program instead of a container.
    pub(crate) fn has_providers(&self) -> bool {
        self.has_providers
    }

    fn recorded_at(&self) -> PathBuf {
        self.paths.project(&self.name).join("desired.json")
    }

    /// Whether the stack file has it; without a file everything counts as its.
    pub(crate) fn has(&self, service: &ServiceName) -> bool {
        let services = self.services.as_ref();
        services.is_none_or(|services| services.contains(service))
    }

    /// Whether it has a stack file that says what it is.
    pub(crate) fn has_file(&self) -> bool {
        self.services.is_some()
    }

    /// Checks the names of services that the command line gave: the stack file has them. Without one they
    /// are checked as [`Self::service`] does.
    pub(crate) fn named(&self, names: &[String]) -> Result<Vec<ServiceName>> {
        let Some(services) = &self.services else {
            return self.known(names);
        };
        let find = |name: &String| match services.iter().find(|known| known.as_str() == name) {
            Some(known) => Ok(known.clone()),
            None => Err(no_such_service(
                name,
                services.iter().map(ServiceName::as_str),
            )),
        };
        names.iter().map(find).collect()
    }

    /// The same for commands that know services which have left the stack file, too.
    pub(crate) fn known(&self, names: &[String]) -> Result<Vec<ServiceName>> {
        names.iter().map(|name| self.service(name)).collect()
    }

    /// The services that a command acts on, as in Docker Compose: those that are named, else those of the
    /// stack file that are switched on. Empty = all that were brought up; `None` = no one is left.
    pub(crate) fn concerned(&self, names: &[String]) -> Result<Option<Vec<ServiceName>>> {
        if !names.is_empty() || !self.has_file() {
            return self.named(names).map(Some);
        }
        let mut recorded = self.recorded_services()?;
        if recorded.iter().all(|service| self.on.contains(service)) {
            return Ok(Some(Vec::new()));
        }
        recorded.retain(|service| self.on.contains(service));
        Ok((!recorded.is_empty()).then_some(recorded))
    }

    /// The services that were brought up.
    fn recorded_services(&self) -> Result<Vec<ServiceName>> {
        #[derive(Deserialize)]
        struct Names {
            services: IndexMap<ServiceName, serde::de::IgnoredAny>,
        }
        if let Some(known) = self.recorded.get() {
            let known = known.iter().flat_map(|desired| desired.services.keys());
            return Ok(known.cloned().collect());
        }
        // Names are all that is needed: the models may be large.
        let recorded: Option<Names> = read_json(&self.recorded_at())?;
        let names = recorded.map(|recorded| recorded.services.into_keys());
        Ok(names.into_iter().flatten().collect())
    }

    /// The services of the stack file that are switched on, in its order.
    pub(crate) fn switched_on(&self) -> &[ServiceName] {
        &self.on
    }

    /// Checks the name of one service: the stack file has it, or it was brought up. Where there is
    /// neither it may be any.
    pub(crate) fn service(&self, name: &str) -> Result<ServiceName> {
        let wanted = ServiceName::new(name);
        if self.services.is_some() && self.has(&wanted) {
            return Ok(wanted);
        }
        let desired = self.desired()?;
        let recorded = || desired.iter().flat_map(|desired| desired.services.keys());
        let nothing_known = self.services.is_none() && desired.is_none();
        if nothing_known || recorded().any(|known| *known == wanted) {
            return Ok(wanted);
        }
        let known = self.services.iter().flatten().chain(recorded());
        Err(no_such_service(name, known.map(ServiceName::as_str)))
    }

    /// What to say of the name of a service that is nowhere; `None` = there is one.
    pub(crate) fn if_unknown(&self, name: &str) -> Option<String> {
        let wanted = ServiceName::new(name);
        if self.services.is_none() || self.has(&wanted) {
            return None;
        }
        let known = self.services.iter().flatten().map(ServiceName::as_str);
        let there_is_none = format!("the stack file has no service `{name}`");
        Some(match nearest(name, known) {
            Some(alike) => format!("{there_is_none}; did you mean `{alike}`?"),
            None => there_is_none,
        })
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
        let project = |recorded: Option<Desired>, services: &[&str]| Project {
            name: "shop".to_owned(),
            services: (!services.is_empty())
                .then(|| services.iter().copied().map(ServiceName::new).collect()),
            on: services.iter().copied().map(ServiceName::new).collect(),
            has_stop_hooks: false,
            has_providers: false,
            paths: Paths::given("/nowhere".into(), "/nowhere".into()),
            recorded: OnceCell::from(recorded),
        };
        let said = |project: Project, name: &str| match project.known(&[name.to_owned()]) {
            Ok(names) => names.len().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said(project(None, &[]), "anything"), "1");
        assert_eq!(said(project(None, &["web"]), "web"), "1");
        let unknown = "error: no such service: anything";
        assert_eq!(said(project(None, &["web"]), "anything"), unknown);
        let nothing = Some(Desired::new("shop"));
        assert_eq!(said(project(nothing, &[]), "anything"), unknown);
        let mut desired = Desired::new("shop");
        let gone = crate::plan::DesiredService {
            orphan: true,
            ..crate::plan::DesiredService::new(Default::default(), jiff::Timestamp::UNIX_EPOCH)
        };
        desired.services.insert(ServiceName::new("gone"), gone);
        assert_eq!(said(project(Some(desired.clone()), &["web"]), "gone"), "1");
        let strict = project(Some(desired.clone()), &["web"]).named(&["gone".to_owned()]);
        assert_eq!(
            strict.unwrap_err().to_string(),
            "error: no such service: gone"
        );

        // Those that have left the file are acted on by nobody who does not name them.
        let concerned = |desired: &Desired, services: &[&str]| {
            let concerned = project(Some(desired.clone()), services).concerned(&[]);
            let names = concerned.unwrap()?.into_iter();
            Some(names.map(|name| name.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(concerned(&desired, &["web"]), None);
        assert_eq!(concerned(&desired, &["web", "gone"]), Some(vec![]));
        assert_eq!(concerned(&desired, &[]), Some(vec![]));
        let web = crate::plan::DesiredService::new(Default::default(), jiff::Timestamp::UNIX_EPOCH);
        desired.services.insert(ServiceName::new("web"), web);
        let web = Some(vec!["web".to_owned()]);
        assert_eq!(concerned(&desired, &["web", "db"]), web);
    }
}
