//! `stack config`: from flags to what is printed.
//!
//! A pure function of [`ConfigCommand`] and a [`Source`]: the command line only parses flags, looks
//! digests up and writes. Which flag wins over which, and what each prints, is Docker Compose's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::diagnostic::Diagnostics;
use super::explain::{self, ExplainError};
use super::load::{LoadOptions, Loaded};
use super::source::Source;
use crate::graph::GraphError;

mod listing;
#[cfg(test)]
mod parse;
mod pin;
mod variables;
#[cfg(test)]
pub(crate) use parse::parse;

/// The flags of `config`, parsed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigCommand {
    /// Files, project, profiles, and which phases are left out (`--no-…`).
    pub options: LoadOptions,
    /// Services to print, with all that they need; none = all.
    pub names: Vec<String>,
    /// What to print.
    pub subject: Subject,
    /// `--format`; `None` = what the subject is printed in unless told otherwise.
    pub format: Option<Format>,
    /// Check only; lists are printed nevertheless, as Docker Compose does.
    pub quiet: bool,
    /// Write the model to this file instead of standard output.
    pub output: Option<PathBuf>,
    /// Networks and volumes that no service uses are part of the model (`--all-resources`).
    pub all_resources: bool,
    /// How images are named.
    pub digests: Digests,
}

/// How `config` names images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Digests {
    /// As they are written.
    #[default]
    AsWritten,
    /// By their digests (`--resolve-image-digests`).
    Resolved,
    /// By their digests, and nothing else is printed: a file to merge onto the others
    /// (`--lock-image-digests`).
    Locked,
}

/// Full names with digests, by what is written.
pub type Pinned = BTreeMap<String, String>;

/// What `config` prints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Subject {
    /// The whole model.
    #[default]
    Model,
    /// Names of services.
    Services,
    /// Names of volumes.
    Volumes,
    /// Names of networks.
    Networks,
    /// Names of models.
    Models,
    /// Hashes of these services, `*` = all.
    Hash(String),
    /// Names of profiles.
    Profiles,
    /// Names of images.
    Images,
    /// The variables that the files name.
    Variables,
    /// The variables that the files are filled with.
    Environment,
    /// Where the value at this path comes from.
    Explain(String),
}

/// `--format` of `config`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML.
    Yaml,
    /// JSON.
    Json,
    /// A table (`--variables` only).
    Table,
}

/// What there is to write.
#[derive(Debug, Clone, Default)]
pub struct Output {
    /// For standard output.
    pub stdout: String,
    /// Files to write, with their content.
    pub files: Vec<(PathBuf, String)>,
    /// Problems that did not stop the loading.
    pub warnings: Diagnostics,
    /// What was loaded. To take a large stack apart again takes time that a program which ends here
    /// need not spend.
    pub loaded: Option<Box<Loaded>>,
}

