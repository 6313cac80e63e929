//! `stack container diff`.

use std::io::Write as _;
use std::path::Path;

use clap::Args;

use super::one::One;
use crate::cli::context::Context;
use crate::cli::error::{Error, Result};
use crate::transfer::{Change, differences};

/// Flags of `container diff`.
#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Name of a container, id, or the first digits of an id.
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Diff {
    /// Does it: `A` is new, `C` changed, `D` gone.
    pub(super) fn run(self, context: &Context) -> Result<()> {
        context.require_root()?;
        let one = One::find(context, &self.container)?;
        let record = one.listed.record();
        let gone = || Error::new(format!("image {} is not here any more", record.image));
        let id = record.image_id.parse().map_err(|_| gone())?;
        let image = context.images()?.get_by_id(&id)?.ok_or_else(gone)?;
        let layers: Vec<&Path> = image.layers.iter().map(AsRef::as_ref).collect();
        let upper = context.paths.container(&record.id).join("upper");
        let found = differences(&upper, &layers).map_err(|error| {
            Error::new(format!("cannot look at the files of {}", record.name)).because(error)
        })?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        for (path, change) in found {
            let letter = match change {
                Change::Added => 'A',
                Change::Changed => 'C',
                Change::Deleted => 'D',
            };
            writeln!(out, "{letter} {}", String::from_utf8_lossy(&path))?;
        }
        Ok(out.flush()?)
    }
}
