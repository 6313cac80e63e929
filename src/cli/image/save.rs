//! `stack image save`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Shown, no_such_image};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::control::ProgressState;
use crate::image::{ImageStore, SavedImage};

/// Flags of `image save`.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Names of images (without a tag: all tags), ids, or the first digits of ids.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// File to write; standard output unless given.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Save {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image save")?;
        context.require_root()?;
        let file = self.output.filter(|path| path.as_os_str() != "-");
        if file.is_none() && io::stdout().is_terminal() {
            return Err(Error::new("an archive is nothing for a terminal")
                .hint("name a file with `-o FILE`, or send the output to one"));
        }
        let store = context.images()?;
        let mut found = Vec::new();
        for text in &self.images {
            found.extend(store.to_save(text)?.ok_or_else(|| no_such_image(text))?);
        }
        let Some(path) = file else {
            return write(
                context,
                "archive",
                (&store, &found),
                &mut io::stdout().lock(),
            );
        };
        let name = path.to_string_lossy();
        save_to(&path, |file| write(context, &name, (&store, &found), file))
    }
}

fn write(
    context: &Context,
    name: &str,
    (store, found): (&ImageStore, &[SavedImage]),
    out: &mut dyn Write,
) -> Result<()> {
    let shown = Shown::new(context, name, [ProgressState::Saving, ProgressState::Saved]);
    let tell = |step| shown.step(&step);
    match store.save(found, &mut BufWriter::new(out), &tell) {
        // Whoever reads has seen enough: `stack image save … | tar -t | head`.
        Err(crate::image::Error::Write { source }) => return Err(source.into()),
        other => other?,
    }
    shown.done();
    Ok(())
}

/// Writes a file that appears whole, or not at all; a device or pipe is written as it is.
fn save_to(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let failed =
        |error: io::Error| Error::new(format!("cannot write {}", path.display())).because(error);
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let mut file = File::options().write(true).open(path).map_err(failed)?;
        return write(&mut file);
    }
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary).map_err(failed)?;
    let written = write(&mut file).and_then(|()| std::fs::rename(&temporary, path).map_err(failed));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
