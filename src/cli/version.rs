//! `stack version`.

use std::io::Write as _;

use clap::{Args, ValueEnum};

use super::error::Result;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Flags of `version`.
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Print the number only.
    #[arg(long)]
    short: bool,
    /// Form of the answer.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "pretty"
    )]
    format: Form,
}

/// `--format` of `version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A line for people.
    Pretty,
    /// JSON for programs.
    Json,
}

impl Version {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        let text = match (self.short, self.format) {
            (true, _) => VERSION.to_owned(),
            (_, Form::Json) => format!("{{\"version\":\"{VERSION}\"}}"),
            (_, Form::Pretty) => format!("stack version {VERSION}"),
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}
