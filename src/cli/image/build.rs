//! `stack image build`.

use std::fs;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::reference;
use crate::build::ignore::file_names;
use crate::build::{
    AgentSource, Builder, DockerfileText, NamedContext, NetworkChoice, NoCache, Output, Request,
    Secret, SecretText, unpack_context,
};
use crate::build::{CacheSource, CacheTarget, Remote, Scratch, SpecError};
use crate::cli::build_drive::build;
use crate::cli::build_phase::INLINE;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::remote::fetch;
use crate::ui::ProgressMode;

/// More than any Dockerfile has.
const DOCKERFILE_MAX: u64 = 64 << 20;

/// Flags of `image build`.
#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Directory with the files that are copied; `-`: none, the Dockerfile comes from standard
    /// input.
    #[arg(value_name = "PATH")]
    context: PathBuf,
    /// The Dockerfile; `PATH/Dockerfile` unless given; `-` is standard input.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Name of the image; can be given several times.
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    tags: Vec<String>,
    /// Stage to build; the last unless given.
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Value of a build argument; without `=VALUE` the one of the environment.
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    build_args: Vec<String>,
    /// A further context: a directory, or `docker-image://NAME`.
    #[arg(long = "build-context", value_name = "NAME=PATH")]
    build_contexts: Vec<String>,
    /// A secret for steps that ask for it: `id=NAME,src=FILE` or `id=NAME,env=VARIABLE`.
    #[arg(long = "secret", value_name = "SPEC")]
    secrets: Vec<String>,
    /// An ssh agent for steps that ask for it: `default`, `NAME=SOCKET`, or `NAME=KEY,…` (private keys).
    #[arg(long, value_name = "SPEC")]
    ssh: Vec<String>,
    /// What the image is for: `os/architecture[/variant]`.
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// A label for the image.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// A line for `/etc/hosts` of the steps: `name:address` or `name=address`.
    #[arg(long = "add-host", value_name = "NAME:ADDRESS")]
    add_hosts: Vec<String>,
    /// The network of the steps: `default`, `none` or `host`.
    #[arg(
        long,
        value_name = "MODE",
        default_value = "default",
        hide_default_value = true
    )]
    network: String,
    /// Do not use what earlier builds have made.
    #[arg(long)]
    no_cache: bool,
    /// Do not use what earlier builds have made of these stages.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Results of builds on other machines: `REFERENCE`, `type=registry,ref=…` or `type=local,src=…`.
    #[arg(long, value_name = "PLACE")]
    cache_from: Vec<String>,
    /// Where the results of this build go: as above, `type=local,dest=…`, or `type=inline`; with
    /// `mode=max` those of all steps.
    #[arg(long, value_name = "PLACE")]
    cache_to: Vec<String>,
    /// Fetch base images even if they are here.
    #[arg(long)]
    pull: bool,
    /// Write the image's id to this file.
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Print the image's id only.
    #[arg(short, long)]
    quiet: bool,
    /// How progress is shown.
    #[arg(long, value_enum, value_name = "MODE")]
    progress: Option<ProgressMode>,
    /// Write the files of the image: a directory, `-` for an archive on standard output, or
    /// `type=local|tar,dest=PATH`.
    #[arg(short, long, value_name = "SPEC")]
    output: Option<String>,
    /// Size of `/dev/shm` of the steps.
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<String>,
    /// Limit of memory of each step.
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<String>,
    /// A limit of the steps: `name=soft[:hard]`.
    #[arg(long = "ulimit", value_name = "LIMIT")]
    ulimits: Vec<String>,
    /// What steps may ask for: `security.insecure`, `network.host`.
    #[arg(long = "allow", value_name = "RIGHT")]
    allow: Vec<String>,
}

