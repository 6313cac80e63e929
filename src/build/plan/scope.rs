//! What a stage knows while its instructions are read: variables, arguments, the image's configuration.

use indexmap::IndexMap;

use super::heads::{likely, place};
use super::{Base, Config};
use crate::build::check::{Findings, Rule};
use crate::build::dockerfile::instruction::Word;
use crate::build::expand::{self, Expanded, Mode};
use crate::compose::diagnostic::{Problems, Span};

/// `PATH` of an image that says nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The state of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    /// Variables of the image and arguments with a value, in order; the last one set counts.
    pub(super) env: IndexMap<String, String>,
    /// Arguments in scope, with or without a value.
    pub(super) args: IndexMap<String, Option<String>>,
    pub(super) config: Config,
    pub(super) platform: String,
    /// Whether a `WORKDIR` was met in this file.
    pub(super) workdir_set: bool,
    /// Whether all variables of the base image are known.
    pub(super) complete: bool,
    /// The last `CMD`, `ENTRYPOINT` and `HEALTHCHECK` of this stage.
    pub(super) last: LastOf,
}

/// Where instructions stand of which only the last counts.
#[derive(Debug, Clone, Default)]
pub(super) struct LastOf {
    pub(super) cmd: Option<Span>,
    pub(super) entrypoint: Option<Span>,
    pub(super) healthcheck: Option<Span>,
}

impl Scope {
    /// Starts from nothing.
    pub(super) fn scratch(platform: String) -> Self {
        let config = Config {
            workdir: "/".to_owned(),
            ..Config::default()
        };
        Self::of_config(config, platform, true)
    }

    /// Starts from an image.
    pub(super) fn image(base: &Base, platform: String) -> Self {
        let mut config = base.config.clone();
        config.onbuild.clear();
        Self::of_config(config, platform, true)
    }

    /// Starts from an image of which nothing is known.
    pub(super) fn unknown(platform: String) -> Self {
        Self::of_config(Config::default(), platform, false)
    }

    fn of_config(mut config: Config, platform: String, complete: bool) -> Self {
        if !config.env.contains_key("PATH") {
            config
                .env
                .insert("PATH".to_owned(), DEFAULT_PATH.to_owned());
        }
        Self {
            env: config.env.clone(),
            config,
            platform,
            complete,
            ..Self::default()
        }
    }

    /// Starts from another stage: its arguments stay in scope.
    pub(super) fn child(parent: &Self) -> Self {
        let mut scope = parent.clone();
        scope.config.onbuild.clear();
        scope.last = LastOf::default();
        scope
    }

    /// Sets a variable of the image.
    pub(super) fn set_env(&mut self, name: String, value: String) {
        self.env.insert(name.clone(), value.clone());
        self.config.env.insert(name, value);
    }

    /// The program that runs lines.
    pub(super) fn shell(&self) -> Vec<String> {
        match &self.config.shell {
            Some(shell) if !shell.is_empty() => shell.clone(),
            _ => vec!["/bin/sh".to_owned(), "-c".to_owned()],
        }
    }

    /// A line as arguments of the shell.
    pub(super) fn shell_line(&self, line: &str) -> Vec<String> {
        let mut arguments = self.shell();
        arguments.push(line.to_owned());
        arguments
    }

    /// A path as seen from the working directory: absolute and clean.
    pub(super) fn absolute(&self, path: &str) -> String {
        clean(&self.config.workdir, path)
    }
}

/// A path joined to a directory; absolute, without `.`, `..` and `//`.
pub(super) fn clean(directory: &str, path: &str) -> String {
    let whole = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{directory}/{path}"),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Expands words of instructions in a scope, and notes variables that have no value.
pub(super) struct Expander<'a> {
    pub(super) escape: char,
    pub(super) problems: &'a mut Problems,
    pub(super) findings: &'a mut Findings,
}

impl Expander<'_> {
    /// The word with its variables expanded; `None`: it cannot be, which is recorded.
    pub(super) fn word(&mut self, word: &Word, scope: &Scope) -> Option<String> {
        let mode = Mode::word(self.escape);
        self.expand(word, mode, scope).map(|expanded| expanded.text)
    }

    /// The word's text with its variables expanded, split at blanks.
    pub(super) fn words(&mut self, word: &Word, scope: &Scope) -> Option<Vec<String>> {
        let mode = Mode::word(self.escape);
        self.expand(word, mode, scope)
            .map(|expanded| expanded.words)
    }

    /// Expands words one by one.
    pub(super) fn each(&mut self, words: &[Word], scope: &Scope) -> Option<Vec<String>> {
        words.iter().map(|word| self.word(word, scope)).collect()
    }

    /// Expands a word that may not be there.
    pub(super) fn optional(
        &mut self,
        word: Option<&Word>,
        scope: &Scope,
    ) -> Option<Option<String>> {
        match word {
            Some(word) => self.word(word, scope).map(Some),
            None => Some(None),
        }
    }

    /// Expands in a mode of its own.
    pub(super) fn expand(&mut self, word: &Word, mode: Mode, scope: &Scope) -> Option<Expanded> {
        let lookup = |name: &str| scope.env.get(name).cloned();
        let expanded = match expand::expand(&word.value, mode, &lookup) {
            Ok(expanded) => expanded,
            Err(error) => {
                self.problems.error(word.span, error.to_string());
                return None;
            }
        };
        for unset in &expanded.unset {
            if scope.args.contains_key(&unset.name) || !scope.complete {
                continue;
            }
            let near = likely(&unset.name, scope.env.keys().map(String::as_str));
            self.findings.add_with_help(
                Rule::UndefinedVar,
                place(word, &unset.range),
                format!("the variable `{}` has no value here", unset.name),
                near.map(|name| format!("did you mean `${name}`?")),
            );
        }
        Some(expanded)
    }
}
