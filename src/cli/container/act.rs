//! `stack container start`, `stop`, `restart`, `kill`, `rename` and `rm`: asked of single containers. What a person
//! does to one of them holds until the next command for its service.

use clap::Args;

use super::one::{One, each, everything};
use crate::cli::choice::{signal, timeout};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::inspect::find;
use crate::control::Act;

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

/// Flags of `container rename`.
#[derive(Debug, Args)]
pub(crate) struct Rename {
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Its name from now on.
    #[arg(value_name = "NAME")]
    name: String,
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

impl Stop {
    /// `container stop`.
    pub(super) fn stop(self, context: &Context) -> Result<()> {
        let timeout = timeout(self.timeout);
        each(&self.containers, |name| {
            One::find(context, name)?.ask(context, Act::Stop { timeout })
        })
    }

    /// `container restart`.
    pub(super) fn restart(self, context: &Context) -> Result<()> {
        let timeout = timeout(self.timeout);
        each(&self.containers, |name| {
            One::find(context, name)?.ask(context, Act::Restart { timeout })
        })
    }
}

impl Start {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        each(&self.containers, |name| {
            One::find(context, name)?.ask(context, Act::Start)
        })
    }
}

impl Kill {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let signal = signal(&self.signal)?;
        each(&self.containers, |name| {
            let one = One::find(context, name)?;
            match one.listed.container.is_up() {
                true => one.ask(context, Act::Kill { signal }),
                false => Err(Error::new(format!("container {name} is not running"))),
            }
        })
    }
}

impl Rename {
    /// Does it.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let one = One::find(context, &self.container)?;
        let to = self.name.strip_prefix('/').unwrap_or(&self.name);
        check_name(to)?;
        let all = everything(context)?;
        if let Some(other) = all.iter().find(|other| other.record().name == to) {
            let (name, id) = (to, &other.record().id);
            return Err(match *id == one.listed.record().id {
                // Docker's words.
                true => Error::new("renaming a container with the same name as its current name"),
                false => Error::new(format!(
                    "the container name \"/{name}\" is already in use by container \"{id}\""
                ))
                .hint("remove or rename that one, or choose another name"),
            });
        }
        one.ask(context, Act::Rename { to: to.to_owned() })
    }
}

/// Refuses what Docker refuses as a container's name.
fn check_name(name: &str) -> Result<()> {
    let begins_well = name.starts_with(|char: char| char.is_ascii_alphanumeric());
    let good = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
    if begins_well && name.len() > 1 && name.chars().all(good) {
        return Ok(());
    }
    Err(Error::new(format!(
        "invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
    )))
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
        if one.listed.container.is_up() && !self.force {
            let name = &one.listed.record().name;
            return Err(Error::new(format!("container {name} is running"))
                .hint("stop it first, or use --force"));
        }
        let act = Act::Remove {
            left: one.left(),
            force: self.force,
            volumes: self.volumes,
        };
        one.ask(context, act)
    }
}
