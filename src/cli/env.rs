//! `stack env`: where the variables of a container come from.

use std::io::Write as _;

use clap::{Args, Subcommand, ValueEnum};

use super::context::Context;
use super::error::{Error, Result};
use crate::compose::explain::{self, ExplainError};
use crate::image::Reference;
use crate::ui::Terminal;

/// Arguments of `env`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Env {
    /// Service whose variables to list, with where each comes from.
    #[arg(value_name = "SERVICE", required = true)]
    service: Option<String>,
    /// Form of the output.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
    format: Form,
    #[command(subcommand)]
    command: Option<EnvCommand>,
}

/// `--format` of `env`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table for people.
    Table,
    /// JSON for programs.
    Json,
}

/// Sub-commands of `env`.
#[derive(Debug, Subcommand)]
enum EnvCommand {
    /// Show where one variable comes from and what it took the place of, or where it was looked for.
    Explain {
        /// Service.
        #[arg(value_name = "SERVICE")]
        service: String,
        /// Variable.
        #[arg(value_name = "KEY")]
        key: String,
        /// Form of the output.
        #[arg(long, value_enum, value_name = "FORMAT", default_value = "table")]
        format: Form,
    },
}

impl Env {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        let options = context.load_options()?;
        let source = &context.source;
        let images = |name: &str| image_environment(context, name);
        match self.command {
            Some(EnvCommand::Explain {
                service,
                key,
                format,
            }) => {
                let found = explain::variable(source, &options, (&service, &key), &images)?;
                print(&match format {
                    Form::Table => found.to_string(),
                    Form::Json => explain::json(&found),
                })?;
                match found.value {
                    Some(_) => Ok(()),
                    // As `printenv` does; why has been said.
                    None => Err(Error::program_ended(1)),
                }
            }
            None => {
                let service = self.service.unwrap_or_default();
                let found = explain::environment(source, &options, &service, &images)?;
                print(&match self.format {
                    Form::Table => explain::table(&found),
                    Form::Json => explain::json(&found),
                })?;
                let image = found.first().and_then(|variable| variable.image.as_ref());
                if let Some(image) = image.filter(|image| !image.is_here) {
                    let name = &image.name;
                    Terminal::say(&format!(
                        "the image {name} is not here: what it sets is not shown"
                    ));
                }
                Ok(())
            }
        }
    }
}

fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// The environment that an image gives; `None` when it is not in the store, or cannot be read.
fn image_environment(context: &Context, name: &str) -> Option<Vec<String>> {
    // To look must not make a store.
    if !context.paths.root().join("images").exists() {
        return None;
    }
    let reference: Reference = name.parse().ok()?;
    let image = context.images().ok()?.get(&reference).ok()??;
    let config = image.config.config().clone().unwrap_or_default();
    Some(config.env().clone().unwrap_or_default())
}

impl From<ExplainError> for Error {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Invalid(problems) => problems.into(),
            ExplainError::NoSuchService {
                suggestion: Some(ref meant),
                ..
            }
            | ExplainError::NoSuchPath {
                suggestion: Some(ref meant),
                ..
            } => Self::new(error.to_string()).hint(format!("did you mean `{meant}`?")),
            ExplainError::NoSuchPath { ref known, .. } if !known.is_empty() => {
                let verb = if known.len() == 1 { "is" } else { "are" };
                Self::new(error.to_string()).hint(format!("there {verb} {}", shortened(known)))
            }
            ExplainError::NoSuchService { .. } | ExplainError::NoSuchPath { .. } => {
                Self::new(error.to_string())
            }
        }
    }
}

/// The first of many names.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    let shown = shown.join(", ");
    match names.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}
