//! What is watched, from the stack file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::build::ignore::file_names;
use crate::cli::build_phase::name_built;
use crate::cli::context::Context;
use crate::cli::drive::warn;
use crate::cli::error::{Error, Result};
use crate::cli::project::Selection;
use crate::compose::Loaded;
use crate::compose::model::{
    Build, BuildContext, Dockerfile, Mount, MountSource, Service, ServiceName, Stack, WatchAction,
};
use crate::watch::initial;
use crate::watch::rules::{Context as BuildFiles, Rule, RuleError};
use crate::watch::sync::Mapping;

/// How is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// Images may be built.
    pub(crate) builds: bool,
    /// Images that have lost their name are removed.
    pub(crate) prune: bool,
    /// What builds print is hidden.
    pub(crate) quiet: bool,
}

/// What is watched, and how.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(super) stack: Stack,
    pub(super) rules: Arc<[Rule]>,
    pub(super) paths: Vec<PathBuf>,
    /// The files that say what of the build contexts is left out; they need not exist.
    pub(super) ignore_files: Vec<PathBuf>,
    services: Vec<ServiceName>,
    pub(super) how: How,
}

/// No service that is meant can be watched, in Docker Compose's words.
pub(crate) fn nothing_to_watch() -> Error {
    Error::new(
        "none of the selected services is configured for watch, consider setting a 'develop' section",
    )
}

impl Setup {
    /// Collects the rules of the selected services, and says what is wrong with them.
    pub(crate) fn new(
        context: &Context,
        loaded: &Loaded,
        selection: Selection,
        how: How,
    ) -> Result<Self> {
        let mut told = Vec::new();
        let setup = Self::read(selection, how, &mut told)?;
        let paint = context.terminal.stderr;
        told.iter().for_each(|message| warn(message, paint));
        if setup.rules.is_empty() {
            return Err(nothing_to_watch());
        }
        let old = loaded.places("services.*.develop.watch[].x-initialSync");
        if old.iter().any(|place| place.says_something()) {
            warn(
                "x-initialSync is DEPRECATED, please use the official `initial_sync` attribute",
                paint,
            );
        }
        Ok(setup)
    }

    /// The same without a word; `None` when there is nothing to watch, or something is wrong with it.
    pub(crate) fn quietly(selection: Selection, how: How) -> Option<Self> {
        let setup = Self::read(selection, how, &mut Vec::new()).ok()?;
        (!setup.rules.is_empty()).then_some(setup)
    }

    fn read(selection: Selection, how: How, told: &mut Vec<String>) -> Result<Self> {
        let mut stack = selection.stack;
        name_built(&mut stack);
        let mut setup = Self {
            stack,
            rules: Arc::new([]),
            paths: Vec::new(),
            ignore_files: Vec::new(),
            services: selection.services,
            how,
        };
        setup.read_rules(told)?;
        Ok(setup)
    }

    /// Reads what the rules say by now: their ignore files may be other ones. When they cannot be
    /// followed they stay as they were.
    pub(super) fn read_again(&mut self) -> Result<()> {
        // What there is to be told has been told when watching began.
        self.read_rules(&mut Vec::new())
    }

    fn read_rules(&mut self, told: &mut Vec<String>) -> Result<()> {
        let (mut rules, mut ignore_files) = (Vec::new(), Vec::new());
        for name in &self.services {
            if let Some(service) = self.stack.services.get(name) {
                rules.extend(rules_of((name, service), self.how, told)?);
                let build = service.build.as_ref().filter(|_| !service.watch.is_empty());
                ignore_files.extend(build.into_iter().flat_map(ignore_files_of));
            }
        }
        self.paths = rules.iter().map(|rule| rule.path.clone()).collect();
        self.rules = rules.into();
        self.ignore_files = ignore_files;
        Ok(())
    }

