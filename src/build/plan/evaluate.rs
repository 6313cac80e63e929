//! From instructions to steps: variables expanded, the configuration carried along.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::graph::{self, Graph};
use super::heads::Head;
use super::scope::{Expander, Scope};
use super::step::{Action, History, Origin, Program, Run, Stage, StageId, Step};
use super::{Bases, Request, Wanted, globals, history, mount, ports};
use crate::build::check::{Findings, Rule, is_secret};
use crate::build::dockerfile::Source;
use crate::build::dockerfile::instruction::{
    self, Arg, Command, Instruction, Kind, Network, PairForm, Pairs, Security, Word,
};
use crate::build::expand::{self, Mode};
use crate::build::ignore::Matcher;
use crate::compose::diagnostic::Problems;
use crate::image::Healthcheck;

/// All that steps are made from.
pub(super) struct Input<'a> {
    pub(super) source: &'a Source,
    pub(super) request: &'a Request,
    pub(super) globals: &'a globals::Globals,
    pub(super) heads: &'a [Head],
    pub(super) graph: &'a Graph,
    pub(super) bases: &'a Bases,
    pub(super) ignore: Option<&'a Matcher>,
}

/// The needed stages; what is wrong is recorded.
pub(super) fn stages(
    input: &Input<'_>,
    problems: &mut Problems,
    findings: &mut Findings,
) -> Vec<Stage> {
    let mut done: BTreeMap<usize, Scope> = BTreeMap::new();
    let mut stages = Vec::new();
    for index in &input.graph.order {
        let head = &input.heads[*index];
        let scope = start(input, head, &done, findings);
        let mut evaluator = Evaluator {
            input,
            index: *index,
            scope,
            expander: Expander {
                escape: input.source.dockerfile.directives.escape,
                problems,
                findings,
            },
            steps: Vec::new(),
        };
        if !head.replaced {
            for trigger in &input.graph.triggers[*index] {
                evaluator.step(trigger, true);
            }
            for instruction in &input.source.dockerfile.stages[*index].instructions {
                evaluator.step(instruction, false);
            }
        }
        let Evaluator { scope, steps, .. } = evaluator;
        stages.push(Stage {
            id: StageId(*index),
            name: head.name.clone(),
            base: head.base.clone(),
            platform: scope.platform.clone(),
            steps,
            config: scope.config.clone(),
        });
        done.insert(*index, scope);
    }
    stages
}

/// What a stage knows before its first instruction.
fn start(
    input: &Input<'_>,
    head: &Head,
    done: &BTreeMap<usize, Scope>,
    findings: &mut Findings,
) -> Scope {
    let target = || input.request.platform.to_string();
    let wanted = head.platform.clone().unwrap_or_else(target);
    match &head.base {
        Origin::Stage(StageId(base)) => match done.get(base) {
            Some(parent) => Scope::child(parent),
            // The graph puts a base before what starts from it.
            None => Scope::unknown(wanted),
        },
        Origin::Image {
            reference,
            platform,
        } => {
            let key = Wanted {
                reference: reference.clone(),
                platform: platform.clone(),
            };
            let Some(base) = input.bases.get(&key) else {
                return Scope::unknown(wanted);
            };
            if !base.platform.is_empty() && !same_machine(&base.platform, &wanted) {
                let message = format!("`{reference}` is for {}, not for {wanted}", base.platform);
                findings.add(Rule::InvalidBaseImagePlatform, head.span, message);
            }
            Scope::image(base, wanted)
        }
        Origin::Scratch | Origin::Context | Origin::Named(_) => Scope::scratch(wanted),
    }
}

/// Whether system and architecture are the same; variants do not count.
fn same_machine(a: &str, b: &str) -> bool {
    a.split('/').take(2).eq(b.split('/').take(2))
}

pub(super) struct Evaluator<'i, 'p> {
    pub(super) input: &'i Input<'i>,
    index: usize,
    pub(super) scope: Scope,
    pub(super) expander: Expander<'p>,
    steps: Vec<Step>,
}

impl Evaluator<'_, '_> {
    fn step(&mut self, instruction: &Instruction, trigger: bool) {
        let text = self.shown(instruction);
        if let Some((action, history)) = self.action(instruction) {
            self.steps.push(Step {
                action,
                span: instruction.span,
                text,
                history,
                trigger,
            });
        }
    }

