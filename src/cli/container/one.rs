//! A container that was named, and what is asked of it.

use std::io::Write as _;

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
        let found = found.ok_or_else(|| Error::new(format!("No such container: {name}")))?;
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

    /// Refuses one that does not run.
    pub(super) fn running(self) -> Result<Self> {
        let record = self.listed.record();
        match self.listed.container.is_up() {
            true => Ok(self),
            false => Err(Error::new(format!(
                "container {} is not running",
                record.name
            ))),
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
}

/// All containers of the machine.
pub(super) fn everything(context: &Context) -> Result<Vec<Listed>> {
    Ok(listed(&observe(&context.paths, None)?, None))
}

/// Does it to each, prints the names of those that it was done to, and tells all failures.
pub(super) fn each(names: &[String], mut act: impl FnMut(&str) -> Result<()>) -> Result<()> {
    each_quietly(names, |name| {
        act(name)?;
        Ok(writeln!(std::io::stdout(), "{name}")?)
    })
}

/// Does it to each, and tells all failures.
pub(super) fn each_quietly(names: &[String], act: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let results = names.iter().map(String::as_str).map(act);
    all_of(results.filter_map(Result::err).collect())
}
