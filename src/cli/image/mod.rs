//! `stack image …`: images, apart from any project; one file per sub-command.
//!
//! How a transfer is shown is here, too, since pulls, pushes, loads and saves show it alike.

pub(super) mod build;
mod history;
mod import;
mod inspect;
mod list;
mod load;
mod prune;
mod pull;
mod push;
pub(super) mod remove;
mod save;
mod settle;
mod tag;

pub(super) use inspect::document;
pub(super) use remove::Remove;
pub(super) use tag::Tag;

use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::Subcommand;

use super::context::Context;
use super::error::{Error, Result};
use crate::control::{Kind, Progress as Change, ProgressState};
use crate::image::{Digest, Phase, Progress as Step, Reference};
use crate::ui::Progress;
use crate::ui::progress::Transfer;

/// The sub-commands of `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    /// Build an image from a Dockerfile.
    Build(Box<build::Build>),
    /// Show how an image came to be.
    History(history::History),
    /// Make an image of a root file system archive.
    Import(import::Import),
    /// Load images that another tool saved.
    Load(load::Load),
    /// List images.
    #[command(visible_alias = "list")]
    Ls(list::List),
    /// Remove images that nobody needs.
    Prune(prune::Prune),
    /// Fetch images from their registries.
    Pull(pull::Pull),
    /// Send images to their registries.
    Push(push::Push),
    /// Take names of images away, and what no name stands for any more.
    #[command(visible_alias = "remove")]
    Rm(remove::Remove),
    /// Save images in an archive that other tools load.
    Save(save::Save),
    /// Wait until all images would survive a power cut.
    #[command(hide = true)]
    Settle(settle::Settle),
    /// Give an image one more name.
    Tag(tag::Tag),
    /// Show all that is known of images, as JSON.
    Inspect(inspect::Inspect),
}

impl Image {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Build(build) => build.run(context),
            Self::History(history) => history.run(context),
            Self::Import(import) => import.run(context),
            Self::Load(load) => load.run(context),
            Self::Ls(list) => list.run(context),
            Self::Prune(prune) => prune.run(context),
            Self::Pull(pull) => pull.run(context),
            Self::Push(push) => push.run(context),
            Self::Rm(remove) => remove.run(context),
            Self::Save(save) => save.run(context),
            Self::Settle(settle) => settle.run(context),
            Self::Tag(tag) => tag.run(context),
            Self::Inspect(inspect) => inspect.run(context),
        }
    }
}

/// Reads the name of an image.
fn reference(text: &str) -> Result<Reference> {
    text.parse()
        .map_err(|error| Error::new("bad image name").because(error))
}

/// The name that a user means, which may be an id or its first digits.
fn meant(context: &Context, text: &str) -> Result<Reference> {
    let store = context.images()?;
    if let Ok(reference) = text.parse::<Reference>()
        && store.get(&reference)?.is_some()
    {
        return Ok(reference);
    }
    let image = store.find(text)?.ok_or_else(|| no_such_image(text))?;
    match &image.references[..] {
        [reference] => Ok(reference.clone()),
        [] => Err(Error::new(format!("image {text} has no name"))),
        several => {
            let names: Vec<String> = several.iter().map(Reference::familiar).collect();
            Err(Error::new(format!(
                "image {text} has several names: {}",
                names.join(", ")
            ))
            .hint("give the name"))
        }
    }
}

fn no_such_image(text: &str) -> Error {
    Error::new(format!("no such image: {text}"))
        .hint("see `stack image ls` for those that are here")
}

/// Shows bytes as they come while the work is done in this thread.
struct Shown {
    progress: Mutex<Progress>,
    name: String,
    done: ProgressState,
}

impl Shown {
    /// `doing` until it is `done`.
    fn new(context: &Context, name: &str, [doing, done]: [ProgressState; 2]) -> Self {
        let title = doing.to_string().to_lowercase();
        let shown = Self {
            progress: Mutex::new(context.progress(&title)),
            name: name.to_owned(),
            done,
        };
        shown.state(doing);
        shown
    }

    /// Shows a step of the store.
    fn step(&self, step: &Step) {
        if let Phase::Transfer { done, total } = step.phase {
            let total = total.unwrap_or(0);
            self.progress()
                .transfer(&self.name, Transfer { done, total });
        }
    }

    /// The work is done.
    fn done(self) {
        self.state(self.done);
    }

    fn state(&self, state: ProgressState) {
        self.progress().update(&Change {
            kind: Kind::Image,
            name: self.name.clone(),
            state,
            detail: None,
        });
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Twelve digits, as Docker prints ids in tables.
fn short(id: &Digest) -> String {
    id.short()
}