    /// The instruction on one line, variables that have a value expanded.
    fn shown(&self, instruction: &Instruction) -> String {
        let line = instruction.line();
        let keyword = instruction.keyword.value.len();
        let rest = line.get(keyword..).unwrap_or_default();
        let lookup = |name: &str| self.scope.env.get(name).cloned();
        let mode = Mode::shown(self.expander.escape);
        let rest = expand::expand(rest, mode, &lookup).map_or(rest.to_owned(), |text| text.text);
        let mut text = instruction.keyword.value.to_ascii_uppercase() + &rest;
        if let Kind::Run(run) = &instruction.kind
            && let Some(script) = run.script()
        {
            let content = script.text();
            let mut lines = content.trim().lines();
            let first = lines.next().unwrap_or_default();
            let more = if lines.next().is_some() { "..." } else { "" };
            text.push_str(&format!(" ({first}{more})"));
        }
        text.replace(['\n', '\r'], " ")
    }

    fn action(&mut self, instruction: &Instruction) -> Option<(Action, Option<History>)> {
        let created_by = match &instruction.kind {
            Kind::Run(run) => return self.run(run, instruction),
            Kind::Copy(copy) => return self.copy(copy),
            Kind::Add(add) => return self.add(add),
            Kind::Workdir(path) => return self.workdir(path),
            Kind::Onbuild(onbuild) => {
                self.scope.config.onbuild.push(onbuild.text.clone());
                return Some((Action::Configure, None));
            }
            // Stages are cut at each `FROM`, and a trigger cannot be one.
            Kind::From(_) => return None,
            Kind::Env(pairs) => self.env(pairs)?,
            Kind::Label(pairs) => self.label(pairs)?,
            Kind::Arg(args) => self.args(args)?,
            Kind::User(user) => self.user(user)?,
            Kind::Expose(words) => self.expose(words)?,
            Kind::Volume(words) => self.volume(words)?,
            Kind::Cmd(command) => self.cmd(command, instruction),
            Kind::Entrypoint(command) => self.entrypoint(command, instruction),
            Kind::Healthcheck(check) => self.healthcheck(check, instruction),
            Kind::Shell(words) => {
                let shell = values(words);
                let text = format!("SHELL {}", history::bare(&shell));
                self.scope.config.shell = Some(shell);
                text
            }
            Kind::StopSignal(word) => self.stop_signal(word)?,
            Kind::Maintainer(name) => {
                self.scope.config.author = Some(name.value.clone());
                format!("MAINTAINER {}", name.value)
            }
        };
        Some((Action::Configure, history::entry(created_by, true)))
    }

    /// Names and values of an `ENV` or `LABEL`, all expanded with what was set before it.
    fn pairs(&mut self, pairs: &Pairs, name: &str) -> Option<Vec<(String, String)>> {
        if let (PairForm::Legacy, Some((key, _))) = (pairs.form, pairs.items.first()) {
            let message = format!("`{name} name value` is the old form");
            self.expander.findings.add_with_help(
                Rule::LegacyKeyValueFormat,
                key.span,
                message,
                Some(format!("write `{name} {}=…`", key.value)),
            );
        }
        let mut found = Vec::new();
        for (key, value) in &pairs.items {
            let key = self.expander.word(key, &self.scope);
            let value = self.expander.word(value, &self.scope);
            found.push((key?, value?));
        }
        Some(found)
    }

    fn env(&mut self, pairs: &Pairs) -> Option<String> {
        let found = self.pairs(pairs, "ENV")?;
        let text = history::pairs("ENV", &found);
        for ((name, value), (word, _)) in found.into_iter().zip(&pairs.items) {
            self.secret("ENV", &name, word);
            self.scope.set_env(name, value);
        }
        Some(text)
    }

    fn label(&mut self, pairs: &Pairs) -> Option<String> {
        let found = self.pairs(pairs, "LABEL")?;
        let text = history::pairs("LABEL", &found);
        self.scope.config.labels.extend(found);
        Some(text)
    }

    fn secret(&mut self, instruction: &str, name: &str, word: &Word) {
        if is_secret(name) {
            self.expander.findings.add_with_help(
                Rule::SecretsUsedInArgOrEnv,
                word.span,
                format!("`{instruction} {name}` looks like a secret, and everybody who has the image can read it"),
                Some(format!("a `RUN --mount=type=secret,id={name}` sees it without keeping it")),
            );
        }
    }

