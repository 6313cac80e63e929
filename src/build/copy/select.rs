//! Which files of a tree a source of `COPY` means.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

use super::CopyError;
use super::pattern::{base, is_pattern, joined, matches, parts};
use super::tree::Tree;

/// A file or directory that a source means.
#[derive(Clone)]
pub(in crate::build) struct Selected {
    /// Where it really is, without a link in its path.
    pub(super) real: PathBuf,
    /// The last part of the path as written.
    pub(super) name: OsString,
    /// The directories above it that are kept (`--parents`).
    pub(super) above: PathBuf,
    pub(super) stat: Stat,
}

impl Selected {
    /// Below the root of its tree.
    pub(in crate::build) fn path(&self) -> &Path {
        &self.real
    }

    pub(in crate::build) fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::RegularFile
    }

    pub(super) fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }
}

/// Finds what a source means, in the order of the names. A pattern that matches nothing means
/// nothing; a path has to be there.
pub(super) fn select(
    tree: &Tree<'_>,
    source: &str,
    parents: bool,
) -> Result<Vec<Selected>, CopyError> {
    let failed = |source: std::io::Error, path: &Path| CopyError::Read {
        path: path.to_owned(),
        source,
    };
    // `a/./b`: what is kept of the directories begins behind the dot (`--parents`).
    let pivot = match (parents, source.find("/./")) {
        (true, Some(at)) => parts(&source[..at]).len(),
        _ => 0,
    };
    let wanted = parts(source);
    let mut found = Vec::new();
    if !wanted.iter().any(|part| is_pattern(part)) {
        let path = joined(&wanted);
        let at = if wanted.is_empty() {
            Path::new(".")
        } else {
            &path
        };
        let Some((real, stat)) = tree.resolve(at).map_err(|error| failed(error, &path))? else {
            return Err(CopyError::NotFound {
                source: source.to_owned(),
                tree: tree.title.clone(),
                similar: similar(tree, &path),
            });
        };
        found.push(selected(&path, (real, stat), (parents, pivot)));
        return Ok(found);
    }
    let malformed = || CopyError::Pattern {
        pattern: source.to_owned(),
    };
    let mut paths = vec![PathBuf::new()];
    for part in &wanted {
        let mut next = Vec::new();
        for path in paths {
            if !is_pattern(part) {
                next.push(path.join(part));
                continue;
            }
            let at = if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &path
            };
            for name in tree.names(at).map_err(|error| failed(error, at))? {
                if matches(part, &name).ok_or_else(malformed)? {
                    next.push(path.join(name));
                }
            }
        }
        paths = next;
    }
    for path in paths {
        let there = tree.resolve(&path).map_err(|error| failed(error, &path))?;
        if let Some(there) = there {
            found.push(selected(&path, there, (parents, pivot)));
        }
    }
    Ok(found)
}

fn selected(
    path: &Path,
    (real, stat): (PathBuf, Stat),
    (parents, pivot): (bool, usize),
) -> Selected {
    let above: PathBuf = match (parents, path.parent()) {
        (true, Some(parent)) => parent.iter().skip(pivot).collect(),
        _ => PathBuf::new(),
    };
    Selected {
        real,
        name: base(path).to_owned(),
        above,
        stat,
    }
}

/// A name in the same directory that was perhaps meant.
fn similar(tree: &Tree<'_>, path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let names = tree.names(directory.unwrap_or(Path::new("."))).ok()?;
    let near = |name: &OsString| {
        let name = name.to_str()?;
        let distance = strsim::damerau_levenshtein(wanted, name);
        (distance <= 2 && distance < wanted.len()).then_some((distance, name.to_owned()))
    };
    let best = names.iter().filter_map(near).min()?;
    let path = path.with_file_name(best.1);
    Some(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tree::Everything;
    use super::super::tree::tests::tree;
    use super::*;

    #[test]
    fn patterns_and_paths_select_what_they_mean() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "a/x.txt",
            "a/y.txt",
            "b/x.txt",
            "b/z.md",
            "c/d/e.txt",
            "[f]",
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink("a", dir.path().join("l")).unwrap();
        let tree = tree(dir.path(), &Everything);
        for (source, parents, expected) in [
            (".", false, ""),
            ("a/x.txt", false, "a/x.txt"),
            ("/a/x.txt", false, "a/x.txt"),
            ("../../a/x.txt", false, "a/x.txt"),
            ("*/x.txt", false, "a/x.txt b/x.txt a/x.txt"),
            ("a/*", false, "a/x.txt a/y.txt"),
            ("none*", false, "-"),
            ("l/y.txt", false, "a/y.txt"),
            ("[[]f]", false, "[f]"),
            ("c/./d/e.txt", true, "c/d/e.txt"),
        ] {
            let found = select(&tree, source, parents).unwrap();
            let names: Vec<_> = found
                .iter()
                .map(|found| found.real.to_str().unwrap())
                .collect();
            let text = if found.is_empty() {
                "-".to_owned()
            } else {
                names.join(" ")
            };
            assert_eq!(text, expected, "{source}");
        }
        let above = |source| select(&tree, source, true).unwrap()[0].above.clone();
        assert_eq!(above("c/./d/e.txt"), Path::new("d"));
        assert_eq!(above("c/d/e.txt"), Path::new("c/d"));
        let error = select(&tree, "a/x.tx", false).err().unwrap().to_string();
        assert!(
            error.contains("a/x.tx") && error.contains("a/x.txt"),
            "{error}"
        );
        assert!(select(&tree, "a/[", false).is_err());
    }
}
