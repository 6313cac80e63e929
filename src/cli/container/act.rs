//! `stack container stop`, `start`, `restart`, `kill`, `rm`, `logs` and `exec`: what the commands of a
//! project do to a service, for who has a container's name only.

use std::io::Write as _;

use clap::{Args, Parser as _};
use indexmap::IndexMap;

use crate::cli::args::{Cli, Global};
use crate::cli::containers::{Listed, listed};
use crate::cli::context::Context;
use crate::cli::drive::drive;
use crate::cli::error::{Error, Result};
use crate::cli::inspect::find;
use crate::cli::objects::all_of;
use crate::control::{Command, Removal};
use crate::engine::native::observe;

/// Flags of `container stop` and `container restart`.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// Time that they are given to stop, in seconds.
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true)]
    timeout: Option<i64>,
}

/// Flags of `container start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Flags of `container kill`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// The signal, by name or number.
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL")]
    signal: String,
}

/// Flags of `container rm`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Names of containers, ids, or the first digits of ids.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
    /// End those that run, first; one that is not there is no failure.
    #[arg(short, long)]
    force: bool,
    /// Remove their volumes without a name, too.
    #[arg(short, long)]
    volumes: bool,
}

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

impl Stop {
    /// `container stop`.
    pub(super) fn stop(self, context: &Context) -> Result<()> {
        self.each(context, "stop")
    }

    /// `container restart`.
    pub(super) fn restart(self, context: &Context) -> Result<()> {
        self.each(context, "restart")
    }

    fn each(self, context: &Context, verb: &str) -> Result<()> {
        let mut words = vec![verb.to_owned()];
        if let Some(seconds) = self.timeout {
            words.push(format!("--timeout={seconds}"));
        }
        each(&self.containers, |name| {
            let one = One::find(context, name)?;
            one.sole(verb)?;
            one.service_command(context, &words)
        })
    }
}

impl Start {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        each(&self.containers, |name| {
            let one = One::find(context, name)?;
            one.sole("start")?;
            one.service_command(context, &["start".to_owned()])
        })
    }
}

impl Kill {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let words = ["kill".to_owned(), format!("--signal={}", self.signal)];
        each(&self.containers, |name| {
            let one = One::find(context, name)?;
            one.sole("kill")?;
            if !one.listed.container.is_up() {
                return Err(Error::new(format!("container {name} is not running")));
            }
            one.service_command(context, &words)
        })
    }
}

impl Remove {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let mut names = self.containers.clone();
        if self.force {
            let all = everything(context)?;
            names.retain(|name| !matches!(find(&all, name), Ok(None)));
        }
        each(&names, |name| self.one(context, name))
    }

    fn one(&self, context: &Context, name: &str) -> Result<()> {
        let one = One::find(context, name)?;
        let record = one.listed.record();
        if one.listed.container.is_up() {
            if !self.force {
                return Err(Error::new(format!("container {} is running", record.name))
                    .hint("stop it first, or use --force"));
            }
            if record.one_off {
                let command = Command::RemoveOneOff {
                    id: record.id.clone(),
                };
                return drive(context, &record.project, &command, "rm");
            }
            one.sole("stop")?;
            let words = ["stop".to_owned(), "--timeout=0".to_owned()];
            one.service_command(context, &words)?;
        }
        let mut left = IndexMap::new();
        if !record.one_off {
            left.insert(record.service.clone(), one.others);
        }
        let removal = Removal {
            containers: vec![record.id.clone()],
            left,
            services: vec![record.service.clone()],
            volumes: self.volumes,
        };
        drive(context, &record.project, &Command::Remove(removal), "rm")
    }
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

/// A container that was named, and how many others its service has.
struct One {
    listed: Listed,
    others: u32,
}

impl One {
    fn find(context: &Context, name: &str) -> Result<Self> {
        let all = everything(context)?;
        let found = find(&all, name).map_err(Error::new)?;
        let found = found.ok_or_else(|| Error::new(format!("no such container: {name}")))?;
        let record = found.record();
        let others = all.iter().filter(|other| {
            let other = other.record();
            other.project == record.project
                && other.service == record.service
                && other.id != record.id
                && !other.one_off
        });
        Ok(Self {
            others: u32::try_from(others.count()).unwrap_or(u32::MAX),
            listed: found.clone(),
        })
    }

    /// Refuses one that was made by `run`: the commands of services do not know it.
    fn replica(&self, verb: &str) -> Result<()> {
        let record = self.listed.record();
        match record.one_off {
            false => Ok(()),
            true => Err(Error::new(format!(
                "container {} was made by `run`: `container {verb}` does not reach it",
                record.name
            ))
            .hint(format!("`stack container rm -f {}` ends it", record.name))),
        }
    }

    /// Refuses one of several: what is wanted of a service is wanted of all its replicas.
    fn sole(&self, verb: &str) -> Result<()> {
        self.replica(verb)?;
        let record = self.listed.record();
        let (service, project) = (&record.service, &record.project);
        match self.others {
            0 => Ok(()),
            others => Err(Error::new(format!(
                "container {} is one of {} of service {service}, which are alike",
                record.name,
                others + 1
            ))
            .hint(format!(
                "`stack -p {project} {verb} {service}` is for all of them"
            ))),
        }
    }

    /// Gives a command of the project, for the container's service.
    fn service_command(&self, context: &Context, words: &[String]) -> Result<()> {
        let service = self.listed.record().service.to_string();
        self.command(context, &[words, &[service]].concat())
    }

    /// Gives a command of the project, as if it had been typed.
    fn command(&self, context: &Context, words: &[String]) -> Result<()> {
        let typed = std::iter::once("stack".to_owned()).chain(words.iter().cloned());
        let cli = Cli::try_parse_from(typed)
            .map_err(|error| Error::new(error.render().to_string().trim_end().to_owned()))?;
        let global = Global {
            project_name: Some(self.listed.record().project.clone()),
            files: Vec::new(),
            ..context.global.clone()
        };
        cli.command.run(&Context::new(global)?)
    }
}

fn everything(context: &Context) -> Result<Vec<Listed>> {
    Ok(listed(&observe(&context.paths, None)?, None))
}

/// Does it to each, prints the names of those that it was done to, and tells all failures.
fn each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut failures = Vec::new();
    for name in names {
        match act(name) {
            Ok(()) => writeln!(std::io::stdout(), "{name}")?,
            Err(error) => failures.push(error),
        }
    }
    all_of(failures)
}
