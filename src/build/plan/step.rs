//! The plan: stages in the order they can be built, each a list of steps with nothing left to expand.

use indexmap::IndexMap;

use crate::build::dockerfile::instruction::{Network, Security};
use crate::compose::diagnostic::Span;
use crate::image::Healthcheck;

/// What is to be built.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The stages that the target needs, every one after those it needs itself; the last is the target.
    pub stages: Vec<Stage>,
    /// Build arguments that were given and that no `ARG` asks for.
    pub unused_args: Vec<String>,
}

/// A stage: its number in the Dockerfile, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StageId(pub usize);

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its number.
    pub id: StageId,
    /// Its name, in lower case.
    pub name: Option<String>,
    /// What it starts from.
    pub base: Origin,
    /// What its steps run as: `linux/amd64`.
    pub platform: String,
    /// The steps, those of the base image's `ONBUILD` first.
    pub steps: Vec<Step>,
    /// The configuration of an image that ends here.
    pub config: Config,
}

/// Where files come from: a stage's base, `COPY --from`, a mount's `from`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Nothing at all.
    Scratch,
    /// A stage of this plan, complete.
    Stage(StageId),
    /// An image.
    Image {
        /// Its name as written, variables expanded.
        reference: String,
        /// For which platform: `linux/amd64`.
        platform: String,
    },
    /// The build context.
    Context,
    /// A context that the caller named.
    Named(String),
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What is to be done.
    pub action: Action,
    /// Where it stands; for a base image's trigger: the `FROM`.
    pub span: Span,
    /// The instruction on one line, as progress shows it.
    pub text: String,
    /// What the image's history says of it, as BuildKit writes it; `None`: nothing (`ONBUILD`).
    pub history: Option<History>,
    /// Whether it is a trigger of the base image.
    pub trigger: bool,
}

/// An entry of an image's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The instruction, expanded: `RUN /bin/sh -c make # buildkit`.
    pub created_by: String,
    /// Whether the step makes no layer.
    pub empty_layer: bool,
}

/// What a step does. Steps other than `Run`, `Copy`, `Add` and `Workdir` change the configuration only,
/// which [`Stage::config`] has already in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Run a program.
    Run(Run),
    /// Copy files.
    Copy(Copy),
    /// Copy files, unpack archives, fetch URLs.
    Add(Add),
    /// Make a directory where there is none, with all above it.
    Workdir {
        /// Absolute, clean; never `/`.
        path: String,
        /// Whom what is made belongs to, as `USER` says it; empty = root.
        user: String,
    },
    /// Nothing to do: the configuration changed.
    Configure,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What is executed.
    pub program: Program,
    /// The environment: the image's variables and the build arguments in scope.
    pub env: IndexMap<String, String>,
    /// Proxies that the caller gave: added to the environment (they win), but no part of a cache key.
    pub proxies: IndexMap<String, String>,
    /// Absolute; `/` when none was set.
    pub workdir: String,
    /// As written; empty = root.
    pub user: String,
    /// In order.
    pub mounts: Vec<Mount>,
    /// Its network.
    pub network: Network,
    /// How far it is locked in.
    pub security: Security,
}

/// What is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// A program and its arguments; the shell is in it already.
    Arguments(Vec<String>),
    /// A script with a `#!` line: a file with mode 0755 at `/dev/pipes/<name>`, read-only, run without arguments.
    Script {
        /// Name of the file.
        name: String,
        /// Its content.
        content: String,
    },
}

/// Files to copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// Where the files come from.
    pub from: Origin,
    /// What is copied.
    pub transfer: Transfer,
    /// Whether the directories above a source are kept.
    pub parents: bool,
}

/// Files to add; local ones come from the build context.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    /// What is added.
    pub transfer: Transfer,
    /// `sha256:…`.
    pub checksum: Option<String>,
    /// Whether `.git` of a fetched repository is kept.
    pub keep_git_dir: bool,
    /// Whether archives are unpacked; `None`: local ones are, fetched ones are not.
    pub unpack: Option<bool>,
}