impl Build {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image build")?;
        context.require_root()?;
        let mode = match self.quiet {
            true => ProgressMode::Quiet,
            false => self.progress.unwrap_or(context.progress_mode()),
        };
        let output = self.output.as_deref().map(output).transpose()?.flatten();
        let sources = self.sources(context)?;
        let request = self.request(context, &sources)?;
        let images = build(context, std::slice::from_ref(&request), mode)?;
        let Some(image) = images.first() else {
            return Ok(());
        };
        if let Some(path) = &self.iidfile {
            fs::write(path, image.id.to_string()).map_err(|error| {
                Error::new(format!("cannot write {}", path.display())).because(error)
            })?;
        }
        if let Some(output) = &output {
            return export(context, image, output);
        }
        if self.quiet || request.names.is_empty() {
            writeln!(io::stdout(), "{}", image.id)?;
        }
        Ok(())
    }

    fn request(&self, context: &Context, sources: &Sources) -> Result<Request> {
        let (no_cache, stages) = (self.no_cache, &self.no_cache_filter);
        Ok(Request {
            title: None,
            context: sources.context.clone(),
            dockerfile: sources.dockerfile.clone(),
            names: self
                .tags
                .iter()
                .map(|tag| reference(tag))
                .collect::<Result<_>>()?,
            target: self.target.clone(),
            args: self
                .build_args
                .iter()
                .filter_map(|text| argument(text, context))
                .collect(),
            contexts: self
                .build_contexts
                .iter()
                .map(|text| named_context(text))
                .collect::<Result<_>>()?,
            secrets: self
                .secrets
                .iter()
                .map(|text| secret(text, context))
                .collect::<Result<_>>()?,
            agents: self
                .ssh
                .iter()
                .map(|text| agent(text, context))
                .collect::<Result<_>>()?,
            platform: self.platform.clone(),
            labels: self
                .labels
                .iter()
                .map(|text| match text.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    None => (text.clone(), String::new()),
                })
                .collect(),
            network: network(&self.network)?,
            extra_hosts: self
                .add_hosts
                .iter()
                .map(|text| host(text))
                .collect::<Result<_>>()?,
            shm_size: self.shm_size.as_deref().map(bytes).transpose()?,
            memory: self.memory.as_deref().map(bytes).transpose()?,
            ulimits: self
                .ulimits
                .iter()
                .map(|text| ulimit(text))
                .collect::<Result<_>>()?,
            insecure: self.allow.iter().any(|right| right == "security.insecure"),
            no_cache: match (no_cache, stages.is_empty()) {
                (true, _) => NoCache::Everything,
                (false, false) => NoCache::Stages(stages.clone()),
                (false, true) => NoCache::Nothing,
            },
            cache_from: self
                .cache_from
                .iter()
                .map(|text| CacheSource::parse(text).map_err(unusable))
                .collect::<Result<_>>()?,
            cache_to: self.cache_targets()?,
            scratch: sources.scratch.clone(),
            pull: self.pull,
            epoch: epoch(context)?,
            checks: None,
        })
    }

    fn cache_targets(&self) -> Result<Vec<CacheTarget>> {
        let given = self.cache_to.iter();
        let targets = given.map(|text| CacheTarget::parse(text).map_err(unusable));
        let mut targets = targets.collect::<Result<Vec<_>>>()?;
        if self
            .build_args
            .iter()
            .any(|arg| arg == "BUILDKIT_INLINE_CACHE=1")
        {
            targets.push(INLINE);
        }
        Ok(targets)
    }

    /// The context's directory and the Dockerfile.
    fn sources(&self, context: &Context) -> Result<Sources> {
        if self.context.as_os_str() == "-" {
            return self.piped(context);
        }
        let address = self.context.to_str().filter(|_| !self.context.exists());
        if let Some(address) = address.filter(|text| Remote::parse(text).is_some()) {
            return self.remote(context, address);
        }
        if !self.context.is_dir() {
            return Err(Error::new(format!(
                "the build context {} is not a directory",
                self.context.display()
            )));
        }
        let dockerfile = match &self.file {
            Some(file) if file.as_os_str() == "-" => DockerfileText {
                path: PathBuf::from("Dockerfile"),
                bytes: read_stdin()?,
                ignore: ignore_file(&self.context, None),
            },
            file => dockerfile(&self.context, file.as_deref())?,
        };
        Ok(Sources {
            context: Some(self.context.clone()),
            dockerfile,
            scratch: Vec::new(),
        })
    }

    /// The context is on another machine.
    fn remote(&self, context: &Context, address: &str) -> Result<Sources> {
        let keep = "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1";
        let fetched = fetch(
            context,
            address,
            self.build_args.iter().any(|arg| arg == keep),
        )?;
        let dockerfile = match fetched.dockerfile {
            Some(bytes) => DockerfileText {
                path: address.into(),
                bytes,
                ignore: String::new(),
            },
            None => {
                let file = self
                    .file
                    .as_deref()
                    .map(|file| fetched.directory.join(file));
                dockerfile(&fetched.directory, file.as_deref())?
            }
        };
        Ok(Sources {
            context: Some(fetched.directory),
            dockerfile,
            scratch: vec![fetched.scratch],
        })
    }

    /// Standard input is a Dockerfile, or an archive with the whole context.
    fn piped(&self, context: &Context) -> Result<Sources> {
        let fault = |error: io::Error| Error::new("cannot read standard input").because(error);
        let path = context
            .paths
            .run()
            .join(format!("context-{:08x}", fastrand::u32(..)));
        let scratch = Scratch::new(path.clone()).map_err(fault)?;
        let directory = path.join("files");
        fs::create_dir(&directory).map_err(fault)?;
        let copy = path.join("stdin");
        let mut file = fs::File::create(&copy).map_err(fault)?;
        io::copy(&mut io::stdin().lock(), &mut file).map_err(fault)?;
        let file = fs::File::open(&copy).map_err(fault)?;
        let is_archive = unpack_context(file, &directory)
            .map_err(|error| Error::new("cannot unpack the build context").because(error))?;
        if is_archive {
            let file = self.file.as_deref().map(|file| directory.join(file));
            return Ok(Sources {
                dockerfile: dockerfile(&directory, file.as_deref())?,
                context: Some(directory),
                scratch: vec![Arc::new(scratch)],
            });
        }
        Ok(Sources {
            context: None,
            dockerfile: DockerfileText {
                path: PathBuf::from("Dockerfile"),
                bytes: fs::read(&copy).map_err(fault)?,
                ignore: String::new(),
            },
            scratch: Vec::new(),
        })
    }
}

