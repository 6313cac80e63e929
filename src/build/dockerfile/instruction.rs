//! The instructions of a Dockerfile, as written: nothing is expanded, everything has its place.
//!
//! After the Dockerfile reference (docs.docker.com/reference/dockerfile). Two instructions are equal when
//! they say the same, wherever they stand: places do not count.

use crate::compose::diagnostic::Span;

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T> Spanned<T> {
    /// A value at a place.
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// Text with its place: quotes, escapes and variables still in it.
pub type Word = Spanned<String>;

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What the first comment lines tell the parser.
    pub directives: Directives,
    /// `ARG` before the first `FROM`.
    pub global: Vec<Instruction>,
    /// One for each `FROM`, in the order of the file.
    pub stages: Vec<StageText>,
}

/// Parser directives: `# syntax=`, `# escape=`, `# check=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The frontend that was asked for; this builder is its own.
    pub syntax: Option<Word>,
    /// The character that continues lines and escapes: `\` or `` ` ``.
    pub escape: char,
    /// Which checks are skipped, and whether a finding is an error.
    pub check: Option<Word>,
}

/// A stage as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageText {
    /// Its `FROM`.
    pub from: From,
    /// The instruction that `from` was read of.
    pub head: Instruction,
    /// What follows, up to the next `FROM`.
    pub instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug, Clone)]
pub struct Instruction {
    /// What it says.
    pub kind: Kind,
    /// Its keyword as written: `RUN`, `run`.
    pub keyword: Word,
    /// From the keyword to the end of the last line or here-document.
    pub span: Span,
}

impl PartialEq for Instruction {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.keyword == other.keyword
    }
}

impl Eq for Instruction {}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `FROM`.
    From(From),
    /// `ARG`, one or several.
    Arg(Vec<Arg>),
    /// `ENV`.
    Env(Pairs),
    /// `LABEL`.
    Label(Pairs),
    /// `RUN`.
    Run(Run),
    /// `COPY`.
    Copy(Copy),
    /// `ADD`.
    Add(Add),
    /// `WORKDIR`.
    Workdir(Word),
    /// `USER`.
    User(Word),
    /// `EXPOSE`: ports, each perhaps a range, perhaps with a protocol.
    Expose(Vec<Word>),
    /// `VOLUME`.
    Volume(Vec<Word>),
    /// `ENTRYPOINT`.
    Entrypoint(Command),
    /// `CMD`.
    Cmd(Command),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `SHELL`: the program, with arguments, that runs shell forms from here on.
    Shell(Vec<Word>),
    /// `STOPSIGNAL`.
    StopSignal(Word),
    /// `ONBUILD`.
    Onbuild(Onbuild),
    /// `MAINTAINER`, deprecated.
    Maintainer(Word),
}

/// `FROM [--platform=…] image [AS name]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// An image, an earlier stage, a named context, or `scratch`.
    pub image: Word,
    /// The platform.
    pub platform: Option<Word>,
    /// The keyword `AS` as written, and the stage's name as written; names compare without case.
    pub name: Option<(Word, Word)>,
}

/// `NAME` or `NAME=default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Name.
    pub name: Word,
    /// What it is when the caller gives none.
    pub default: Option<Word>,
}

/// The settings of one `ENV` or `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// Name and value; at least one.
    pub items: Vec<(Word, Word)>,
    /// How it was written.
    pub form: PairForm,
}

/// The two ways to write a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairForm {
    /// `name=value …`.
    Equals,
    /// `name the rest of the line`: one setting, deprecated.
    Legacy,
}

/// What is run: by a shell, or as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A line for the shell.
    Shell(Word),
    /// A program and its arguments.
    Exec(Vec<Word>),
}

/// A here-document: `<<NAME` and the lines up to `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it.
    pub name: Word,
    /// Its lines, each with its line feed, as written; [`Heredoc::text`] has the tabs off.
    pub content: Word,
    /// Whether variables in it are expanded: its name was not quoted.
    pub expand: bool,
    /// `<<-`: tabs at the start of its lines do not count.
    pub strip_tabs: bool,
    /// The file descriptor in front of `<<`.
    pub descriptor: Option<u32>,
}

impl Heredoc {
    /// The lines, without the leading tabs that `<<-` takes away.
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.value.clone();
        }
        self.content
            .value
            .split_inclusive('\n')
            .map(|line| line.trim_start_matches('\t'))
            .collect()
    }
}

/// `RUN [--mount=…] [--network=…] [--security=…] command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is run. Of the form `<<EOF` alone: the text `<<EOF`, and `heredocs` has the script.
    pub command: Command,
    /// The here-documents of the line, in order; empty for the exec form.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, in order.
    pub mounts: Vec<MountText>,
    /// `--network`.
    pub network: Option<Spanned<Network>>,
    /// `--security`.
    pub security: Option<Spanned<Security>>,
}

impl Run {
    /// The here-document that is all there is to run: `RUN <<EOF` and nothing else.
    pub fn script(&self) -> Option<&Heredoc> {
        let Command::Shell(line) = &self.command else {
            return None;
        };
        super::heredoc::opening(&line.value)?;
        self.heredocs.first()
    }
}

/// The network of a `RUN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// What the build was told.
    Default,
    /// None but loopback.
    None,
    /// The machine's own.
    Host,
}

/// How far a `RUN` is locked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// As a container.
    Sandbox,
    /// All capabilities, all devices.
    Insecure,
}

/// `--mount=key=value,…` as written; [`Mount`](crate::build::plan::Mount) says what it means.
#[derive(Debug, Clone)]
pub struct MountText {
    /// The options, in order; a flag such as `ro` has no value.
    pub options: Vec<(Word, Option<Word>)>,
    /// The whole value of the flag.
    pub span: Span,
}

impl PartialEq for MountText {
    fn eq(&self, other: &Self) -> bool {
        self.options == other.options
    }
}

impl Eq for MountText {}

/// What `COPY` and `ADD` share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What is copied; at least one.
    pub sources: Vec<TransferSource>,
    /// Where to.
    pub destination: Word,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
}

/// One source of a `COPY` or `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferSource {
    /// A path, a pattern, or for `ADD` a URL.
    Path(Word),
    /// A file whose content stands in the Dockerfile.
    Inline(Heredoc),
}

/// `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// Sources, destination, and the flags that `ADD` has too.
    pub transfer: Transfer,
    /// `--from`: a stage's name or number, a named context, or an image.
    pub from: Option<Word>,
    /// `--parents`: the directories above a source are kept.
    pub parents: bool,
}

/// `ADD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// Sources, destination, and the flags that `COPY` has too.
    pub transfer: Transfer,
    /// `--checksum`: what a URL's content must hash to.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`; not given: a local archive is unpacked, a URL is not.
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`.
    None,
    /// `[options] CMD command`.
    Cmd {
        /// What is run.
        command: Command,
        /// Nanoseconds and counts; 0 = not given.
        timing: Timing,
    },
}

/// The options of `HEALTHCHECK`; durations in nanoseconds, 0 = not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timing {
    /// `--interval`.
    pub interval: i64,
    /// `--timeout`.
    pub timeout: i64,
    /// `--start-period`.
    pub start_period: i64,
    /// `--start-interval`.
    pub start_interval: i64,
    /// `--retries`.
    pub retries: i64,
}

/// `ONBUILD instruction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction as text, here-documents included: what the image's configuration keeps.
    pub text: String,
    /// The instruction.
    pub trigger: Box<Instruction>,
}