/// Why there is nothing to write.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The files have no meaning.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
    /// The services cannot be selected.
    #[error(transparent)]
    Selection(#[from] GraphError),
    /// A service was named that the stack does not have.
    #[error("no such service: {name}")]
    NoSuchService {
        /// The name.
        name: String,
        /// A service that is called much the same.
        suggestion: Option<String>,
    },
    /// There is nothing to explain.
    #[error(transparent)]
    Explain(#[from] ExplainError),
    /// Only `--variables` is a table.
    #[error("the model cannot be printed as a table")]
    NoTable,
}

impl ConfigCommand {
    /// The images whose digests have to be known before this command can [`run`](Self::run_pinned), as
    /// they are written, each once.
    pub fn unpinned(&self, source: &dyn Source) -> Result<Vec<String>, ConfigError> {
        if self.digests == Digests::AsWritten || self.subject != Subject::Model {
            return Ok(Vec::new());
        }
        let mut loaded = super::load(source, &self.load_options())?;
        self.select(&mut loaded)?;
        Ok(pin::images(&loaded))
    }

    /// What this command writes, given these files and this environment.
    pub fn run(&self, source: &dyn Source) -> Result<Output, ConfigError> {
        self.run_pinned(source, &Pinned::new())
    }

    /// The same with the digests of the images that it asked for.
    pub fn run_pinned(&self, source: &dyn Source, pinned: &Pinned) -> Result<Output, ConfigError> {
        if let Subject::Explain(path) = &self.subject {
            return self.explain(source, path);
        }
        let mut loaded = super::load(source, &self.load_options())?;
        if self.all_resources {
            let stack = &mut loaded.stack;
            stack.networks.append(&mut stack.unused_networks);
            stack.volumes.append(&mut stack.unused_volumes);
        }
        self.select(&mut loaded)?;
        if self.subject == Subject::Model {
            pin::pin(&mut loaded, pinned);
            if self.digests == Digests::Locked {
                pin::keep_images(&mut loaded);
            }
        }
        let stdout = match self.subject {
            Subject::Model if self.quiet && self.format != Some(Format::Table) => String::new(),
            Subject::Environment => variables::environment(&loaded, source),
            _ => self.text(&loaded)?,
        };
        let mut output = Output {
            warnings: std::mem::take(&mut loaded.warnings),
            loaded: Some(Box::new(loaded)),
            ..Output::default()
        };
        match &self.output {
            _ if self.quiet && matches!(self.subject, Subject::Model | Subject::Environment) => {}
            Some(path) if self.subject == Subject::Model => {
                output.files.push((path.clone(), stdout));
            }
            _ => output.stdout = stdout,
        }
        Ok(output)
    }

    fn explain(&self, source: &dyn Source, path: &str) -> Result<Output, ConfigError> {
        let explanation = explain::explain(source, &self.options, path)?;
        Ok(Output {
            stdout: match self.format {
                Some(Format::Json) => explain::json(&explanation),
                _ => explanation.to_string(),
            },
            ..Output::default()
        })
    }

    /// The variables can only be told from a tree that is not filled with them; on the other side
    /// networks, volumes and hashes cannot be told from it.
    fn load_options(&self) -> LoadOptions {
        let mut options = self.options.clone();
        options.skip.interpolation = match self.subject {
            Subject::Variables => true,
            Subject::Model | Subject::Services | Subject::Images => options.skip.interpolation,
            _ => false,
        };
        options.skip.hashes = !matches!(self.subject, Subject::Hash(_));
        options.skip.model = self.quiet
            && self.subject == Subject::Model
            && self.names.is_empty()
            && self.digests == Digests::AsWritten;
        options
    }
}

/// The flags that each ask for something else to be printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// `--services`
    pub services: bool,
    /// `--volumes`
    pub volumes: bool,
    /// `--networks`
    pub networks: bool,
    /// `--models`
    pub models: bool,
    /// `--hash`
    pub hash: Option<String>,
    /// `--profiles`
    pub profiles: bool,
    /// `--images`
    pub images: bool,
    /// `--variables`
    pub variables: bool,
    /// `--environment`
    pub environment: bool,
    /// `--explain`
    pub explain: Option<String>,
}

impl Asked {
    /// The one that wins when there are several.
    pub fn subject(self) -> Subject {
        let hash = self.hash.filter(|names| !names.is_empty());
        match () {
            () if self.explain.is_some() => Subject::Explain(self.explain.unwrap_or_default()),
            () if self.services => Subject::Services,
            () if self.volumes => Subject::Volumes,
            () if self.networks => Subject::Networks,
            () if self.models => Subject::Models,
            () if hash.is_some() => Subject::Hash(hash.unwrap_or_default()),
            () if self.profiles => Subject::Profiles,
            () if self.images => Subject::Images,
            () if self.variables => Subject::Variables,
            () if self.environment => Subject::Environment,
            () => Subject::Model,
        }
    }
}

#[cfg(test)]
mod tests;
