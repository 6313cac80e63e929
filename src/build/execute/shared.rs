//! Caches of other machines: taken over before a request's first step, written after its last.

use std::sync::PoisonError;

use serde_json::Value;

use super::stage::Staged;
use super::{Session, Work};
use crate::build::error::{Error, StepError};
use crate::build::request::{NoCache, Request};
use crate::build::shared::{
    CachePlace, CacheSource, CacheTarget, Made, adopt, adopt_directory, image_of, records,
    write_directory,
};
use crate::image::{Image, PullOptions, PushOptions, Reference, pull, push};

impl Session<'_> {
    /// Takes over what other machines have made. A cache that cannot be had is no failure: the steps are
    /// done here then.
    pub(super) fn import_caches(&self, request: &Request) -> Result<(), Error> {
        if request.no_cache == NoCache::Everything {
            return Ok(());
        }
        // One at a time: services of a project often name the same.
        let mut imported = self.imported.lock().unwrap_or_else(PoisonError::into_inner);
        for source in &request.cache_from {
            if imported.contains(source) {
                continue;
            }
            imported.push(source.clone());
            let place = match source {
                CacheSource::Registry(reference) => reference.familiar(),
                CacheSource::Directory(path) => path.display().to_string(),
            };
            let told = self
                .teller
                .begin(format!("importing cache manifest from {place}"));
            let result = match source {
                CacheSource::Registry(reference) => self.import_image(reference, request),
                CacheSource::Directory(path) => adopt_directory(self.store(), self.cache(), path),
            };
            match &result {
                Err(Error::Canceled | Error::Work(StepError::Canceled)) => {
                    return result.map(drop);
                }
                Ok(0) => told.status("it has no records of steps"),
                Ok(count) => told.status(format!("{count} steps")),
                Err(_) => {}
            }
            told.result(&result);
        }
        Ok(())
    }

    fn import_image(&self, reference: &Reference, request: &Request) -> Result<usize, Error> {
        let before = self.store().ids()?;
        let options = PullOptions {
            platform: request
                .platform
                .as_deref()
                .map(super::bases::parse_platform),
            registries: self.builder.registries.clone(),
            unnamed: true,
            ..PullOptions::default()
        };
        let progress = |_| {};
        let image = self.wait_for(pull(self.store(), reference, &options, &progress))??;
        let count = adopt(self.store(), self.cache(), &image);
        // The layers that are of use are the cache's now.
        if !before.contains(&image.id) {
            self.store().forget(&[image.id])?;
        }
        count
    }

    /// Writes what the steps have made to the places that the request names.
    pub(super) fn export_caches(
        &self,
        work: &Work<'_>,
        staged: &Staged,
        image: &Image,
    ) -> Result<(), Error> {
        for target in &work.request.cache_to {
            let place = match &target.place {
                CachePlace::Inline => continue,
                CachePlace::Registry(reference) => reference.familiar(),
                CachePlace::Directory(path) => path.display().to_string(),
            };
            let told = self
                .teller
                .begin(work.title(&format!("exporting cache to {place}")));
            let result = self.export_cache((work, staged, image), target);
            told.result(&result);
            match result {
                Err(error) if target.ignore_error => self
                    .teller
                    .warn(format!("the cache was not written to {place}: {error}")),
                other => other?,
            }
        }
        Ok(())
    }

    fn export_cache(
        &self,
        (work, staged, image): (&Work<'_>, &Staged, &Image),
        target: &CacheTarget,
    ) -> Result<(), Error> {
        let made = work.made.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = chosen(&made, staged, target.all);
        let mut platform = self.store().raw_config(image)?;
        platform
            .retain(|key, _| matches!(key.as_str(), "os" | "architecture" | "variant" | "created"));
        let (config, layers) = image_of(&wanted, &platform);
        match &target.place {
            CachePlace::Inline => Ok(()),
            CachePlace::Directory(path) => write_directory(self.store(), &(config, layers), path),
            CachePlace::Registry(reference) => {
                let before = self.store().ids()?;
                let cache = self.store().name_image(&config, &layers, &[])?;
                let options = PushOptions {
                    registries: self.builder.registries.clone(),
                    manifest: Some(cache.manifest),
                    ..PushOptions::default()
                };
                let progress = |_| {};
                let pushed = self.wait_for(push(self.store(), reference, &options, &progress));
                if !before.contains(&cache.id) {
                    self.store().forget(&[cache.id])?;
                }
                pushed??;
                Ok(())
            }
        }
    }
}

impl Work<'_> {
    /// The records that go into the image itself.
    pub(super) fn inline_records(&self, staged: &Staged) -> Option<Value> {
        let inline = |target: &&CacheTarget| target.place == CachePlace::Inline;
        self.request.cache_to.iter().find(inline)?;
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        Some(records(&chosen(&made, staged, false)))
    }
}

/// What is exported: all, or what the image is made of. In a fixed order, for the same steps are to make
/// the same cache.
fn chosen<'a>(made: &'a [Made], staged: &Staged, all: bool) -> Vec<&'a Made> {
    let of_image = |made: &&Made| staged.layers.contains(&made.layer);
    let mut chosen: Vec<&Made> = made.iter().filter(|made| all || of_image(made)).collect();
    chosen.sort_by_key(|made| made.key.hex());
    chosen.dedup_by_key(|made| made.key.hex());
    chosen
}
