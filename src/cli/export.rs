//! `stack export`: the files of a container as an archive.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::context::Context;
use super::error::{Error, Result};
use super::pick::{Among, Target};
use crate::engine::native::{View, with_root};
use crate::image::layer::pack_entry;
use crate::plan::ObservedContainer;
use crate::ui::Progress;

/// Flags of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
}

/// `--output`.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// File to write, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.require_root()?;
        let container = self.target.find(context, Among::All)?;
        let mut progress = context.progress("export");
        self.output.write(context, &container, &mut progress)
    }
}

impl Output {
    /// Writes the archive there, and says so.
    pub(crate) fn write(
        &self,
        context: &Context,
        container: &ObservedContainer,
        progress: &mut Progress,
    ) -> Result<()> {
        let name = &container.record.name;
        if self.output.is_none() && io::stdout().is_terminal() {
            return Err(
                Error::new("output option is required when exporting to terminal")
                    .hint("name a file with `-o`, or give the output to another program"),
            );
        }
        if let Some(path) = &self.output {
            check(path)?;
        }
        progress.note(&format!("{name} Exporting"));
        if context.global.dry_run {
            return Ok(());
        }
        match &self.output {
            Some(path) => into_file(context, container, path)?,
            None => archive(context, container, super::cp::standard_output()?)?,
        }
        Ok(())
    }
}

/// A file can be made there.
fn check(path: &Path) -> Result<()> {
    let directory = std::path::absolute(path)
        .ok()
        .and_then(|path| path.parent().map(Path::to_owned));
    match directory {
        Some(directory) if !directory.is_dir() => Err(Error::new(format!(
            "failed to export container: invalid output path: directory \"{}\" does not exist",
            directory.display()
        ))),
        _ if path.is_dir() => Err(Error::new(format!(
            "failed to export container: invalid output path: \"{}\" is a directory",
            path.display()
        ))),
        _ => Ok(()),
    }
}

/// Writes a file that is there as a whole or not at all.
fn into_file(context: &Context, container: &ObservedContainer, path: &Path) -> Result<()> {
    let failed =
        |error: io::Error| Error::new(format!("cannot write {}", path.display())).because(error);
    // What is no plain file, as /dev/null, is written to and not replaced.
    if path.exists() && !path.is_file() {
        let file = File::options().write(true).open(path).map_err(failed)?;
        return archive(context, container, file);
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{:08x}.part", fastrand::u32(..)));
    let unfinished = PathBuf::from(unfinished);
    let file = File::options()
        .write(true)
        .create_new(true)
        // There may be secrets in it.
        .mode(0o600)
        .open(&unfinished)
        .map_err(failed)?;
    let written = archive(context, container, file)
        .and_then(|()| fs::rename(&unfinished, path).map_err(failed));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn archive(context: &Context, container: &ObservedContainer, out: impl Write + Send) -> Result<()> {
    with_root(
        &context.paths,
        (container, View::Own),
        |root| -> Result<()> {
            pack_entry((root.fd(), c"."), b"", out).map_err(super::cp::archive_error)
        },
    )
}
