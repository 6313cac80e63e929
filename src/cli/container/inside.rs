//! `stack container logs`, `exec`, `attach` and `top`: what is in one container, and what it says.

use std::io::Write as _;

use clap::Args;
use jiff::Timestamp;

use super::one::One;
use crate::cli::attach_to::Joining;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::exec::{Input, Inside, Manner, Terminal};
use crate::cli::logs::{self, Times};
use crate::cli::top::write_one;

/// Flags of `container logs`.
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Go on as more comes, until it has ended.
    #[arg(short, long)]
    follow: bool,
    /// Lines from the end; `all` for all.
    #[arg(
        short = 'n',
        long,
        value_name = "LINES",
        default_value = "all",
        allow_hyphen_values = true
    )]
    tail: String,
    #[command(flatten)]
    times: Times,
    /// What the logging driver was given besides; ours keeps nothing else.
    #[arg(long, hide = true)]
    details: bool,
}

/// Flags of `container exec`.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    manner: Manner,
    /// Keep standard input open; it always is.
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Program and arguments.
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

/// Flags of `container attach`.
#[derive(Debug, Args)]
pub(crate) struct Attach {
    #[command(flatten)]
    joining: Joining,
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
}

/// Flags of `container top`.
#[derive(Debug, Args)]
pub(crate) struct Top {
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Logs {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let one = One::find(context, &self.container)?;
        let range = self.times.range(&self.tail, Timestamp::now())?;
        let how = (self.follow, self.times.timestamps, range);
        logs::of_container(context, one.listed.record(), how)
    }
}

impl Exec {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        if !context.global.dry_run {
            context.require_root()?;
        }
        let one = One::find(context, &self.container)?.running()?;
        let inside = Inside {
            command: self.command,
            manner: self.manner,
            terminal: match self.tty {
                true => Terminal::WhereThereIsOne,
                false => Terminal::None,
            },
            input: Input::Callers,
        };
        inside.run(context, &one.listed.container)
    }
}

impl Attach {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let one = One::find(context, &self.container)?;
        match one.listed.container.is_up() {
            true => self.joining.join(context, &one.listed.container),
            // Docker's words.
            false => Err(Error::new(
                "You cannot attach to a stopped container, start it first",
            )),
        }
    }
}

impl Top {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let one = One::find(context, &self.container)?.running()?;
        let mut out = std::io::stdout().lock();
        write_one(&one.listed, &mut out)?;
        Ok(out.flush()?)
    }
}
