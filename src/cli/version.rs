//! `stack version`.

use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};

use super::choice::{Format, render};
use super::error::Result;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Flags of `version`.
#[derive(Debug, Args)]
pub(crate) struct Version {
    /// Print the number only.
    #[arg(long)]
    short: bool,
    /// Form of the answer: `pretty`, `json`, or a Go template.
    #[arg(short, long, value_name = "FORMAT", default_value = "pretty")]
    format: Format,
}

impl Version {
    /// Does it.
    pub(crate) fn run(self) -> Result<()> {
        let text = match (self.short, &self.format) {
            (true, _) => VERSION.to_owned(),
            (_, Format::Json) => format!("{{\"version\":\"{VERSION}\"}}"),
            (_, Format::Table) => format!("stack version {VERSION}"),
            (_, Format::Template(template) | Format::TableOf(template)) => {
                render(template, &document())?
            }
        };
        writeln!(std::io::stdout(), "{text}")?;
        Ok(())
    }
}

/// What a template sees: Docker's fields, as far as there is one program only. Scripts ask for the
/// version of the server, too.
fn document() -> Value {
    let part = json!({
        "Version": VERSION,
        "Os": std::env::consts::OS,
        "Arch": std::env::consts::ARCH,
    });
    json!({ "Version": VERSION, "Client": part, "Server": part })
}
