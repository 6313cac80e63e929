//! `stack image rm`.

use std::io::Write as _;
use std::time::Duration;

use clap::Args;

use super::{no_such_image, short};
use crate::cli::containers::{Listed, listed};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::images::in_use;
use crate::engine::native::observe;
use crate::image::{Error as StoreError, Image, ImageStore, Reference, Removed};
use crate::ui::words;

/// Flags of `image rm`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Names of images, ids, or the first digits of ids.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Take the name away although a container was made of the image, and all names of an id; an image
    /// that is not there is no failure.
    #[arg(short, long)]
    force: bool,
    /// Of Docker: parents without a name stay. There are no such parents here.
    #[arg(long, hide = true)]
    no_prune: bool,
}

/// Whether containers and other names stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    Yes,
    No,
}

impl Remove {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image rm")?;
        context.require_root()?;
        let store = context.images()?;
        let mut out = std::io::stdout().lock();
        let mut failures = Vec::new();
        for text in &self.images {
            match self.remove(context, &store, text) {
                Ok(removed) => {
                    for reference in &removed.references {
                        writeln!(out, "Untagged: {}", reference.familiar())?;
                    }
                    for image in &removed.images {
                        writeln!(out, "Deleted: {image}")?;
                    }
                    if removed.bytes > 0 {
                        writeln!(out, "Freed: {}", words::size(removed.bytes))?;
                    }
                }
                Err(error) => failures.push(error),
            }
        }
        out.flush()?;
        // One failure is told in full; of several each gets its line.
        match failures.len() {
            0 => Ok(()),
            1 => Err(failures.remove(0)),
            _ => Err(Error::several(
                failures.iter().map(Error::summary).collect(),
            )),
        }
    }

    fn remove(&self, context: &Context, store: &ImageStore, text: &str) -> Result<Removed> {
        let force = if self.force { Force::Yes } else { Force::No };
        if let Ok(reference) = text.parse::<Reference>()
            && store.contains(&reference)?
        {
            return remove_image(context, store, &reference, force);
        }
        match store.find(text)? {
            Some(image) => remove_by_id(context, store, &image, force),
            None if self.force => Ok(Removed::default()),
            None => Err(no_such_image(text)),
        }
    }
}

/// Takes a name away, and the image with its last name. As in Docker an image that a container was made of
/// keeps its last name unless forced, and stays without one then.
pub(crate) fn remove_image(
    context: &Context,
    store: &ImageStore,
    reference: &Reference,
    force: Force,
) -> Result<Removed> {
    // One that is damaged can be taken away like any other.
    let image = store.get(reference).ok().flatten();
    let last = image
        .as_ref()
        .is_some_and(|image| image.references.len() == 1);
    let users = match &image {
        Some(image) if last => users(context, image)?,
        _ => Vec::new(),
    };
    if let (Some(user), Force::No) = (users.first(), force) {
        let message = format!(
            "conflict: unable to remove repository reference \"{}\" (must force) - container {} is using its referenced image {}",
            reference.familiar(),
            user.container.record.name,
            image.map_or_else(String::new, |image| short(&image.id)),
        );
        return Err(Error::new(message).hint(hint(user)));
    }
    let mut removed = Removed {
        references: store.untag(reference)?,
        ..Removed::default()
    };
    let gone = image.filter(|_| last && users.is_empty());
    if let Some(image) = gone {
        removed.images = store.forget(&[image.id])?.images;
    }
    removed.bytes = collect(context, store)?;
    Ok(removed)
}

fn remove_by_id(
    context: &Context,
    store: &ImageStore,
    image: &Image,
    force: Force,
) -> Result<Removed> {
    let users = users(context, image)?;
    let id = short(&image.id);
    let runs = users.iter().find(|user| user.state.is_active());
    if let Some(user) = runs {
        let message = format!(
            "conflict: unable to delete {id} (cannot be forced) - image is being used by running container {}",
            user.container.record.name
        );
        return Err(Error::new(message).hint(hint(user)));
    }
    if force == Force::No && image.references.len() > 1 {
        let message = format!(
            "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
        );
        return Err(Error::new(message).hint("give a name, or `--force` to take all of them"));
    }
    if let (Force::No, Some(user)) = (force, users.first()) {
        let message = format!(
            "conflict: unable to delete {id} (must be forced) - image is being used by stopped container {}",
            user.container.record.name
        );
        return Err(Error::new(message).hint(hint(user)));
    }
    let mut removed = store.forget(&[image.id])?;
    removed.bytes = collect(context, store)?;
    Ok(removed)
}

/// Deletes what nobody needs any more; while something comes in that is left for the next time.
fn collect(context: &Context, store: &ImageStore) -> Result<u64> {
    match store.clean(Duration::ZERO) {
        Ok(cleaning) => Ok(cleaning.collect(&in_use(context, store)?)?),
        Err(StoreError::Busy) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// The containers that were made of an image, those that run first.
fn users(context: &Context, image: &Image) -> Result<Vec<Listed>> {
    let id = image.id.to_string();
    let mut users = listed(&observe(&context.paths, None)?, None);
    users.retain(|user| user.container.record.image_id == id);
    users.sort_by_key(|user| !user.state.is_active());
    Ok(users)
}

fn hint(user: &Listed) -> String {
    let project = &user.container.record.project;
    format!("`stack -p {project} down` removes the containers of that project")
}
