//! How an image came to be.

use std::collections::BTreeSet;

use super::Result;
use super::digest::Digest;
use super::reference::Reference;
use super::store::{Image, ImageStore};

/// One line of an image's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The image, for the newest line of it; others have none, as for images that were pulled.
    pub id: Option<Digest>,
    /// When the step was made.
    pub created: Option<jiff::Timestamp>,
    /// What made it.
    pub created_by: String,
    /// A remark.
    pub comment: String,
    /// Bytes of its layer; 0 when it has none.
    pub size: u64,
    /// The names that stand for it.
    pub tags: BTreeSet<String>,
}

impl ImageStore {
    /// How an image came to be, the newest step first. Layers that the history does not tell of are
    /// listed, too.
    pub fn history(&self, image: &Image) -> Result<Vec<HistoryEntry>> {
        let sizes = self.layer_sizes(image)?;
        let mut sizes = sizes.into_iter();
        let blank = HistoryEntry {
            id: None,
            created: None,
            created_by: String::new(),
            comment: String::new(),
            size: 0,
            tags: BTreeSet::new(),
        };
        let mut entries = Vec::new();
        for step in image.config.history().iter().flatten() {
            let size = match step.empty_layer() {
                Some(true) => 0,
                _ => sizes.next().unwrap_or(0),
            };
            entries.push(HistoryEntry {
                created: step.created().as_deref().and_then(|text| text.parse().ok()),
                created_by: step.created_by().clone().unwrap_or_default(),
                comment: step.comment().clone().unwrap_or_default(),
                size,
                ..blank.clone()
            });
        }
        entries.extend(sizes.map(|size| HistoryEntry {
            size,
            ..blank.clone()
        }));
        if let Some(newest) = entries.last_mut() {
            newest.id = Some(image.id);
            newest.tags = image.references.iter().map(Reference::familiar).collect();
        }
        entries.reverse();
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Tar, store};
    use super::super::{ImportOptions, no_progress};
    use super::*;

    fn name(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn the_history_has_the_newest_step_first_and_a_size_for_each_layer() {
        let (_root, store) = store();
        let archive = Tar::new().file("f", "a").finish();
        let options = ImportOptions::default();
        let made = store.import_rootfs(&archive[..], &name("web:1"), &options, &no_progress);
        made.unwrap();
        let options = ImportOptions {
            base: Some(name("web:1")),
            message: Some("second".to_owned()),
            ..ImportOptions::default()
        };
        let archive = Tar::new().file("g", "12345").finish();
        let made = store.import_rootfs(&archive[..], &name("top"), &options, &no_progress);
        let made = made.unwrap();
        let history = store.history(&made).unwrap();
        assert_eq!(history.len(), 2);
        assert_eq!(history[0].comment, "second");
        assert_eq!(history[0].id, Some(made.id));
        assert_eq!(history[0].tags, ["top:latest".to_owned()].into());
        assert!(history[0].size >= 5 && history[0].size != history[1].size);
        assert_eq!(history[1].id, None);
    }
}
