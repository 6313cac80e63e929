//! `COPY`.

use std::path::Path;

use jiff::Timestamp;

use super::stage::Bench;
use crate::build::cache::{Key, KeyMaker};
use crate::build::copy::{
    Everything, Existing, Filter, Manner, ModeChange, Owner, Verdict, Writer, content, find_owner,
    select_all,
};
use crate::build::error::StepError;
use crate::build::event::End;
use crate::build::files::{Files, Mounted};
use crate::build::ignore::Matcher;
use crate::build::plan::step::{Copy, Origin, Source, Transfer};
use crate::build::run::MountSources;
use crate::image::{Digest, Snapshot, StoredLayer};

impl Bench<'_> {
    pub(super) fn copy(&self, copy: &Copy) -> Result<(StoredLayer, Timestamp, End), StepError> {
        let paths = paths(&copy.transfer);
        let key = self.transfer_key("copy", &copy.transfer, (&copy.from, &paths, copy.parents))?;
        self.layer(key, |snapshot| {
            let target = self.target(snapshot, copy.transfer.link)?;
            let exclude = exclude(&copy.transfer)?;
            let mode = mode(&copy.transfer)?;
            let manner = Manner {
                owner: self.owner(&copy.transfer)?,
                mode: mode.as_ref(),
                exclude: &*exclude,
                existing: Existing::Changed,
            };
            let mut writer = Writer::new(&target.root, manner);
            self.put(&mut writer, copy, &paths)?;
            inline(&mut writer, &copy.transfer)
        })
    }

    fn put(&self, writer: &mut Writer<'_>, copy: &Copy, paths: &[&str]) -> Result<(), StepError> {
        if paths.is_empty() {
            return Ok(());
        }
        let files = self.origins.files(&copy.from)?;
        let (_mounted, tree) = files.open(&self.session().place())?;
        for found in select_all(&tree, paths, copy.parents)? {
            self.session().check()?;
            writer.copy(&tree, &found, (&copy.transfer.destination, copy.parents))?;
        }
        Ok(())
    }

    /// Where files are copied to: the stage, or for `--link` nothing but the new layer.
    pub(super) fn target(&self, snapshot: &Snapshot, link: bool) -> Result<Mounted, StepError> {
        if link {
            let nowhere = snapshot.scratch().join("merged");
            return Mounted::writable(&[], (snapshot.upper(), snapshot.work()), &nowhere);
        }
        self.writable(snapshot)
    }

    /// Whom files are to belong to.
    pub(super) fn owner(&self, transfer: &Transfer) -> Result<Option<Owner>, StepError> {
        let Some(text) = &transfer.chown else {
            return Ok(None);
        };
        let place = self.session().place();
        let below = Mounted::layers(&self.staged.layers, &place)?;
        Ok(Some(find_owner(&below.root, text)?))
    }

    /// Everything that a copy depends on.
    pub(super) fn transfer_key(
        &self,
        kind: &str,
        transfer: &Transfer,
        (from, paths, parents): (&Origin, &[&str], bool),
    ) -> Result<Key, StepError> {
        let mut key = KeyMaker::new(kind)
            .text("destination", &transfer.destination)
            .text("parents", if parents { "yes" } else { "no" });
        if transfer.link {
            // The owner's name means what the stage says, which is no part of this key.
            if let Some((uid, gid)) = self.owner(transfer)? {
                key = key.number("uid", uid.into()).number("gid", gid.into());
            }
            key = key.text("link", "yes");
        } else {
            key = key
                .digest("chain", &self.staged.chain())
                .list("chown", transfer.chown.as_deref());
        }
        key = key.list("chmod", transfer.chmod.as_deref());
        if !paths.is_empty() {
            let content = self.content(from, paths, (&transfer.exclude, parents))?;
            key = key.digest("content", &content);
        }
        for source in &transfer.sources {
            if let Source::Inline { name, content } = source {
                key = key.text("inline", name).text("text", content);
            }
        }
        Ok(key.finish())
    }

    /// What paths of an origin hash to. For what never changes it is found out once.
    pub(super) fn content(
        &self,
        from: &Origin,
        paths: &[&str],
        (excluded, parents): (&[String], bool),
    ) -> Result<Digest, StepError> {
        let find = || -> Result<Digest, StepError> {
            let files = self.origins.files(from)?;
            let hashes = match files {
                Files::Context(context) => Some(&context.hashes),
                Files::Layers(..) => None,
            };
            let exclude = patterns(excluded)?;
            let (_mounted, tree) = files.open(&self.session().place())?;
            let found = select_all(&tree, paths, parents)?;
            Ok(content(&tree, &found, &*exclude, hashes)?)
        };
        let Some(fixed) = self.origins.fixed(from) else {
            return find();
        };
        let key = KeyMaker::new("content-of")
            .digest("tree", &fixed)
            .list("paths", paths.iter().copied())
            .list("exclude", excluded.iter().map(String::as_str))
            .text("parents", if parents { "yes" } else { "no" })
            .finish();
        if let Some(known) = self.session().cache().content(&key) {
            return Ok(known);
        }
        let digest = find()?;
        self.session().cache().put_content(&key, &digest)?;
        Ok(digest)
    }
}

/// Sources that are paths.
pub(super) fn paths(transfer: &Transfer) -> Vec<&str> {
    let sources = transfer.sources.iter();
    sources
        .filter_map(|source| match source {
            Source::Path(path) => Some(path.as_str()),
            Source::Inline { .. } => None,
        })
        .collect()
}

pub(super) fn inline(writer: &mut Writer<'_>, transfer: &Transfer) -> Result<(), StepError> {
    for source in &transfer.sources {
        if let Source::Inline { name, content } = source {
            writer.inline((name, content.as_bytes()), &transfer.destination)?;
        }
    }
    Ok(())
}

pub(super) fn mode(transfer: &Transfer) -> Result<Option<ModeChange>, StepError> {
    let Some(text) = &transfer.chmod else {
        return Ok(None);
    };
    let change = ModeChange::parse(text);
    let wrong = || crate::build::copy::CopyError::Mode { text: text.clone() };
    Ok(Some(change.ok_or_else(wrong)?))
}

pub(super) fn exclude(transfer: &Transfer) -> Result<Box<dyn Filter>, StepError> {
    patterns(&transfer.exclude)
}

fn patterns(list: &[String]) -> Result<Box<dyn Filter>, StepError> {
    if list.is_empty() {
        return Ok(Box::new(Everything));
    }
    let matcher = Matcher::new(list.iter().map(String::as_str))
        .map_err(|error| StepError::Value(format!("--exclude: {error}")))?;
    Ok(Box::new(Excluded(super::Ignored(matcher))))
}

/// `--exclude`.
struct Excluded(super::Ignored);

impl Filter for Excluded {
    fn verdict(&self, path: &Path, is_directory: bool) -> Verdict {
        self.0.verdict(path, is_directory)
    }
}
