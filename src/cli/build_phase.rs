//! The images of services that are built: which, how, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use super::bake::labels;
use super::build_drive::build;
use super::context::Context;
use super::drive::warn;
use super::error::{Error, Result};
use super::image::build::{agent, agent_at, dockerfile, epoch, network};
use super::image_phase::image_text;
use super::remote::{Fetched, fetch};
use crate::build::{
    AgentSource, CachePlace, CacheSource, CacheTarget, DockerfileText, NamedContext, NoCache,
    Request, Scratch, Secret, SecretText,
};
use crate::compose::model::{
    Build, BuildContext, Dockerfile, FileSource, FileUse, PullPolicy, Service as Model,
    ServiceName, SshKey, Stack,
};
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
    let built = stack.services.iter();
    let built = built.filter(|(_, service)| service.image.is_none() && service.has_build);
    let names: Vec<(ServiceName, String)> = built
        .map(|(name, service)| (name.clone(), image_text(stack, name, service)))
        .collect();
    for (service, image) in names {
        if let Some(service) = stack.services.get_mut(&service) {
            service.image = Some(image);
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

/// Builds the images of the selected services that have to be built.
pub(crate) fn build_needed(
    context: &Context,
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
    context.hold_images()?;
    let store = context.images()?;
    let mut wanted = Vec::new();
    for name in buildable {
        let Some(service) = stack.services.get(name) else {
            continue;
        };
        let text = image_text(stack, name, service);
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
    let requests = requests(context, stack, &wanted, &Extra::default())?;
    build_and_say(context, (stack, &requests), mode).map(drop)
}

/// Builds, and says in Docker Compose's words, quiet or not, what is built. What is drawn on a terminal
/// shows that it is being built.
pub(crate) fn build_and_say(
    context: &Context,
    (stack, requests): (&Stack, &[Request]),
    mode: ProgressMode,
) -> Result<Vec<Image>> {
    let names: Vec<String> = requests
        .iter()
        .filter_map(|request| {
            let title = request.title.as_deref()?;
            let mut all = stack.services.iter().chain(&stack.disabled_services);
            let (name, service) = all.find(|(name, _)| name.as_str() == title)?;
            Some(image_text(stack, name, service))
        })
        .collect();
    let say = |state: &str| {
        for name in &names {
            Terminal::say(&format!(" Image {name} {state} "));
        }
    };
    if !context.terminal.live {
        say("Building");
    }
    let images = build(context, requests, mode)?;
    say("Built");
    Ok(images)
}

/// These services and those whose images their builds need, in the order of the stack file.
pub(crate) fn with_needed(stack: &Stack, services: &[ServiceName]) -> Vec<ServiceName> {
    let all = || stack.services.iter().chain(&stack.disabled_services);
    let mut rest: Vec<ServiceName> = services.to_vec();
    let mut names: BTreeSet<ServiceName> = BTreeSet::new();
    while let Some(name) = rest.pop() {
        let found = all().find(|(known, _)| **known == name);
        let Some(build) = found.and_then(|(_, service)| service.build.as_ref()) else {
            continue;
        };
        if names.insert(name) {
            rest.extend(build.additional_contexts.values().filter_map(needed));
        }
    }
    let chosen = all()
        .map(|(name, _)| name)
        .filter(|name| names.contains(*name));
    chosen.cloned().collect()
}

/// The requests for services, and for those whose images their builds need.
pub(crate) fn requests(
    context: &Context,
    stack: &Stack,
    services: &[ServiceName],
    extra: &Extra,
) -> Result<Vec<Request>> {
    let names = with_needed(stack, services);
    let all = stack.services.iter().chain(&stack.disabled_services);
    let chosen = all.filter(|(name, _)| names.contains(*name));
    chosen
        .filter_map(|(name, model)| {
            let build = model.build.as_ref()?;
            let service = Service {
                context,
                stack,
                name,
                model,
                build,
                extra,
            };
            Some(service.request())
        })
        .collect()
}

/// The service whose image a context is.
fn needed(context: &BuildContext) -> Option<ServiceName> {
    match context {
        BuildContext::Service(name) => Some(name.clone()),
        _ => None,
    }
}

/// Records of steps in the image itself.
pub(crate) const INLINE: CacheTarget = CacheTarget {
    place: CachePlace::Inline,
    all: false,
    ignore_error: false,
};

/// One service on its way to a request.
struct Service<'a> {
    context: &'a Context,
    stack: &'a Stack,
    name: &'a ServiceName,
    model: &'a Model,
    build: &'a Build,
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
        let mut scratch = Vec::new();
        let (directory, dockerfile) = self.sources_of(&mut scratch)?;
        let mut contexts = BTreeMap::new();
        for (name, value) in &build.additional_contexts {
            contexts.insert(name.clone(), self.additional(value, &mut scratch)?);
        }
        let mut args: IndexMap<String, String> = build.args.clone();
        args.extend(extra.args.iter().cloned());
        Ok(Request {
            title: Some(self.name.to_string()),
            dockerfile,
            context: Some(directory),
            names: self.names()?,
            target: build.target.clone(),
            args,
            contexts,
            secrets: build
                .secrets
                .iter()
                .map(|used| self.secret(used))
                .collect::<Result<_>>()?,
            agents: self.agents()?,
            platform: self.platform(),
            labels: labels(self.stack, (self.name, build)),
            network: network(build.network.as_deref().unwrap_or_default())?,
            extra_hosts: build.extra_hosts.clone(),
            shm_size: build.shm_size,
            ulimits: build
                .ulimits
                .iter()
                .map(|(name, limit)| (name.clone(), limit.soft, limit.hard))
                .collect(),
            memory: extra.memory,
            insecure,
            no_cache,
            cache_from: self.caches(),
            cache_to: self.targets()?,
            scratch,
            pull: build.pull || extra.pull,
            epoch: epoch(self.context)?,
            checks: None,
        })
    }

    /// Caches to read. One that cannot be used is told, and the steps are done here.
    fn caches(&self) -> Vec<CacheSource> {
        let mut sources = Vec::new();
        for text in &self.build.cache_from {
            match CacheSource::parse(text) {
                Ok(CacheSource::Directory(path)) => {
                    sources.push(CacheSource::Directory(self.stack.working_dir.join(path)));
                }
                Ok(source) => sources.push(source),
                Err(error) => warn(
                    &format!("service {}: cache_from: {error}", self.name),
                    self.context.terminal.stderr,
                ),
            }
        }
        sources
    }

    fn targets(&self) -> Result<Vec<CacheTarget>> {
        let mut targets = Vec::new();
        for text in &self.build.cache_to {
            let mut target = CacheTarget::parse(text).map_err(|error| {
                Error::new(format!("service {}: cache_to cannot be done", self.name)).because(error)
            })?;
            if let CachePlace::Directory(path) = &mut target.place {
                *path = self.stack.working_dir.join(&*path);
            }
            targets.push(target);
        }
        // As BuildKit's front end has it.
        if self
            .build
            .args
            .get("BUILDKIT_INLINE_CACHE")
            .is_some_and(|value| value == "1")
        {
            targets.push(INLINE);
        }
        Ok(targets)
    }

    /// The context's directory and the Dockerfile.
    fn sources_of(&self, scratch: &mut Vec<Arc<Scratch>>) -> Result<(PathBuf, DockerfileText)> {
        if let BuildContext::Remote(text) = &self.build.context {
            let fetched = self.fetch(text)?;
            scratch.push(fetched.scratch);
            let dockerfile = match fetched.dockerfile {
                Some(bytes) => DockerfileText {
                    path: text.into(),
                    bytes,
                    ignore: String::new(),
                },
                None => self.dockerfile(&fetched.directory)?,
            };
            return Ok((fetched.directory, dockerfile));
        }
        let directory = self.directory()?;
        let dockerfile = self.dockerfile(&directory)?;
        Ok((directory, dockerfile))
    }

    fn fetch(&self, text: &str) -> Result<Fetched> {
        let kept = self.build.args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
        let keep = kept.is_some_and(|value| value == "1" || value == "true");
        fetch(self.context, text, keep)
    }

    fn directory(&self) -> Result<PathBuf> {
        match &self.build.context {
            BuildContext::Directory(path) if path.is_dir() => Ok(path.clone()),
            BuildContext::Directory(path) => Err(Error::new(format!(
                "service {}: the build context {} is not a directory",
                self.name,
                path.display()
            ))),
            _ => Err(Error::new(format!(
                "service {}: an image cannot be the main build context",
                self.name
            ))
            .hint("put it into `additional_contexts`")),
        }
    }

    fn dockerfile(&self, directory: &Path) -> Result<DockerfileText> {
        match &self.build.dockerfile {
            Dockerfile::File(file) => dockerfile(directory, Some(&directory.join(file))),
            Dockerfile::Inline(text) => {
                let ignore = std::fs::read_to_string(directory.join(".dockerignore"));
                Ok(DockerfileText {
                    path: format!("services.{}.build.dockerfile_inline", self.name).into(),
                    bytes: text.clone().into_bytes(),
                    ignore: ignore.unwrap_or_default(),
                })
            }
        }
    }

    fn names(&self) -> Result<Vec<Reference>> {
        let main = image_text(self.stack, self.name, self.model);
        std::iter::once(&main)
            .chain(&self.build.tags)
            .map(|text| {
                text.parse().map_err(|error| {
                    Error::new(format!("service {}: bad image name", self.name)).because(error)
                })
            })
            .collect()
    }

    fn additional(
        &self,
        context: &BuildContext,
        scratch: &mut Vec<Arc<Scratch>>,
    ) -> Result<NamedContext> {
        Ok(match context {
            BuildContext::Directory(path) => NamedContext::Directory(path.clone()),
            BuildContext::Service(name) => NamedContext::Request(name.to_string()),
            BuildContext::Image(reference) => NamedContext::Image(reference.clone()),
            BuildContext::Remote(text) => {
                let fetched = self.fetch(text)?;
                scratch.push(fetched.scratch);
                NamedContext::Directory(fetched.directory)
            }
        })
    }

    fn agents(&self) -> Result<std::collections::BTreeMap<String, AgentSource>> {
        let of_file = self.build.ssh.iter().map(|key: &SshKey| match &key.path {
            Some(paths) => Ok((key.id.clone(), agent_at(&paths.to_string_lossy())?)),
            None => agent(&key.id, self.context),
        });
        let given = self.extra.ssh.iter().map(|text| agent(text, self.context));
        of_file.chain(given).collect()
    }

    fn secret(&self, used: &FileUse) -> Result<(String, Secret)> {
        let missing = |why: &str| {
            Error::new(format!(
                "service {}: the secret {} {why}",
                self.name, used.source
            ))
        };
        let object = self.stack.secrets.get(&used.source);
        let value = match object.map(|object| &object.source) {
            Some(FileSource::File(path)) => Secret::File(path.clone()),
            Some(FileSource::Content(text)) => Secret::Value(SecretText(text.clone().into_bytes())),
            Some(FileSource::Environment { variable, value }) => match value {
                Some(value) => Secret::Value(SecretText(value.clone().into_bytes())),
                None => {
                    return Err(missing(&format!(
                        "is in the variable {variable}, which is not set"
                    )));
                }
            },
            Some(FileSource::External) => return Err(missing("is kept elsewhere")),
            None => return Err(missing("is not in the stack file")),
        };
        let id = match used.target.is_empty() {
            true => used.source.clone(),
            false => used.target.clone(),
        };
        Ok((id, value))
    }

    /// The service's own platform, else the one of the list that this machine is, else its first.
    fn platform(&self) -> Option<String> {
        let this = crate::image::Platform::this().to_string();
        let listed = &self.build.platforms;
        let fitting = || listed.iter().find(|platform| this.starts_with(*platform));
        self.model
            .platform
            .clone()
            .or_else(|| fitting().cloned())
            .or_else(|| listed.first().cloned())
    }
}
