//! `stack image rm`.

use std::io::Write as _;

use clap::Args;

use super::meant;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::images::layers_in_use;
use crate::image::Reference;
use crate::ui::words;

/// Flags of `image rm`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// Names of images, ids, or the first digits of ids.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// An image that is not there is no failure.
    #[arg(short, long)]
    force: bool,
}

impl Remove {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image rm")?;
        context.require_root()?;
        let store = context.images()?;
        let in_use = layers_in_use(context, &store)?;
        let mut out = std::io::stdout().lock();
        let mut failures = Vec::new();
        for text in &self.images {
            let reference: Reference = match meant(context, text) {
                Ok(reference) => reference,
                Err(_) if self.force => continue,
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            let removed = store.remove(&reference, &in_use)?;
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
}
