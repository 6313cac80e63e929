//! `ADD`: copies, archives that are unpacked, and downloads.

use jiff::Timestamp;

use super::copy::{exclude, inline, mode, paths};
use super::stage::Bench;
use crate::build::copy::{Existing, Manner, Writer, select_all};
use crate::build::error::StepError;
use crate::build::event::{End, Told};
use crate::build::plan::step::{Add, Origin};
use crate::build::run::MountSources;
use crate::image::StoredLayer;

impl Bench<'_> {
    pub(super) fn add(
        &self,
        add: &Add,
        _told: &Told<'_>,
    ) -> Result<(StoredLayer, Timestamp, End), StepError> {
        let paths = paths(&add.transfer);
        let key = self.transfer_key("add", &add.transfer, (&Origin::Context, &paths, false))?;
        self.layer(key, |snapshot| {
            let target = self.target(snapshot, add.transfer.link)?;
            let exclude = exclude(&add.transfer)?;
            let mode = mode(&add.transfer)?;
            let manner = Manner {
                owner: self.owner(&add.transfer)?,
                mode: mode.as_ref(),
                exclude: &*exclude,
                existing: Existing::Kept,
            };
            let mut writer = Writer::new(&target.root, manner);
            if !paths.is_empty() {
                let files = self.origins.files(&Origin::Context)?;
                let (_mounted, tree) = files.open(&self.session().place())?;
                for found in select_all(&tree, &paths, false)? {
                    writer.copy(&tree, &found, (&add.transfer.destination, false))?;
                }
            }
            inline(&mut writer, &add.transfer)
        })
    }
}
