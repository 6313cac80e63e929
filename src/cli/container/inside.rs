//! `stack container logs` and `exec`: what the commands of a project do to one replica, for who has a
//! container's name only.

use clap::Args;

use super::one::One;
use crate::cli::context::Context;
use crate::cli::error::Result;

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
    /// Show the time of each line.
    #[arg(short, long)]
    timestamps: bool,
    /// Only what was written since this time or so long ago.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was written before this time or so long ago.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// Flags of `container exec`.
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Run it in the background.
    #[arg(short, long)]
    detach: bool,
    /// Set a variable, or pass on the caller's.
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Keep standard input open; it always is.
    #[arg(short, long)]
    interactive: bool,
    /// Give the program a terminal.
    #[arg(short, long)]
    tty: bool,
    /// Give the program all capabilities.
    #[arg(long)]
    privileged: bool,
    /// Run as this user.
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Directory to run in.
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
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
        for (flag, given) in [("--follow", self.follow), ("--timestamps", self.timestamps)] {
            words.extend(given.then(|| flag.to_owned()));
        }
        for (flag, value) in [("--since", self.since), ("--until", self.until)] {
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
            ("--detach", self.detach),
            ("--no-tty", !self.tty),
            ("--privileged", self.privileged),
        ] {
            words.extend(given.then(|| flag.to_owned()));
        }
        words.extend(self.env.into_iter().map(|env| format!("--env={env}")));
        for (flag, value) in [("--user", self.user), ("--workdir", self.workdir)] {
            words.extend(value.map(|value| format!("{flag}={value}")));
        }
        words.push(one.listed.record().service.to_string());
        words.extend(self.command);
        one.command(context, &words)
    }
}
