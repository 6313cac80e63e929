//! `stack logout`.

use std::io::Write as _;

use clap::Args;

use super::context::Context;
use super::drive::{block_on, warn};
use super::error::{Error, Result};
use crate::image::log_out;

/// Flags of `logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// The registry, as `host` or `host:port`; Docker Hub unless given.
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Logout {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("logout")?;
        let server = self.server.unwrap_or_default();
        let registries = context.registries();
        let out = block_on(async {
            let work = log_out(&registries, &server).await;
            work.map_err(|error| Error::from(crate::image::Error::from(error)))
        })?;
        let name = match server.as_str() {
            "" => "https://index.docker.io/v1/",
            server => server,
        };
        for path in out.elsewhere {
            let path = path.display();
            let message = format!("the login for {name} in {path} is another tool's and stays");
            warn(&message, context.terminal.stderr);
        }
        let mut stdout = std::io::stdout().lock();
        match out.removed {
            true => writeln!(stdout, "Removing login credentials for {name}")?,
            false => writeln!(stdout, "Not logged in to {name}")?,
        }
        Ok(stdout.flush()?)
    }
}
