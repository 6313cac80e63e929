//! A container that was named, and what is asked of it.

use std::io::Write as _;

use clap::Parser as _;

use crate::cli::args::{Cli, Global};
use crate::cli::containers::{Listed, listed};
use crate::cli::context::Context;
use crate::cli::drive::{block_on, drive, to_done};
use crate::cli::error::{Error, Result};
use crate::cli::inspect::find;
use crate::cli::objects::all_of;
use crate::control::{Act, Client, Command, Single};
use crate::engine::native::observe;
use crate::ui::Progress;

/// A container that was named, and how many others its service has.
pub(super) struct One {
    pub(super) listed: Listed,
    others: u32,
}

impl One {
    /// Finds it among those of all projects.
    pub(super) fn find(context: &Context, name: &str) -> Result<Self> {
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
    pub(super) fn replica(&self, verb: &str) -> Result<()> {
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

    /// Asks something of this container alone. Docker's command line shows nothing on the way.
    pub(super) fn ask(&self, context: &Context, act: Act) -> Result<()> {
        let record = self.listed.record();
        let command = Command::Single(Single {
            id: record.id.clone(),
            name: record.name.clone(),
            service: record.service.clone(),
            act,
        });
        if context.global.dry_run {
            return drive(context, &record.project, &command, "");
        }
        context.require_root()?;
        let client = Client::new(&context.paths, &record.project);
        block_on(async {
            let mut events = client.command(&command).await?;
            to_done(&mut events, &mut Progress::Quiet, context.terminal.stderr).await
        })
    }

    /// How many containers its service has beside it; `None` for one that is no replica.
    pub(super) fn left(&self) -> Option<u32> {
        (!self.listed.record().one_off).then_some(self.others)
    }

    /// Gives a command of the project, for the container's service.
    pub(super) fn service_command(&self, context: &Context, words: &[String]) -> Result<()> {
        let service = self.listed.record().service.to_string();
        self.command(context, &[words, &[service]].concat())
    }

    /// Gives a command of the project, as if it had been typed.
    pub(super) fn command(&self, context: &Context, words: &[String]) -> Result<()> {
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

/// All containers of the machine.
pub(super) fn everything(context: &Context) -> Result<Vec<Listed>> {
    Ok(listed(&observe(&context.paths, None)?, None))
}

/// Does it to each, prints the names of those that it was done to, and tells all failures.
pub(super) fn each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut failures = Vec::new();
    for name in names {
        match act(name) {
            Ok(()) => writeln!(std::io::stdout(), "{name}")?,
            Err(error) => failures.push(error),
        }
    }
    all_of(failures)
}
