//! `stack container port`, `wait` and `stats`: how it is with containers.

use std::io::Write as _;

use clap::Args;

use super::one::{One, each_quietly};
use crate::cli::containers::publishers;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::stats::Shown;
use crate::cli::wait::wait_for_one;

/// Flags of `container port`.
#[derive(Debug, Args)]
pub(crate) struct Port {
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Port in the container, `80` or `53/udp`; none = all of them.
    #[arg(value_name = "PRIVATE_PORT[/PROTO]")]
    port: Option<String>,
}

/// Flags of `container wait`.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Flags of `container stats`.
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Names of containers, ids, or the first digits of ids; none = all that run.
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
    #[command(flatten)]
    shown: Shown,
}

impl Port {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let one = One::find(context, &self.container)?;
        let mut published = publishers(&one.listed);
        published.retain(|publisher| publisher.published != 0);
        let mut out = std::io::stdout().lock();
        let Some(port) = &self.port else {
            for publisher in &published {
                let (target, protocol) = (publisher.target, &publisher.protocol);
                writeln!(out, "{target}/{protocol} -> {}", publisher.host_port())?;
            }
            return Ok(out.flush()?);
        };
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        published.retain(|publisher| {
            number.parse() == Ok(publisher.target) && publisher.protocol == protocol
        });
        if published.is_empty() {
            // Docker's words.
            return Err(Error::new(format!(
                "No public port '{number}/{protocol}' published for {}",
                self.container
            )));
        }
        for publisher in &published {
            writeln!(out, "{}", publisher.host_port())?;
        }
        Ok(out.flush()?)
    }
}

impl Wait {
    /// Does it: prints how each has ended, in their order.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("wait")?;
        each_quietly(&self.containers, |name| {
            let one = One::find(context, name)?;
            let code = wait_for_one(context, one.listed.container)?;
            Ok(writeln!(std::io::stdout(), "{code}")?)
        })
    }
}

impl Stats {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let list = || match self.containers.is_empty() {
            true => super::one::everything(context),
            false => {
                let names = self.containers.iter();
                names
                    .map(|name| Ok(One::find(context, name)?.listed))
                    .collect()
            }
        };
        self.shown.show(&list)
    }
}