/// Where files and instructions come from.
struct Sources {
    context: Option<PathBuf>,
    dockerfile: DockerfileText,
    scratch: Vec<Arc<Scratch>>,
}

fn export(context: &Context, image: &crate::image::Image, output: &Output) -> Result<()> {
    let fault = |error: crate::build::Error| {
        Error::new("cannot write the files of the image").because(error)
    };
    let exe = std::env::current_exe()
        .map_err(|error| Error::new("cannot find this program").because(error))?;
    let builder = Builder::open(&context.paths, &exe, context.registries()).map_err(fault)?;
    builder.export(image, output).map_err(fault)
}

/// Reads `--output`; `None` = the store, where images go in any case.
fn output(text: &str) -> Result<Option<Output>> {
    let wrong = || {
        Error::new(format!("`{text}` is no output"))
            .hint("write it as a directory, `-`, or `type=local,dest=DIR`, `type=tar,dest=FILE`")
    };
    if text == "-" {
        return Ok(Some(Output::Archive(None)));
    }
    if !text.contains('=') {
        return Ok(Some(Output::Directory(text.into())));
    }
    let (mut kind, mut target) = (None, None);
    for part in text.split(',') {
        match part.split_once('=').ok_or_else(wrong)? {
            ("type", value) => kind = Some(value),
            ("dest", value) => target = Some(value),
            _ => {}
        }
    }
    match (kind, target) {
        (Some("image" | "docker"), None) => Ok(None),
        (Some("local"), Some(path)) => Ok(Some(Output::Directory(path.into()))),
        (Some("tar"), None | Some("-")) => Ok(Some(Output::Archive(None))),
        (Some("tar"), Some(path)) => Ok(Some(Output::Archive(Some(path.into())))),
        _ => Err(wrong()),
    }
}

/// Reads a Dockerfile and the patterns that go with it; `None` = the context's `Dockerfile`.
pub(crate) fn dockerfile(context: &Path, file: Option<&Path>) -> Result<DockerfileText> {
    let path = match file {
        Some(file) => file.to_owned(),
        None => context.join("Dockerfile"),
    };
    let bytes = fs::File::open(&path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(DOCKERFILE_MAX)
            .read_to_end(&mut bytes)
            .map(|_| bytes)
    });
    let bytes = bytes.map_err(|error| {
        let found = Error::new(format!("cannot read the Dockerfile {}", path.display()));
        match error.kind() {
            std::io::ErrorKind::NotFound => found.because(error).hint(
                "write one, or name the file that is one: `build.dockerfile` of the service, `--file` of `image build`",
            ),
            _ => found.because(error),
        }
    })?;
    Ok(DockerfileText {
        ignore: ignore_file(context, Some(&path)),
        bytes,
        path,
    })
}

fn ignore_file(context: &Path, dockerfile: Option<&Path>) -> String {
    let name = dockerfile.map(|path| path.to_string_lossy().into_owned());
    let [own, shared] = file_names(name.as_deref().unwrap_or("Dockerfile"));
    let own = name.and_then(|_| fs::read_to_string(own).ok());
    own.or_else(|| fs::read_to_string(context.join(shared)).ok())
        .unwrap_or_default()
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(DOCKERFILE_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::new("cannot read standard input").because(error))?;
    Ok(bytes)
}

/// `NAME=VALUE`, or `NAME` with the value of the environment; `None` = it has none there.
pub(crate) fn argument(text: &str, context: &Context) -> Option<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.to_owned(), context.env(text)?)),
    }
}

fn named_context(text: &str) -> Result<(String, NamedContext)> {
    let (name, value) = text.split_once('=').ok_or_else(|| {
        Error::new(format!("`{text}` is no context")).hint("write it as NAME=PATH")
    })?;
    Ok((name.to_owned(), context_of(value)))
}

