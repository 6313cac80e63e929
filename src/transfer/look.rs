//! What stands at a path of a root.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use crate::runtime::Root;

/// As many links as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// What stands at a path.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The path, with links at its end followed where that was asked for.
    pub(crate) path: PathBuf,
    /// What is there; `None` = nothing.
    pub(crate) stat: Option<Stat>,
}

impl Seen {
    /// The kind of file.
    pub(crate) fn kind(&self) -> Option<FileType> {
        self.stat.map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == Some(FileType::Directory)
    }
}

/// Looks at a path inside a root. A link at its end is followed as often as it leads to another, the
/// last one to a place where nothing is, too: that place is meant.
pub(crate) fn look(root: &Root, path: &Path) -> Result<Seen, Errno> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let found = match root.open(&path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Seen { path, stat: None }),
            Err(error) => return Err(error),
        };
        let stat = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            let stat = Some(stat);
            return Ok(Seen { path, stat });
        }
        path = target(&found, &path)?;
    }
    Err(Errno::LOOP)
}

/// Where a link leads, seen from the root.
fn target(link: &OwnedFd, path: &Path) -> Result<PathBuf, Errno> {
    let target = rustix::fs::readlinkat(link, "", Vec::new())?;
    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
    // `join` of an absolute path is that path.
    Ok(path.parent().unwrap_or(Path::new("/")).join(target))
}
