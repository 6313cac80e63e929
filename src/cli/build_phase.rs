//! The images of services that are built: which, how, and when.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::build_drive::build;
use super::context::Context;
use super::error::{Error, Result};
use super::image::build::{agent, context_of, dockerfile, epoch, network};
use super::image_phase::image_text;
use crate::build::service::{Limit, ServiceBuild, StackBuilds, StackSecret, text_of};
use crate::build::{DockerfileText, NamedContext, NoCache, Request, Secret, SecretText};
use crate::compose::model::{PullPolicy, ServiceName, Stack};
use crate::compose::{Loaded, load, render};
use crate::image::{Image, Reference};
use crate::ui::{ProgressMode, Terminal};

/// Which images are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Those that are not here, and those whose `pull_policy` says it.
    Missing,
    /// All of them.
    Always,
    /// None.
    Never,
}

impl When {
    /// `--build`, `--no-build`.
    pub(crate) fn of(build: bool, no_build: bool) -> Self {
        match (build, no_build) {
            (_, true) => Self::Never,
            (true, _) => Self::Always,
            _ => Self::Missing,
        }
    }
}

/// Gives services that are built, and whose image has no name, the name that it is built under.
pub(crate) fn name_built(stack: &mut Stack) {
    let project = stack.name.to_string();
    for (name, service) in &mut stack.services {
        if service.image.is_none() && service.has_build {
            service.image = Some(image_text(&project, name, service));
        }
    }
}

/// What the command line says beyond the stack file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extra {
    /// `--build-arg`.
    pub(crate) args: Vec<(String, String)>,
    /// `--ssh`.
    pub(crate) ssh: Vec<String>,
    /// `--no-cache`.
    pub(crate) no_cache: bool,
    /// `--pull`.
    pub(crate) pull: bool,
    /// `--memory`, in bytes.
    pub(crate) memory: Option<u64>,
}

/// Reads what is to be built from a stack file; services without the profiles that are on, too.
pub(crate) fn builds_of(context: &Context, loaded: &Loaded, stack: &Stack) -> Result<StackBuilds> {
    let wrong = |error| Error::new("cannot read `build` of the services").because(error);
    let found = StackBuilds::parse(&render::to_json(loaded)).map_err(wrong)?;
    let complete = stack
        .services
        .iter()
        .filter(|(_, service)| service.has_build)
        .all(|(name, _)| found.builds.contains_key(name.as_str()));
    if complete {
        return Ok(found);
    }
    let mut options = context.load_options()?;
    options.profiles = vec!["*".to_owned()];
    let all = load(&context.source, &options)?;
    StackBuilds::parse(&render::to_json(&all)).map_err(wrong)
}

