//! Which files make the project, where it lies, what it is called, and its variables.
//!
//! Owns what is settled before a stack file is understood: the search for files, `.env` and `--env-file`,
//! the name and the copy (instance) of the project. Sees files and environment through
//! [`Source`](super::source::Source) alone. The paths that it returns are absolute and clean.

mod files;
pub(in crate::compose) mod instance;
mod name;
mod variables;

use std::path::{Component, Path, PathBuf};

pub(super) use files::{Files, find};
pub(super) use name::{chosen, written};
pub(super) use variables::{EnvFile, Variables, given_values, is_absent, read_env_file, variable};

/// A path without `.` and `..`, from a base directory when it is relative.
pub(super) fn absolute(base: &Path, path: &Path) -> PathBuf {
    clean(&base.join(path))
}

/// Takes `.`, `..` and doubled slashes out, by the text alone.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if matches!(
                    cleaned.components().next_back(),
                    None | Some(Component::ParentDir)
                ) {
                    cleaned.push("..");
                } else {
                    cleaned.pop();
                }
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

/// How a path is shown: relative to the caller's directory when it lies below.
pub(super) fn display_path(path: &Path, working_dir: &Path) -> PathBuf {
    match path.strip_prefix(working_dir) {
        Ok(relative) if !relative.as_os_str().is_empty() => relative.to_path_buf(),
        _ => path.to_path_buf(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_text() {
        for (path, expected) in [("/a/../b/./c//d/", "/b/c/d"), ("/..", "/"), ("a/..", "")] {
            assert_eq!(clean(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
