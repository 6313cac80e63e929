//! What the commands that clean up have in common: which things they mean, how they take them away, and
//! what they say of it.
//!
//! Each kind has two functions: what would go, which is shown before the question, and what takes it
//! away, which looks anew.

mod containers;
mod objects;
mod store;

use std::collections::BTreeMap;
use std::io::Write;

use jiff::Timestamp;
use serde::Serialize;

pub(super) use containers::{Ended, ended, remove_ended};
pub(super) use objects::{
    Volumes, remove_networks, remove_volumes, unused_networks, unused_volumes, users_besides,
};
pub(super) use store::{doomed_builds, prune_builds, prune_images, remove_images};

use super::error::Result;
use super::filter::Filters;
use crate::image::LabelRule;
use crate::ui::words;

/// What was taken away, as Docker's API and its commands have it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cleaned {
    /// Ids.
    pub(super) containers_deleted: Vec<String>,
    /// Names.
    pub(super) networks_deleted: Vec<String>,
    /// Names.
    pub(super) volumes_deleted: Vec<String>,
    /// Names and ids.
    pub(super) images_deleted: Vec<ImageGone>,
    /// Keys.
    pub(super) caches_deleted: Vec<String>,
    /// Bytes.
    pub(super) space_reclaimed: u64,
}

/// What has become of an image.
#[derive(Debug, Serialize)]
pub(super) enum ImageGone {
    /// A name was taken away.
    Untagged(String),
    /// Nothing stands for this id any more.
    Deleted(String),
}

impl Cleaned {
    /// Lists everything, and what it has freed.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<()> {
        self.list(out)?;
        let size = words::size(self.space_reclaimed);
        writeln!(out, "Total reclaimed space: {size}")?;
        Ok(out.flush()?)
    }

    /// Lists everything.
    pub(super) fn list(&self, out: &mut dyn Write) -> Result<()> {
        let images = self.images_deleted.iter().map(|gone| match gone {
            ImageGone::Untagged(name) => format!("untagged: {name}"),
            ImageGone::Deleted(id) => format!("deleted: {id}"),
        });
        let images: Vec<String> = images.collect();
        let sections = [
            ("Deleted Containers", &self.containers_deleted),
            ("Deleted Networks", &self.networks_deleted),
            ("Deleted Volumes", &self.volumes_deleted),
            ("Deleted Images", &images),
            ("Deleted build cache objects", &self.caches_deleted),
        ];
        for (head, lines) in sections.iter().filter(|(_, lines)| !lines.is_empty()) {
            writeln!(out, "{head}:\n{}\n", lines.join("\n"))?;
        }
        Ok(())
    }
}

/// Only these: what `--filter` says of age and labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Only {
    /// Made before this.
    pub(super) before: Option<Timestamp>,
    /// With these labels.
    pub(super) labels: Vec<LabelRule>,
}

impl Only {
    /// What the filters say.
    pub(super) fn of(filters: &Filters, now: Timestamp) -> Result<Self> {
        Ok(Self {
            before: filters.until(now)?,
            labels: filters.label_rules(),
        })
    }

    /// Whether something is meant that was made then, with these labels.
    fn means(&self, made: Timestamp, labels: &BTreeMap<String, String>) -> bool {
        self.before.is_none_or(|before| made < before)
            && self.labels.iter().all(|rule| rule.fits(labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_told_in_docker_s_words() {
        let cleaned = Cleaned {
            networks_deleted: vec!["a".to_owned(), "b".to_owned()],
            images_deleted: vec![
                ImageGone::Untagged("x:latest".to_owned()),
                ImageGone::Deleted("sha256:1".to_owned()),
            ],
            space_reclaimed: 1_500_000,
            ..Cleaned::default()
        };
        let mut out = Vec::new();
        cleaned.write(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @"
        Deleted Networks:
        a
        b

        Deleted Images:
        untagged: x:latest
        deleted: sha256:1

        Total reclaimed space: 1.5MB
        ");
        let json = serde_json::to_value(&cleaned).unwrap();
        assert_eq!(json["ImagesDeleted"][1]["Deleted"], "sha256:1");
        assert_eq!(json["SpaceReclaimed"], 1_500_000);
    }

    #[test]
    fn what_is_meant_is_old_enough_and_has_all_the_labels() {
        let labels = [("a".to_owned(), "1".to_owned())].into();
        let now = Timestamp::from_second(100).unwrap();
        let means = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            let filters = Filters::parse(&texts, &["until", "label", "label!"]).unwrap();
            let made = Timestamp::from_second(50).unwrap();
            Only::of(&filters, now).unwrap().means(made, &labels)
        };
        assert!(means(&[]) && means(&["until=10s"]) && means(&["label=a", "label!=b"]));
        assert!(!means(&["until=50s"]) && !means(&["label=b"]) && !means(&["label!=a=1"]));
    }
}
