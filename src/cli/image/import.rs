//! `stack image import`.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::{Shown, reference};
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::cli::time;
use crate::control::ProgressState;
use crate::image::{ConfigChange, ImportOptions, Reference};

/// Flags of `image import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Archive of a root file system (tar; plain, gzip or zstd); `-` is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the image.
    #[arg(value_name = "NAME[:TAG]")]
    name: String,
    /// Change the configuration, in a Dockerfile's words: `CMD ["nginx"]`, `ENV A=1`.
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// A line for the history of the image.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Put the archive on this image as one more layer.
    #[arg(long, value_name = "IMAGE")]
    base: Option<String>,
    /// When the image was made; now unless given.
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
}

impl Import {
    /// Does it.
    pub(crate) fn run(self, context: &Context) -> Result<()> {
        context.refuse_dry_run("image import")?;
        context.require_root()?;
        let name = reference(&self.name)?;
        let options = self.options()?;
        let store = context.images()?;
        let shown = Shown::new(
            context,
            &self.name,
            [ProgressState::Importing, ProgressState::Imported],
        );
        let tell = |step| shown.step(&step);
        let image = if self.file.as_os_str() == "-" {
            store.import_rootfs(io::stdin(), &name, &options, &tell)?
        } else {
            let file = File::open(&self.file).map_err(|error| {
                Error::new(format!("cannot open {}", self.file.display())).because(error)
            })?;
            store.import_rootfs(BufReader::new(file), &name, &options, &tell)?
        };
        crate::cli::image_phase::settle_later(context, &store);
        shown.done();
        writeln!(io::stdout(), "{}", image.id)?;
        Ok(())
    }

    fn options(&self) -> Result<ImportOptions> {
        let mut changes = Vec::new();
        for line in &self.change {
            changes.extend(ConfigChange::parse(line)?);
        }
        let base: Option<Reference> = self.base.as_deref().map(reference).transpose()?;
        let created = self.created.as_deref();
        let created = created
            .map(|text| time::point(text, Timestamp::now()))
            .transpose()?;
        Ok(ImportOptions {
            base,
            changes,
            message: self.message.clone(),
            created,
            ..ImportOptions::default()
        })
    }
}
