//! The symbolic links on the way to a file: when one of them changes, the file is another one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Every path whose change may be a change of this file: the symbolic links on the way to it, and
/// what they lead to in the end, which need not exist.
pub(super) fn way_to(path: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut here = PathBuf::from("/");
    let mut rest: Vec<OsString> = reversed(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        here.push(&name);
        let Ok(target) = std::fs::read_link(&here) else {
            continue;
        };
        found.insert(here.clone());
        links += 1;
        if links > LINKS_MAX {
            // A circle: there is no file at its end.
            return found;
        }
        here.pop();
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        rest.extend(reversed(&target));
    }
    found.insert(here);
    found
}

fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

/// The same file without a symbolic link on the way to it; parts that do not exist are kept.
pub(super) fn without_links(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let Ok(real) = above.canonicalize() {
            let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
            return match rest.as_os_str().is_empty() {
                true => real,
                false => real.join(rest),
            };
        }
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_links_on_the_way_are_found_and_the_file_at_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(dir.join("v1")).unwrap();
        std::fs::write(dir.join("v1/file"), "").unwrap();
        symlink("v1", dir.join("current")).unwrap();
        symlink("current/file", dir.join("file")).unwrap();
        symlink(dir.join("nowhere/x"), dir.join("dangling")).unwrap();
        symlink("circle", dir.join("circle")).unwrap();
        for (path, expected) in [
            ("v1/file", &["v1/file"][..]),
            ("missing/file", &["missing/file"]),
            ("current/file", &["current", "v1/file"]),
            ("file", &["current", "file", "v1/file"]),
            ("current/../file", &["current", "file", "v1/file"]),
            ("dangling", &["dangling", "nowhere/x"]),
            ("circle/a", &["circle"]),
        ] {
            let expected: BTreeSet<PathBuf> = expected.iter().map(|path| dir.join(path)).collect();
            assert_eq!(way_to(&dir.join(path)), expected, "{path}");
        }
        assert_eq!(without_links(&dir.join("file")), dir.join("v1/file"));
        let missing = without_links(&dir.join("current/a/b"));
        assert_eq!(missing, dir.join("v1/a/b"));
    }
}
