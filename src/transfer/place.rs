//! Where what is copied ends up, and what it is called there (`docker cp`, reference). Pure.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The path as it was given.
    pub(crate) path: &'a Path,
    /// Whether it is a directory.
    pub(crate) is_directory: bool,
}

/// Where it is copied to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Destination<'a> {
    /// The path, with links at its end followed.
    pub(crate) path: &'a Path,
    /// `None` = nothing is there; else whether it is a directory.
    pub(crate) is_directory: Option<bool>,
}

/// The directory that something is put into, and its name there; `.` = what is in it is put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The name.
    pub(crate) name: OsString,
}

/// Why something cannot be copied to where it was to go, in the words of Docker.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PlaceError {
    /// A directory onto a file.
    #[error("cannot copy directory")]
    Directory,
    /// A file to something that is called a directory and is not there.
    #[error("no such directory")]
    NoDirectory,
}

/// Decides where something goes.
pub(crate) fn goal(source: Source<'_>, destination: Destination<'_>) -> Result<Goal, PlaceError> {
    let renamed = || {
        let (directory, name) = split(destination.path);
        Goal { directory, name }
    };
    match (destination.is_directory, source.is_directory) {
        (Some(true), _) => Ok(Goal {
            directory: destination.path.to_owned(),
            name: split(source.path).1,
        }),
        (Some(false), true) => Err(PlaceError::Directory),
        (None, false) if says_directory(destination.path) => Err(PlaceError::NoDirectory),
        (Some(false), false) | (None, _) => Ok(renamed()),
    }
}

/// A path as its directory and its last name: `.` for one that ends with `/.`, and for the root.
pub(crate) fn split(path: &Path) -> (PathBuf, OsString) {
    let bytes = path.as_os_str().as_bytes();
    let clean = clean(path);
    let contents = bytes.ends_with(b"/.") || bytes == b"." || clean.as_os_str() == "/";
    if contents || clean.ends_with("..") {
        return (clean, OsString::from("."));
    }
    let name = clean.file_name().unwrap_or(OsStr::new(".")).to_owned();
    let directory = clean.parent().unwrap_or(Path::new("")).to_owned();
    (directory, name)
}

/// Whether a path says that it is a directory's, by a slash or a dot at its end.
fn says_directory(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.") || bytes == b"."
}

/// A path without slashes and dots that mean nothing. `..` stays: only the kernel knows what it is.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        if component != Component::CurDir {
            out.push(component);
        }
    }
    match out.as_os_str().is_empty() {
        true => PathBuf::from(OsString::from_vec(b".".to_vec())),
        false => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(source: &str, is_directory: bool, path: &str, there: Option<bool>) -> String {
        let source = Source {
            path: Path::new(source),
            is_directory,
        };
        let destination = Destination {
            path: Path::new(path),
            is_directory: there,
        };
        match goal(source, destination) {
            Ok(goal) => format!("{} {}", goal.directory.display(), goal.name.display()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn files_go_where_docker_puts_them() {
        for (path, there, expected) in [
            ("/tmp", Some(true), "/tmp f"),
            ("/tmp/", Some(true), "/tmp/ f"),
            ("/tmp/g", Some(false), "/tmp g"),
            ("/tmp/g", None, "/tmp g"),
            ("g", None, " g"),
            ("/tmp/g/", None, "no such directory"),
            ("/tmp/g/.", None, "no such directory"),
        ] {
            assert_eq!(to("a/f", false, path, there), expected, "{path}");
        }
    }

    #[test]
    fn directories_go_where_docker_puts_them() {
        for (source, path, there, expected) in [
            ("a/d", "/tmp", Some(true), "/tmp d"),
            ("a/d/", "/tmp", Some(true), "/tmp d"),
            ("a/d/.", "/tmp", Some(true), "/tmp ."),
            (".", "/tmp", Some(true), "/tmp ."),
            ("/", "/tmp", Some(true), "/tmp ."),
            ("..", "/tmp", Some(true), "/tmp ."),
            ("a/d", "/tmp/g", None, "/tmp g"),
            ("a/d/.", "/tmp/g", None, "/tmp g"),
            ("a/d", "/tmp/g/", None, "/tmp g"),
            ("a/d", "/tmp/f", Some(false), "cannot copy directory"),
        ] {
            assert_eq!(
                to(source, true, path, there),
                expected,
                "{source} to {path}"
            );
        }
    }
}
