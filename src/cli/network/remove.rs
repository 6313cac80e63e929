//! `stack network rm`.

use clap::Args;

use super::find;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::objects::{Kind, Missing, users};
use crate::engine::native::networks;
use crate::engine::native::objects::remove_network;

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
        let all = networks(&context.paths)?;
        let users = users(context)?;
        let missing = match self.force {
            true => Missing::PassedOver,
            false => Missing::Fails,
        };
        Kind::Network.remove(context, (&self.networks, missing), |text| {
            let Some(record) = find(&all, text)? else {
                return Ok(false);
            };
            Kind::Network.refuse_used(&record.name, users.of_network(&record.name))?;
            remove_network(&context.paths, &record.name)?;
            Ok(true)
        })
    }
}