/// Builds the images of the selected services that have to be built.
pub(crate) fn build_needed(
    context: &Context,
    loaded: &Loaded,
    (stack, services): (&Stack, &[ServiceName]),
    (when, mode): (When, ProgressMode),
) -> Result<()> {
    let buildable: Vec<&ServiceName> = services
        .iter()
        .filter(|name| {
            let service = stack.services.get(*name);
            service.is_some_and(|service| service.has_build)
        })
        .collect();
    if buildable.is_empty() || when == When::Never {
        return Ok(());
    }
    let store = context.images()?;
    let mut wanted = Vec::new();
    for name in buildable {
        let Some(service) = stack.services.get(name) else {
            continue;
        };
        let text = image_text(stack.name.as_str(), name, service);
        let here = match text.parse::<Reference>() {
            Ok(reference) => store.get(&reference)?.is_some(),
            Err(_) => false,
        };
        if when == When::Always || !here || service.pull_policy == PullPolicy::Build {
            wanted.push(name.clone());
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let builds = builds_of(context, loaded, stack)?;
    let requests = requests(context, (stack, &builds), &wanted, &Extra::default())?;
    build_and_say(context, &requests, mode).map(drop)
}

/// Builds, and says in Docker Compose's words what was built.
pub(crate) fn build_and_say(
    context: &Context,
    requests: &[Request],
    mode: ProgressMode,
) -> Result<Vec<Image>> {
    let images = build(context, requests, mode)?;
    if mode != ProgressMode::Quiet {
        for request in requests {
            if let Some(name) = request.names.first() {
                Terminal::say(&format!("Image {} Built", name.familiar()));
            }
        }
    }
    Ok(images)
}

/// The requests for services, and for those whose images their builds need.
pub(crate) fn requests(
    context: &Context,
    (stack, builds): (&Stack, &StackBuilds),
    services: &[ServiceName],
    extra: &Extra,
) -> Result<Vec<Request>> {
    let mut rest: Vec<String> = services.iter().map(ToString::to_string).collect();
    let mut names: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = rest.pop() {
        let Some(build) = builds.builds.get(&name) else {
            continue;
        };
        if !names.insert(name) {
            continue;
        }
        let others = build.additional_contexts.values();
        rest.extend(others.filter_map(|value| Some(value.strip_prefix("service:")?.to_owned())));
    }
    // In the order of the stack file.
    let chosen = builds
        .builds
        .iter()
        .filter(|(name, _)| names.contains(*name));
    chosen
        .map(|(name, build)| {
            let service = Service {
                context,
                stack,
                name,
                build,
                secrets: &builds.secrets,
                extra,
            };
            service.request()
        })
        .collect()
}

/// One service on its way to a request.
struct Service<'a> {
    context: &'a Context,
    stack: &'a Stack,
    name: &'a str,
    build: &'a ServiceBuild,
    secrets: &'a IndexMap<String, StackSecret>,
    extra: &'a Extra,
}

impl Service<'_> {
    fn request(&self) -> Result<Request> {
        let (build, extra) = (self.build, self.extra);
        let insecure = build.privileged
            || build
                .entitlements
                .iter()
                .any(|right| right == "security.insecure");
        let no_cache = match (build.no_cache || extra.no_cache, &build.no_cache_filter) {
            (true, _) => NoCache::Everything,
            (false, stages) if !stages.is_empty() => NoCache::Stages(stages.clone()),
            _ => NoCache::Nothing,
        };
        let mut labels: Vec<(String, String)> = build
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), value.as_ref().map_or(String::new(), text_of)))
            .collect();
        for (key, value) in [
            ("project", self.stack.name.as_str()),
            ("service", self.name),
            ("version", env!("CARGO_PKG_VERSION")),
        ] {
            labels.push((format!("com.docker.compose.{key}"), value.to_owned()));
        }
        let directory = self.directory()?;
        Ok(Request {
            title: Some(self.name.to_owned()),
            dockerfile: self.dockerfile(&directory)?,
            context: Some(directory),
            names: self.names()?,
            target: build.target.clone(),
            args: self.args(),
            contexts: build
                .additional_contexts
                .iter()
                .map(|(name, value)| (name.clone(), additional(value)))
                .collect(),
            secrets: build
                .secrets
                .iter()
                .map(|used| self.secret(&used.source, used.target.as_deref()))
                .collect::<Result<_>>()?,
            agents: build
                .ssh
                .iter()
                .chain(&extra.ssh)
                .map(|text| agent(text, self.context))
                .collect::<Result<_>>()?,
            platform: self.platform(),
            labels,
            network: network(build.network.as_deref().unwrap_or_default())?,
            extra_hosts: build
                .extra_hosts
                .iter()
                .filter_map(|line| host(line))
                .collect(),
            shm_size: build
                .shm_size
                .as_ref()
                .and_then(|size| text_of(size).parse().ok()),
            ulimits: build
                .ulimits
                .iter()
                .map(|(name, limit)| match limit {
                    Limit::Single(limit) => (name.clone(), *limit, *limit),
                    Limit::Both { soft, hard } => (name.clone(), *soft, *hard),
                })
                .collect(),
            memory: extra.memory,
            insecure,
            no_cache,
            pull: build.pull || extra.pull,
            epoch: epoch(self.context)?,
            checks: None,
        })
    }

    fn directory(&self) -> Result<PathBuf> {
        let text = &self.build.context;
        let path = Path::new(text);
        if path.is_dir() {
            return Ok(path.to_owned());
        }
        let remote = text.contains("://") || text.starts_with("git@") || text.contains(".git#");
        let error = match remote {
            true => Error::new(format!(
                "service {}: the build context {text} is on another machine, which cannot be fetched",
                self.name
            ))
            .hint("clone or unpack it first, and name the directory"),
            false => Error::new(format!(
                "service {}: the build context {text} is not a directory",
                self.name
            )),
        };
        Err(error)
    }

    fn dockerfile(&self, directory: &Path) -> Result<DockerfileText> {
        if let Some(text) = &self.build.dockerfile_inline {
            let ignore = std::fs::read_to_string(directory.join(".dockerignore"));
            return Ok(DockerfileText {
                path: PathBuf::from(format!("services.{}.build.dockerfile_inline", self.name)),
                bytes: text.clone().into_bytes(),
                ignore: ignore.unwrap_or_default(),
            });
        }
        let file = self.build.dockerfile.as_deref().unwrap_or("Dockerfile");
        dockerfile(directory, Some(&directory.join(file)))
    }

    fn names(&self) -> Result<Vec<Reference>> {
        let service = self
            .stack
            .services
            .get(self.name)
            .or_else(|| self.stack.disabled_services.get(self.name));
        let main = service.map(|service| {
            let name = ServiceName::new(self.name);
            image_text(self.stack.name.as_str(), &name, service)
        });
        main.iter()
            .chain(&self.build.tags)
            .map(|text| {
                text.parse().map_err(|error| {
                    Error::new(format!("service {}: bad image name", self.name)).because(error)
                })
            })
            .collect()
    }

    fn args(&self) -> IndexMap<String, String> {
        let of_file = self.build.args.iter().filter_map(|(name, value)| {
            let value = match value {
                Some(value) => text_of(value),
                None => self.context.env(name)?,
            };
            Some((name.clone(), value))
        });
        of_file.chain(self.extra.args.iter().cloned()).collect()
    }

    fn secret(&self, source: &str, target: Option<&str>) -> Result<(String, Secret)> {
        let name = target.unwrap_or(source).to_owned();
        let missing = || {
            Error::new(format!(
                "service {}: the secret {source} is not in the stack file",
                self.name
            ))
        };
        let secret = self.secrets.get(source).ok_or_else(missing)?;
        let value = match (&secret.file, &secret.environment, &secret.content) {
            (Some(file), ..) => Secret::File(file.clone()),
            (None, Some(variable), _) => {
                let value = self.context.env(variable).ok_or_else(|| {
                    Error::new(format!(
                        "service {}: secret {source}: the variable {variable} is not set",
                        self.name
                    ))
                })?;
                Secret::Value(SecretText(value.into_bytes()))
            }
            (None, None, Some(text)) => Secret::Value(SecretText(text.clone().into_bytes())),
            (None, None, None) => return Err(missing()),
        };
        Ok((name, value))
    }

    /// The service's own platform, else the one of the list that this machine is, else its first.
    fn platform(&self) -> Option<String> {
        let service = self.stack.services.get(self.name);
        let own = service.and_then(|service| service.platform.clone());
        let this = crate::image::Platform::this().to_string();
        let listed = &self.build.platforms;
        own.or_else(|| {
            listed
                .iter()
                .find(|platform| this.starts_with(*platform))
                .cloned()
        })
        .or_else(|| listed.first().cloned())
    }
}

fn additional(value: &str) -> NamedContext {
    match value.strip_prefix("service:") {
        Some(service) => NamedContext::Request(service.to_owned()),
        None => context_of(value),
    }
}

fn host(line: &str) -> Option<(String, String)> {
    let (name, address) = line.split_once('=').or_else(|| line.split_once(':'))?;
    Some((name.to_owned(), address.to_owned()))
}