    /// Whether anything is copied before it has changed.
    pub(crate) fn has_initial(&self) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.initial_sync && rule.copies())
    }

    /// What is copied before anything has changed.
    pub(super) fn initial(&self) -> Vec<(ServiceName, Vec<Mapping>)> {
        let rules = self.rules.iter();
        let initial = rules.filter(|rule| rule.initial_sync && rule.copies());
        let copies = initial.map(|rule| {
            let service = self.stack.services.get(&rule.service);
            let dockerfile = service.and_then(dockerfile_name);
            let everything = initial::everything(rule, dockerfile.as_deref());
            (rule.service.clone(), everything)
        });
        copies.collect()
    }

    /// The services that files are copied to.
    pub(super) fn copied_to(&self) -> Vec<ServiceName> {
        let rules = self.rules.iter().filter(|rule| rule.copies());
        let mut services: Vec<ServiceName> = rules.map(|rule| rule.service.clone()).collect();
        services.sort();
        services.dedup();
        services
    }
}

fn rules_of(
    (name, service): (&ServiceName, &Service),
    how: How,
    told: &mut Vec<String>,
) -> Result<Vec<Rule>> {
    if service.watch.is_empty() {
        return Ok(Vec::new());
    }
    let files = match &service.build {
        Some(build) => build_files(name, build)?,
        None => None,
    };
    let mut rules = Vec::new();
    for model in &service.watch {
        if model.action == WatchAction::Rebuild {
            can_rebuild(name, service, how)?;
        }
        let rule =
            Rule::new(name, model, files.clone()).map_err(|error| bad(&error).because(error))?;
        if rule.copies() && is_bind_mounted(&rule.path, &service.volumes) {
            let path = model.path.display();
            told.push(format!(
                "path '{path}' also declared by a bind mount volume, this path won't be monitored!"
            ));
            continue;
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn bad(error: &RuleError) -> Error {
    Error::new(error.to_string())
}

fn can_rebuild(name: &ServiceName, service: &Service, how: How) -> Result<()> {
    if !service.has_build {
        return Err(Error::new(format!(
            "can't watch service \"{name}\" with action rebuild without a build context"
        )));
    }
    match how.builds {
        true => Ok(()),
        false => Err(Error::new(format!(
            "--no-build is incompatible with watch action rebuild in service {name}"
        ))),
    }
}

/// The files that may say what a build leaves out: the Dockerfile's own, and that of its context, which
/// counts without the first.
fn ignore_files_of(build: &Build) -> Vec<PathBuf> {
    let BuildContext::Directory(directory) = &build.context else {
        return Vec::new();
    };
    let dockerfile = match &build.dockerfile {
        Dockerfile::File(file) => file.clone(),
        Dockerfile::Inline(_) => "Dockerfile".to_owned(),
    };
    let names = file_names(&dockerfile).into_iter();
    names.map(|file| directory.join(file)).collect()
}

/// What the ignore file of a build says.
fn build_files(name: &ServiceName, build: &Build) -> Result<Option<BuildFiles>> {
    let BuildContext::Directory(directory) = &build.context else {
        return Ok(None);
    };
    for path in ignore_files_of(build) {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                let message = format!("service {name}: cannot read {}", path.display());
                return Err(Error::new(message).because(error));
            }
        };
        let read = BuildFiles::new(directory, &text);
        return read.map(Some).map_err(|source| {
            let error = RuleError::DockerIgnore {
                service: name.clone(),
                path,
                source,
            };
            bad(&error).because(error)
        });
    }
    Ok(None)
}

/// What is mounted into the container is the same there already.
fn is_bind_mounted(path: &Path, mounts: &[Mount]) -> bool {
    mounts.iter().any(|mount| match &mount.source {
        MountSource::Bind { path: source, .. } => path.starts_with(source),
        _ => false,
    })
}

fn dockerfile_name(service: &Service) -> Option<String> {
    match &service.build.as_ref()?.dockerfile {
        Dockerfile::File(file) => Some(Path::new(file).file_name()?.to_string_lossy().into_owned()),
        Dockerfile::Inline(_) => None,
    }
}