/// What copies and adds share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// In order. Paths are not cleaned: with `--parents` a `/./` in one has a meaning.
    pub sources: Vec<Source>,
    /// Absolute; a trailing slash as written (`.` counts as one) is kept.
    pub destination: String,
    /// `user[:group]`, names or numbers; `None` = root.
    pub chown: Option<String>,
    /// Octal or symbolic.
    pub chmod: Option<String>,
    /// Whether the copy does not depend on what is below it.
    pub link: bool,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path or pattern below the origin's root, or for `ADD` a URL.
    Path(String),
    /// A file with this content.
    Inline {
        /// Name of the file, when the destination is a directory.
        name: String,
        /// Its content.
        content: String,
    },
}

/// A mount of one `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// Files of a stage, an image, or a context; what is written is thrown away.
    Bind {
        /// Where they come from.
        from: Origin,
        /// A path below its root.
        source: String,
        /// Absolute.
        target: String,
        /// Whether it can be written.
        writable: bool,
    },
    /// A directory that stays from build to build.
    Cache(CacheMount),
    /// Memory.
    Tmpfs {
        /// Absolute.
        target: String,
        /// Bytes; `None` = no limit.
        size: Option<u64>,
    },
    /// A secret, as a file or a variable.
    Secret(SecretMount),
    /// The socket of an ssh agent, named by `SSH_AUTH_SOCK`.
    Ssh(AgentMount),
}

impl Mount {
    /// Where files of it come from.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Bind { from, .. } => Some(from),
            Self::Cache(cache) => cache.from.as_ref(),
            Self::Tmpfs { .. } | Self::Secret(_) | Self::Ssh(_) => None,
        }
    }
}

/// A directory that stays from build to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheMount {
    /// Its name; its target when none was given.
    pub id: String,
    /// Absolute.
    pub target: String,
    /// Who else may use it meanwhile.
    pub sharing: Sharing,
    /// What it starts as; `None` = empty.
    pub from: Option<Origin>,
    /// A path below the origin's root.
    pub source: String,
    /// Of a new directory; its mode is 0755 when not given.
    pub access: Access,
    /// Whether it can be written.
    pub writable: bool,
}

/// A secret, as a file or a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretMount {
    /// Its name.
    pub id: String,
    /// Where its file is; absolute. `None`: only the variable.
    pub target: Option<String>,
    /// The variable that holds it.
    pub env: Option<String>,
    /// Whether the step fails without it.
    pub required: bool,
    /// Of the file; its mode is 0400 when not given.
    pub access: Access,
}

/// The socket of an ssh agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentMount {
    /// Which agent; `default`.
    pub id: String,
    /// Where the socket is; `None`: `/run/buildkit/ssh_agent.<n>`.
    pub target: Option<String>,
    /// Whether the step fails without it.
    pub required: bool,
    /// Of the socket; its mode is 0600 when not given.
    pub access: Access,
}

/// Who may use a file that is made for a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    Shared,
    /// Each its own copy.
    Private,
    /// One after the other.
    Locked,
}

/// What an image says about its containers, in the words of Docker's image configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// In order of their first setting.
    pub env: IndexMap<String, String>,
    /// `None`: not set.
    pub entrypoint: Option<Vec<String>>,
    /// `None`: not set.
    pub cmd: Option<Vec<String>>,
    /// Docker's `ArgsEscaped`: set by `CMD`.
    pub args_escaped: bool,
    /// Empty = root.
    pub user: String,
    /// Empty = `/`.
    pub workdir: String,
    /// In order of their first setting.
    pub labels: IndexMap<String, String>,
    /// `80/tcp`, in order.
    pub exposed_ports: Vec<String>,
    /// Paths, in order.
    pub volumes: Vec<String>,
    /// As written.
    pub stop_signal: Option<String>,
    /// `None`: not set.
    pub healthcheck: Option<Healthcheck>,
    /// `None`: `/bin/sh -c`.
    pub shell: Option<Vec<String>>,
    /// Instructions that run when an image is built on this one.
    pub onbuild: Vec<String>,
    /// `MAINTAINER`.
    pub author: Option<String>,
}
