//! `stack network rm`.

use std::io::Write as _;

use clap::Args;

use super::{find, no_such_network};
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::objects::{all_of, refuse_used, users};
use crate::engine::native::networks;
use crate::engine::native::objects::{Users, remove_network};
use crate::state::records::NetworkRecord;

/// Flags of `network rm`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Names of networks, ids, or the first digits of ids.
    #[arg(value_name = "NETWORK", required = true)]
    networks: Vec<String>,
    /// A network that is not there is no failure.
    #[arg(short, long)]
    force: bool,
}

impl Remove {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("network rm")?;
        context.require_root()?;
        let all = networks(&context.paths)?;
        let users = users(context)?;
        let mut out = std::io::stdout().lock();
        let mut failures = Vec::new();
        for text in &self.networks {
            match one(context, (&all, &users), text) {
                Ok(Some(_)) => writeln!(out, "{text}")?,
                Ok(None) if self.force => {}
                Ok(None) => failures.push(no_such_network(text)),
                Err(error) => failures.push(error),
            }
        }
        out.flush()?;
        all_of(failures)
    }
}

fn one<'a>(
    context: &Context,
    (all, users): (&'a [NetworkRecord], &Users),
    text: &str,
) -> Result<Option<&'a NetworkRecord>> {
    let Some(record) = find(all, text)? else {
        return Ok(None);
    };
    refuse_used("network", &record.name, users.of_network(&record.name))?;
    remove_network(&context.paths, &record.name)?;
    Ok(Some(record))
}