/// What the value of a named context means.
pub(crate) fn context_of(value: &str) -> NamedContext {
    match value.strip_prefix("docker-image://") {
        Some(image) => NamedContext::Image(image.to_owned()),
        None => NamedContext::Directory(value.into()),
    }
}

fn secret(text: &str, context: &Context) -> Result<(String, Secret)> {
    let wrong = || {
        Error::new(format!("`{text}` is no secret"))
            .hint("write it as id=NAME,src=FILE or id=NAME,env=VARIABLE")
    };
    let (mut id, mut file, mut variable) = (None, None, None);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(wrong)?;
        match key {
            "id" => id = Some(value.to_owned()),
            "src" | "source" => file = Some(PathBuf::from(value)),
            "env" => variable = Some(value.to_owned()),
            "type" => {}
            _ => return Err(wrong()),
        }
    }
    let id = id.ok_or_else(wrong)?;
    let from_env = |name: &str| {
        let value = context.env(name);
        value.map(|value| Secret::Value(SecretText(value.into_bytes())))
    };
    let value = match (file, variable) {
        (Some(file), _) => Secret::File(file),
        (None, Some(name)) => from_env(&name)
            .ok_or_else(|| Error::new(format!("secret {id}: the variable {name} is not set")))?,
        // As Docker: a variable of that name, else a file.
        (None, None) => from_env(&id).unwrap_or_else(|| Secret::File(PathBuf::from(&id))),
    };
    Ok((id, value))
}

/// `default`, `NAME`, `NAME=SOCKET`, or `NAME=KEY[,KEY…]`.
pub(crate) fn agent(text: &str, context: &Context) -> Result<(String, AgentSource)> {
    if let Some((name, paths)) = text.split_once('=') {
        return Ok((name.to_owned(), agent_at(paths)?));
    }
    let socket = context.env("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
    let socket = socket.ok_or_else(|| {
        Error::new("there is no ssh agent: SSH_AUTH_SOCK is not set").hint(
            "start one with `eval $(ssh-agent)`, or name its socket or a key: --ssh default=PATH",
        )
    })?;
    Ok((text.to_owned(), AgentSource::Socket(socket.into())))
}

/// The agent at a socket, or one with the keys of files, between which are commas.
pub(crate) fn agent_at(paths: &str) -> Result<AgentSource> {
    let paths: Vec<PathBuf> = paths.split(',').map(PathBuf::from).collect();
    let is_socket = |path: &PathBuf| {
        let found = std::fs::metadata(path);
        found.is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()))
    };
    match &paths[..] {
        [socket] if is_socket(socket) => Ok(AgentSource::Socket(socket.clone())),
        paths if paths.iter().any(is_socket) => Err(Error::new(
            "an ssh agent's socket stands alone: it cannot be given together with keys",
        )),
        _ => Ok(AgentSource::Keys(paths)),
    }
}

/// `default`, `bridge`, `none`, `host`.
pub(crate) fn network(text: &str) -> Result<NetworkChoice> {
    match text {
        "" | "default" | "bridge" => Ok(NetworkChoice::Default),
        "none" => Ok(NetworkChoice::None),
        "host" => Ok(NetworkChoice::Host),
        other => Err(
            Error::new(format!("steps cannot be on the network `{other}`"))
                .hint("use `default`, `none` or `host`"),
        ),
    }
}

fn host(text: &str) -> Result<(String, String)> {
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) = parts.ok_or_else(|| {
        Error::new(format!("`{text}` is no host")).hint("write it as NAME:ADDRESS")
    })?;
    Ok((name.to_owned(), address.to_owned()))
}

fn unusable(error: SpecError) -> Error {
    Error::new("the build cache cannot be used").because(error)
}

fn bytes(text: &str) -> Result<u64> {
    crate::compose::parse_bytes(text).ok_or_else(|| {
        Error::new(format!("`{text}` is no size")).hint("write it like `64m` or `1g`")
    })
}

fn ulimit(text: &str) -> Result<(String, i64, i64)> {
    let parsed = || {
        let (name, limits) = text.split_once('=')?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        Some((name.to_owned(), soft.parse().ok()?, hard.parse().ok()?))
    };
    parsed().ok_or_else(|| {
        Error::new(format!("`{text}` is no limit")).hint("write it as `nofile=1024:2048`")
    })
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org).
pub(crate) fn epoch(context: &Context) -> Result<Option<i64>> {
    let Some(text) = context
        .env("SOURCE_DATE_EPOCH")
        .filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    match text.parse::<i64>() {
        Ok(seconds) if seconds >= 0 => Ok(Some(seconds)),
        _ => Err(Error::new(format!(
            "SOURCE_DATE_EPOCH is `{text}`, which is no number of seconds"
        ))),
    }
}
