//! What has changed since the last look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing was there before.
    Created,
    /// Its content, its mode or its kind is another one.
    Changed,
    /// Nothing is there any more.
    Removed,
}

/// A set of changes, by path: parents come before what is in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    paths: BTreeMap<PathBuf, Change>,
}

impl Changes {
    /// Adds a change that came after all those that are in the set.
    pub fn add(&mut self, path: PathBuf, change: Change) {
        match self.paths.get_mut(&path) {
            Some(earlier) => *earlier = earlier.then(change),
            None => drop(self.paths.insert(path, change)),
        }
    }

    /// Adds changes that came after all those that are in the set.
    pub fn merge(&mut self, later: Self) {
        for (path, change) in later.paths {
            self.add(path, change);
        }
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// How many paths have changed.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The paths with what happened to them.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Change)> {
        self.paths
            .iter()
            .map(|(path, change)| (path.as_path(), *change))
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.keys().map(PathBuf::as_path)
    }
}

impl Change {
    /// What two changes are, one after the other.
    fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Created, Self::Changed) => Self::Created,
            (Self::Removed, Self::Created) => Self::Changed,
            (_, later) => later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Change::*;
    use super::*;

    #[test]
    fn two_changes_of_a_path_are_one() {
        for (first, second, both) in [
            (Created, Changed, Created),
            (Created, Removed, Removed),
            (Changed, Changed, Changed),
            (Changed, Removed, Removed),
            (Removed, Created, Changed),
            (Removed, Removed, Removed),
        ] {
            let mut changes = Changes::default();
            changes.add("/a".into(), first);
            let mut later = Changes::default();
            later.add("/a".into(), second);
            later.add("/b".into(), Created);
            changes.merge(later);
            let found: Vec<_> = changes.iter().collect();
            let expected = [(Path::new("/a"), both), (Path::new("/b"), Created)];
            assert_eq!(found, expected, "{first:?} {second:?}");
        }
    }
}
