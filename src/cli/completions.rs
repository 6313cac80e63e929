//! `stack completions`.

use std::io::Write as _;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::args::Cli;
use super::error::Result;

/// Flags of `completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        // Into memory first: the generator does not take a closed output well.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "stack", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(())
    }
}
