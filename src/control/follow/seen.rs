//! Which files were read, and as what.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What tells one state of a file from another one without reading it. The time is that of the last
/// change of any kind, which no program can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    seconds: i64,
    nanoseconds: i64,
    size: u64,
    inode: u64,
    /// It can be read again: a pipe cannot.
    lasts: bool,
}

impl Print {
    /// The print of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            seconds: metadata.ctime(),
            nanoseconds: metadata.ctime_nsec(),
            size: metadata.size(),
            inode: metadata.ino(),
            lasts: !metadata.file_type().is_fifo(),
        }
    }

    /// The print of what is at a path now; `None` = no file is.
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        (!metadata.is_dir()).then(|| Self::of(&metadata))
    }
}

/// Files that were read, and those that were looked for in vain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    from = "Vec<(PathBuf, Option<Print>)>",
    into = "Vec<(PathBuf, Option<Print>)>"
)]
pub struct Seen {
    files: BTreeMap<PathBuf, Option<Print>>,
}

impl From<Vec<(PathBuf, Option<Print>)>> for Seen {
    fn from(files: Vec<(PathBuf, Option<Print>)>) -> Self {
        let files = files.into_iter().collect();
        Self { files }
    }
}

impl From<Seen> for Vec<(PathBuf, Option<Print>)> {
    fn from(seen: Seen) -> Self {
        seen.files.into_iter().collect()
    }
}

impl Seen {
    /// A file was looked at. The first look counts: what was made of it came after.
    pub fn note(&mut self, path: &Path, print: Option<Print>) {
        if path.is_absolute() && !self.files.contains_key(path) {
            self.files.insert(path.to_owned(), print);
        }
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// Whether all of it can be read again.
    pub fn lasts(&self) -> bool {
        self.files.values().flatten().all(|print| print.lasts)
    }

    /// Whether a file that is there was looked at by both.
    pub fn shares(&self, other: &Self) -> bool {
        let theirs = |path: &PathBuf| matches!(other.files.get(path), Some(Some(_)));
        self.files
            .iter()
            .any(|(path, print)| print.is_some() && theirs(path))
    }

    /// The files that are others than they were, as `look` sees them.
    pub fn changed(&self, look: impl Fn(&Path) -> Option<Print>) -> Vec<PathBuf> {
        let differs = |(path, print): &(&PathBuf, &Option<Print>)| look(path) != **print;
        let changed = self.files.iter().filter(differs);
        changed.map(|(path, _)| path.clone()).collect()
    }

    /// What is known after a reading that broke off: what it has read, and of all else what stood
    /// there when it began, so that it is not read again for the same change.
    pub fn after_failure(&self, read: Self, before: impl Fn(&Path) -> Option<Print>) -> Self {
        let mut files: BTreeMap<PathBuf, Option<Print>> = self
            .files
            .keys()
            .map(|path| (path.clone(), before(path)))
            .collect();
        files.extend(read.files);
        Self { files }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(seconds: i64) -> Option<Print> {
        Some(Print {
            seconds,
            nanoseconds: 0,
            size: 1,
            inode: 1,
            lasts: true,
        })
    }

    fn seen(files: &[(&str, Option<Print>)]) -> Seen {
        let mut seen = Seen::default();
        for (path, print) in files {
            seen.note(Path::new(path), *print);
        }
        seen
    }

    #[test]
    fn a_file_that_comes_goes_or_differs_has_changed() {
        let before = seen(&[
            ("/same", print(1)),
            ("/other", print(1)),
            ("/gone", print(1)),
            ("/come", None),
            ("/never", None),
            ("relative", print(1)),
        ]);
        let now = |path: &Path| match path.to_str() {
            Some("/same") => print(1),
            Some("/other" | "/come") => print(2),
            _ => None,
        };
        let changed = before.changed(now);
        let changed: Vec<_> = changed.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(changed, ["/come", "/gone", "/other"]);
    }

    #[test]
    fn the_first_look_at_a_file_counts() {
        let twice = seen(&[("/a", print(1)), ("/a", print(2))]);
        assert_eq!(twice, seen(&[("/a", print(1))]));
    }

    #[test]
    fn what_a_failed_reading_has_not_reached_is_not_read_again_for_the_same_change() {
        let before = seen(&[("/main", print(1)), ("/included", print(1))]);
        let now = |_: &Path| print(2);
        let after = before.after_failure(seen(&[("/main", print(2))]), now);
        assert!(after.changed(now).is_empty());
        assert_eq!(after.changed(|_| print(3)).len(), 2);
    }

    #[test]
    fn a_record_is_read_back() {
        let one = seen(&[("/a", print(1)), ("/b", None)]);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Seen>(&text).unwrap(), one);
    }
}
