//! `stack container logs` and `exec`: what the commands of a project do to one replica, for who has a
//! container's name only.

use clap::Args;

use super::one::One;
use crate::cli::context::Context;
use crate::cli::error::Result;
use crate::cli::exec::Manner;
use crate::cli::logs::Times;

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
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all")]
    tail: String,
    #[command(flatten)]
    times: Times,
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

impl Logs {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let one = One::find(context, &self.container)?;
        one.replica("logs")?;
        let mut words: Vec<String> = ["logs", "--no-log-prefix", "--no-color"]
            .map(str::to_owned)
            .into();
        words.push(format!("--index={}", one.listed.record().number));
        words.push(format!("--tail={}", self.tail));
        for (flag, given) in [
            ("--follow", self.follow),
            ("--timestamps", self.times.timestamps),
        ] {
            words.extend(given.then(|| flag.to_owned()));
        }
        for (flag, value) in [("--since", self.times.since), ("--until", self.times.until)] {
            words.extend(value.map(|value| format!("{flag}={value}")));
        }
        one.service_command(context, &words)
    }
}

impl Exec {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let one = One::find(context, &self.container)?;
        one.replica("exec")?;
        let mut words = vec!["exec".to_owned()];
        words.push(format!("--index={}", one.listed.record().number));
        for (flag, given) in [
            ("--detach", self.manner.detach),
            ("--no-tty", !self.tty),
            ("--privileged", self.manner.privileged),
        ] {
            words.extend(given.then(|| flag.to_owned()));
        }
        words.extend(
            self.manner
                .env
                .into_iter()
                .map(|env| format!("--env={env}")),
        );
        for (flag, value) in [
            ("--user", self.manner.user),
            ("--workdir", self.manner.workdir),
        ] {
            words.extend(value.map(|value| format!("{flag}={value}")));
        }
        words.push(one.listed.record().service.to_string());
        words.extend(self.command);
        one.command(context, &words)
    }
}