    fn args(&mut self, args: &[Arg]) -> Option<String> {
        let mut text = "ARG".to_owned();
        for arg in args {
            let name = arg.name.value.clone();
            self.secret("ARG", &name, &arg.name);
            let value = match (self.input.request.args.get(&name), &arg.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expander.word(default, &self.scope)?),
                (None, None) => self.input.globals.values.get(&name).cloned(),
            };
            text.push_str(&format!(" {name}"));
            if let Some(value) = &value {
                text.push_str(&format!("={value}"));
                self.scope.env.insert(name.clone(), value.clone());
            }
            self.scope.args.insert(name, value);
        }
        Some(text)
    }

    fn workdir(&mut self, word: &Word) -> Option<(Action, Option<History>)> {
        let path = self.expander.word(word, &self.scope)?;
        if !self.scope.workdir_set && !path.starts_with('/') {
            self.expander.findings.add_with_help(
                Rule::WorkdirRelativePath,
                word.span,
                format!("where `{path}` is depends on the base image"),
                Some("make the first `WORKDIR` of a stage absolute".to_owned()),
            );
        }
        self.scope.workdir_set = true;
        let path = self.scope.absolute(&path);
        self.scope.config.workdir.clone_from(&path);
        let is_root = path == "/";
        let history = history::entry(format!("WORKDIR {path}"), is_root);
        let user = self.scope.config.user.clone();
        let action = match is_root {
            true => Action::Configure,
            false => Action::Workdir { path, user },
        };
        Some((action, history))
    }

    fn user(&mut self, word: &Word) -> Option<String> {
        let user = self.expander.word(word, &self.scope)?;
        let text = format!("USER {user}");
        self.scope.config.user = user;
        Some(text)
    }

    fn expose(&mut self, words: &[Word]) -> Option<String> {
        let mut all = Vec::new();
        for word in words {
            for text in self.expander.words(word, &self.scope)? {
                let exposed = match ports::read(&text) {
                    Ok(exposed) => exposed,
                    Err(reason) => {
                        let message = format!("`{text}` is no port: {reason}");
                        self.expander.problems.error(word.span, message);
                        return None;
                    }
                };
                self.odd_port(&text, &exposed, word);
                all.extend(exposed.ports);
            }
        }
        let text = format!("EXPOSE {}", history::bare(&all));
        for port in all {
            if !self.scope.config.exposed_ports.contains(&port) {
                self.scope.config.exposed_ports.push(port);
            }
        }
        Some(text)
    }

    fn odd_port(&mut self, text: &str, exposed: &ports::Exposed, word: &Word) {
        let findings = &mut *self.expander.findings;
        if exposed.has_host {
            let message =
                format!("`{text}` names a port or address of the host, which `EXPOSE` ignores");
            findings.add(Rule::ExposeInvalidFormat, word.span, message);
        }
        if exposed.odd_case {
            let message = format!("the protocol of `{text}` should be in lower case");
            findings.add(Rule::ExposeProtoCasing, word.span, message);
        }
    }

    fn volume(&mut self, words: &[Word]) -> Option<String> {
        let paths = self.expander.each(words, &self.scope)?;
        for (path, word) in paths.iter().zip(words) {
            if path.is_empty() {
                self.expander
                    .problems
                    .error(word.span, "a volume needs a path, and this one is empty");
                return None;
            }
            if !self.scope.config.volumes.contains(path) {
                self.scope.config.volumes.push(path.clone());
            }
        }
        Some(format!("VOLUME {}", history::bare(&paths)))
    }

    /// The program of a `CMD` or `ENTRYPOINT`.
    fn command(&mut self, command: &Command, name: &str) -> Vec<String> {
        let line = match command {
            Command::Exec(words) => return values(words),
            Command::Shell(line) => line,
        };
        if self.scope.config.shell.as_ref().is_none_or(Vec::is_empty) {
            self.expander.findings.add_with_help(
                Rule::JsonArgsRecommended,
                line.span,
                format!("`{name}` as a line runs in a shell, which keeps signals from the program"),
                Some(format!("write `{name} [\"program\", \"argument\"]`")),
            );
        }
        self.scope.shell_line(&line.value)
    }

    fn cmd(&mut self, command: &Command, instruction: &Instruction) -> String {
        let arguments = self.command(command, "CMD");
        let before = self.scope.last.cmd.replace(instruction.span);
        self.once("CMD", before);
        let text = format!("CMD {}", history::quoted(&arguments));
        self.scope.config.cmd = Some(arguments);
        self.scope.config.args_escaped = true;
        text
    }

    fn entrypoint(&mut self, command: &Command, instruction: &Instruction) -> String {
        let arguments = self.command(command, "ENTRYPOINT");
        let before = self.scope.last.entrypoint.replace(instruction.span);
        self.once("ENTRYPOINT", before);
        let text = format!("ENTRYPOINT {}", history::quoted(&arguments));
        self.scope.config.entrypoint = (!arguments.is_empty()).then_some(arguments);
        // The base image's command was meant for the base image's entry point.
        if self.scope.last.cmd.is_none() {
            self.scope.config.cmd = None;
        }
        text
    }

    fn once(&mut self, name: &str, before: Option<crate::compose::diagnostic::Span>) {
        if let Some(before) = before {
            let message = format!("a later `{name}` of this stage takes the place of this one");
            self.expander
                .findings
                .add(Rule::MultipleInstructionsDisallowed, before, message);
        }
    }

    fn healthcheck(&mut self, check: &instruction::Healthcheck, whole: &Instruction) -> String {
        let before = self.scope.last.healthcheck.replace(whole.span);
        self.once("HEALTHCHECK", before);
        let healthcheck = match check {
            instruction::Healthcheck::None => Healthcheck {
                test: vec!["NONE".to_owned()],
                ..Healthcheck::default()
            },
            instruction::Healthcheck::Cmd { command, timing } => {
                let mut test = Vec::new();
                match command {
                    Command::Shell(line) => {
                        test.extend(["CMD-SHELL".to_owned(), line.value.clone()]);
                    }
                    Command::Exec(words) => {
                        test.push("CMD".to_owned());
                        test.extend(values(words));
                    }
                }
                Healthcheck {
                    test,
                    interval: timing.interval,
                    timeout: timing.timeout,
                    start_period: timing.start_period,
                    start_interval: timing.start_interval,
                    retries: timing.retries,
                }
            }
        };
        let text = format!("HEALTHCHECK {}", history::quoted(&healthcheck.test));
        self.scope.config.healthcheck = Some(healthcheck);
        text
    }

    fn stop_signal(&mut self, word: &Word) -> Option<String> {
        let signal = self.expander.word(word, &self.scope)?;
        if !ports::is_signal(&signal) {
            let message = format!("`{signal}` is no signal");
            let error = self.expander.problems.error(word.span, message);
            error.help("write a name such as `SIGTERM` or a number from 1 to 64");
            return None;
        }
        let text = format!("STOPSIGNAL {signal}");
        self.scope.config.stop_signal = Some(signal);
        Some(text)
    }

    fn run(
        &mut self,
        run: &instruction::Run,
        instruction: &Instruction,
    ) -> Option<(Action, Option<History>)> {
        let mounts = mount::all(self, &run.mounts)?;
        let (program, shown) = self.program(run, instruction)?;
        let mut args: Vec<String> = Vec::new();
        for (name, value) in &self.scope.args {
            let current = self.scope.env.get(name).or(value.as_ref());
            args.push(format!("{name}={}", current.map_or("", String::as_str)));
        }
        let created_by = history::run(&args, &shown);
        let workdir = match self.scope.config.workdir.as_str() {
            "" => "/".to_owned(),
            workdir => self.scope.absolute(workdir),
        };
        let action = Action::Run(Run {
            program,
            env: self.scope.env.clone(),
            proxies: self.proxies(),
            workdir,
            user: self.scope.config.user.clone(),
            mounts,
            network: run.network.as_ref().map_or(Network::Default, |n| n.value),
            security: run.security.as_ref().map_or(Security::Sandbox, |s| s.value),
        });
        Some((action, history::entry(created_by, false)))
    }

    fn proxies(&self) -> IndexMap<String, String> {
        self.input.globals.proxies.clone()
    }

    /// What a `RUN` executes, and its arguments as the history shows them.
    fn program(
        &mut self,
        run: &instruction::Run,
        whole: &Instruction,
    ) -> Option<(Program, Vec<String>)> {
        let line = match &run.command {
            Command::Exec(words) if words.is_empty() => {
                self.expander
                    .problems
                    .error(whole.span, "there is no program to run in this list");
                return None;
            }
            Command::Exec(words) => {
                let arguments = values(words);
                return Some((Program::Arguments(arguments.clone()), arguments));
            }
            Command::Shell(line) => &line.value,
        };
        let arguments = match run.script() {
            Some(script) if script.content.value.starts_with("#!") => {
                let name = script.name.value.clone();
                let shown = self.scope.shell_line(&format!("/dev/pipes/{name}"));
                let content = script.text();
                return Some((Program::Script { name, content }, shown));
            }
            Some(script) => self.scope.shell_line(&script.text()),
            None => {
                let mut full = line.clone();
                for heredoc in &run.heredocs {
                    full.push('\n');
                    full.push_str(&heredoc.content.value);
                    full.push_str(&heredoc.name.value);
                }
                self.scope.shell_line(&full)
            }
        };
        Some((Program::Arguments(arguments.clone()), arguments))
    }

    /// What `from` of a `COPY` or mount means in this stage.
    pub(super) fn origin(&mut self, from: &Word) -> Option<Origin> {
        let (heads, request) = (self.input.heads, self.input.request);
        graph::origin(from, self.index, heads, request, self.expander.problems)
    }
}

/// The texts of some words.
pub(super) fn values(words: &[Word]) -> Vec<String> {
    words.iter().map(|word| word.value.clone()).collect()
}
